"""``round`` to a number of decimals, on top of the one-operand function."""

from __future__ import annotations

from typing import Any

import dovetail.dtypes as d
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.ops import expose
from dovetail.ops.out import finish
from dovetail.ops.schema import REGISTRY
from dovetail.tensor import Tensor

__all__: list[str] = []


def _to_decimals(input: Tensor, decimals: int) -> Tensor:
    kind = input._spec.dtype
    if kind.category != 2:
        raise Unsupported(f"\"round_cpu\" not implemented for '{type_name(kind)}'")
    wide = input.to(d.float32) if kind in (d.float16, d.bfloat16) else input
    power = 10.0 ** abs(decimals)
    made = (wide * power).round() / power if decimals > 0 else (wide / power).round() * power
    return made.to(kind)


def _with_decimals() -> None:
    """``round(input, *, decimals=0)``; the gradient is 0 in every case."""
    op = REGISTRY["round"]
    plain = expose.unary_function(op)
    in_place = expose.inplace_elementwise(op, plain)

    def function(input: Any, *, decimals: int = 0, out: Any = None) -> Any:
        if not decimals:
            return plain(input, out=out)
        return finish("round", _to_decimals(input, decimals), out)

    assert op.function is not None
    function.__doc__ = (op.function.__doc__ or "") + (
        "\n\nWith ``decimals`` to so many places behind the point; before it where it is negative."
    )
    expose.attach(op, function)
    to_decimals_in_place = expose.inplace_method("round", function)

    def method(self: Any, *, decimals: int = 0) -> Any:
        if not decimals:
            return in_place(self)
        return to_decimals_in_place(self, decimals=decimals)

    method.__name__, method.__qualname__ = "round_", "Tensor.round_"
    method.__doc__ = in_place.__doc__
    Tensor.round_ = method  # type: ignore[attr-defined]
    expose.FUNCTIONS["round_"] = method


_with_decimals()
