"""What operators do with quantized tensors, as tables.

``resolve`` and the view operators come here when a call meets a quantized spec for the first time.
Per tensor scales only, but for copies: moving elements of a per-channel tensor would take its
scales from them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dovetail.dtypes as d
from dovetail.dispatch import call
from dovetail.errors import Unsupported
from dovetail.late_binding import QUANTIZED
from dovetail.ops.schema import OpDef
from dovetail.quantized.make import quantize_per_tensor
from dovetail.quantized.tensor import PerChannel, PerTensor, QTensor, like, moved, wrap
from dovetail.tensor import Tensor

__all__ = ["copied_quantized", "quantized_plan", "quantized_view"]

Run = Callable[..., Any]

_MOVES = frozenset({
    "adaptive_max_pool", "amax", "amin", "flip", "gather", "index", "index_select", "kthvalue",
    "max", "max_dim", "max_pool", "median", "median_dim", "min", "min_dim", "repeat", "roll",
    "sort", "topk", "tril", "triu",
})  # fmt: skip
"""Operators that choose among elements: the same of the integers, on the same scale."""

_SAME_SCALE = frozenset({
    "adaptive_avg_pool", "avg_pool", "clamp", "clamp_max", "clamp_min", "hardtanh", "leaky_relu",
    "masked_fill", "pad", "relu6", "threshold",
})  # fmt: skip
"""Operators of numbers whose result is put on the scale of their input."""

_FIXED = {
    "sigmoid": (1 / 256, {d.quint8: 0, d.qint8: -128}),
    "hardsigmoid": (1 / 256, {d.quint8: 0, d.qint8: -128}),
    "tanh": (2 / 256, {d.quint8: 128, d.qint8: 0}),
}
"""Operators whose range is known: (scale, zero point per dtype) of their result."""

_COMPARE = frozenset({"eq", "ge", "gt", "le", "lt", "ne"})


def _refuse(op: OpDef) -> Unsupported:
    hint = {
        "add": "; FloatFunctional().add, which convert() makes a QFunctional, adds them",
        "mul": "; FloatFunctional().mul, which convert() makes a QFunctional, multiplies them",
        "linear": "; convert() makes an nn.Linear a quantized one",
        "conv": "; convert() makes an nn.Conv2d a quantized one",
    }.get(op.name, "")
    return Unsupported(
        f"{op.name}: Could not run it with quantized tensors: dequantize() them first, as a "
        f"DeQuantStub does{hint}"
    )


def _per_tensor(op: OpDef, x: QTensor) -> None:
    if isinstance(x._quantizer, PerChannel):
        raise Unsupported(
            f"{op.name}: only of a tensor that is quantized per tensor, got one with a scale per "
            f"index of dim {x._quantizer.axis}; dequantize() it first"
        )


def _outputs(made: Any, first: Callable[[Tensor], Tensor]) -> Any:
    """A result with its values treated by ``first``, and its indices as they are."""
    if isinstance(made, Tensor):
        return first(made)
    items = (first(made[0]), *made[1:])
    return type(made)(*items) if hasattr(made, "_fields") else items


def _move(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
    x, *rest = inputs
    _per_tensor(op, x)
    ints = x._ints
    # Integers of 8 bits are exact in float32, which every operator takes.
    wide = ints if ints.dtype in op.accepts and op.name not in _FLOAT_ONLY else ints.to(d.float32)
    made = call(op, (wide, *rest), attributes)
    return _outputs(made, lambda y: wrap(y.to(ints.dtype), x._quantizer))


_FLOAT_ONLY = frozenset({"adaptive_max_pool", "max_pool"})


def _same_scale(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
    x, *rest = inputs
    _per_tensor(op, x)
    return like(call(op, (x.dequantize(), *rest), attributes), x)


def _relu(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
    (x,) = inputs
    _per_tensor(op, x)
    return moved(x, lambda ints: ints.clamp_min(x._quantizer.zero_point))


def _fixed(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
    (x,) = inputs
    scale, zero_points = _FIXED[op.name]
    if x.dtype not in zero_points:
        raise _refuse(op)
    made = call(op, (x.dequantize(),), attributes)
    return quantize_per_tensor(made, scale, zero_points[x.dtype], x.dtype)


def _compare(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
    numbers = [x.dequantize() if isinstance(x, QTensor) else x for x in inputs]
    return call(op, tuple(numbers), attributes)


def _join(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
    first = inputs[0]
    if not all(isinstance(x, QTensor) and x.dtype is first.dtype for x in inputs):
        raise Unsupported(f"{op.name}: all tensors must be quantized, and of one dtype")
    for x in inputs:
        _per_tensor(op, x)
    same = [
        x if x._quantizer.is_same(first._quantizer) else like(x.dequantize(), first) for x in inputs
    ]
    return wrap(call(op, tuple(x._ints for x in same), attributes), first._quantizer)


_RULES: dict[str, Callable[[OpDef, tuple[Any, ...], tuple[Any, ...]], Any]] = {
    **dict.fromkeys(_MOVES, _move),
    **dict.fromkeys(_SAME_SCALE, _same_scale),
    **dict.fromkeys(_FIXED, _fixed),
    **dict.fromkeys(_COMPARE, _compare),
    "relu": _relu,
    "cat": _join,
    "stack": _join,
}


def quantized_plan(op: OpDef, attributes: tuple[Any, ...]) -> Run:
    """The plan for a call with a quantized tensor among its inputs.

    Raises:
        Unsupported: the operator has no meaning for them.
    """
    rule = _RULES.get(op.name)
    if rule is None:
        raise _refuse(op)

    def run(*inputs: Any) -> Any:
        if rule is not _compare and not isinstance(inputs[0], QTensor):
            raise _refuse(op)
        return rule(op, inputs, attributes)

    run.served_by = "decomposed"  # type: ignore[attr-defined]
    run.packs = 0  # type: ignore[attr-defined]
    return run


def quantized_view(
    name: str, apply: Callable[[Tensor], Any], attributes: tuple[Any, ...] = ()
) -> Run:
    """The plan of a view: the same view of the integers, on the same scale."""

    def run(x: QTensor) -> Any:
        q = x._quantizer
        made = apply(x._ints)
        if isinstance(q, PerTensor):
            parts = made if isinstance(made, tuple) else (made,)
            wrapped = tuple(wrap(part, q) for part in parts)
            return wrapped if isinstance(made, tuple) else wrapped[0]
        if name == "select" and attributes[0] == q.axis:  # of one channel, whose scale it keeps
            scales, zero_points = q.scales.to(d.float32).tolist(), q.zero_points.tolist()
            return wrap(made, PerTensor(scales[attributes[1]], int(zero_points[attributes[1]])))
        if isinstance(made, Tensor) and made.shape == x.shape and made.stride() == x.stride():
            return wrap(made, q)
        raise Unsupported(
            f"{name}: Setting strides is possible only on uniformly quantized tensor, got one with "
            f"a scale per index of dim {q.axis}; dequantize() it first"
        )

    run.served_by = "view"  # type: ignore[attr-defined]
    run.packs = 0  # type: ignore[attr-defined]
    return run


def copied_quantized(x: QTensor, target: d.dtype, copy: Callable[[Tensor], Tensor]) -> QTensor:
    """A copy of a quantized tensor in another layout or on another device.

    Raises:
        RuntimeError: to another dtype.
    """
    if target is not x.dtype:
        raise RuntimeError(
            "to: Creation of quantized tensor requires quantized dtype like torch.quint8, got "
            f"{target!r}; dequantize() gives float32, int_repr() the integers"
        )
    return moved(x, copy)


QUANTIZED.bind(plan=quantized_plan, view_plan=quantized_view, copied=copied_quantized)
