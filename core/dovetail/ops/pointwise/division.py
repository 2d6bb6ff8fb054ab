"""Division with a choice of rounding, and ``div`` with its ``rounding_mode``."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.dispatch import call
from dovetail.ops import expose
from dovetail.ops.families import elementwise_infer, level, same
from dovetail.ops.out import finish
from dovetail.ops.pointwise.arithmetic import PLAIN
from dovetail.ops.schema import REGISTRY, OpDef
from dovetail.tensor import Tensor

__all__: list[str] = []

TWO = ("input", "other")
_DIVIDED = REGISTRY["floor_divide"]
_WHOLE = _DIVIDED.part_of("div")


def _where(condition: Any, input: Any, other: Any) -> Any:
    from dovetail import ops

    return ops.where(condition, input, other)


def _truncated(input: Any, other: Any) -> Any:
    kinds = [x._spec.dtype for x in (input, other) if isinstance(x, Tensor)]
    if any(k.category > 1 for k in kinds) or isinstance(input, float) or isinstance(other, float):
        return (input / other).trunc()
    size = call(_WHOLE, (abs(input), abs(other)))
    below = [x.lt(0) if isinstance(x, Tensor) else x < 0 for x in (input, other)]
    return _where(below[0] ^ below[1], -size, size)


def _rounded(name: str, decompose: Any, reference: Any) -> OpDef:
    op = OpDef(
        name,
        kind="elementwise",
        inputs=TWO,
        infer=elementwise_infer(name, same),
        accepts=(*d.INTEGRAL, *d.FLOATING),
        decompose=decompose,
        gradient={"input": level, "other": level},
        reference=reference,
        samples=_DIVIDED.samples,
        method=False,
        public=False,
        node_name=lambda input, other: "div",
        named="div",
    )
    op.function = lambda input, other: call(op, (input, other))
    return op


ROUNDED = {
    "floor": _rounded(
        "div_floor", lambda input, other: call(_WHOLE, (input, other)),
        np.floor_divide,
    ),
    "trunc": _rounded("div_trunc", _truncated, lambda x, y: np.trunc(x / y)),
}  # fmt: skip


def _rounding(rounding_mode: Any) -> OpDef:
    op = ROUNDED.get(rounding_mode)
    if op is None and not isinstance(rounding_mode, str):
        raise TypeError(
            f"div(): argument 'rounding_mode' must be str, not {type(rounding_mode).__name__}"
        )
    if op is None:
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    return op


def _with_rounding() -> None:
    """``div(input, other, *, rounding_mode=None)`` on top of the two-operand function."""
    op = REGISTRY["div"]
    plain = expose.binary_function(op)
    in_place = expose.inplace_elementwise(op, plain)

    def function(
        input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None
    ) -> Any:
        if rounding_mode is None:
            return plain(input, other, out=out)
        return finish("div", call(_rounding(rounding_mode), (input, other)), out)

    assert op.function is not None
    function.__doc__ = (
        op.function.__doc__ or ""
    ) + "\n\nWith ``rounding_mode``: ``floor`` or ``trunc``, rounded; integers stay integers."
    rounded_in_place = expose.inplace_method("div", function)

    def method(self: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
        if rounding_mode is None:
            return in_place(self, other)
        return rounded_in_place(self, other, rounding_mode=rounding_mode)

    method.__doc__ = in_place.__doc__
    expose.attach(op, function, aliases=("divide", "true_divide"))
    for name in ("div_", "divide_", "true_divide_"):
        setattr(Tensor, name, method)
    PLAIN["div"] = (plain, in_place)


_with_rounding()
