"""Quantizing, quantizing and back, and the gradient of that: each one elementwise kernel.

Every step is rounded as the decomposition rounds it: a statement has one operation, so that no
compiler joins a product and a sum, which moves what is half-way between two whole numbers.
"""

from __future__ import annotations

from typing import Any

from dovetail.backend import EXPRESSIONS, Expression, KernelTable
from dovetail.dtypes import bfloat16, float16, float32
from dovetail_kernels.arrays import Array
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import Elementwise, ghost, given, number

__all__ = ["enter"]

_FLOATS = (float32, float16, bfloat16)
"""What is computed in float32, as scales are."""

_STEPS = """
T whole_steps(T x, T scale, T zero) {
    const T inverse = 1.0 / scale;
    const T steps = rint(x * inverse);
    return steps + zero;
}"""
_SHIFTED = """
T shifted_steps(T x, T scale, T zero) {
    const T inverse = 1.0 / scale;
    const T steps = x * inverse;
    const T shifted = steps + zero;
    return rint(shifted);
}"""
_THERE_AND_BACK = """
T there_and_back(T whole, T scale, T zero, T low, T high) {
    const T kept = at_most(at_least(whole, low), high) - zero;
    return kept * scale;
}"""

_TEXTS = {
    "quantize_affine": "at_most(at_least(STEPS(x0, SCALE, ZERO), low), high)",
    "fake_quantize_per_tensor_affine": (
        "there_and_back(STEPS(x0, SCALE, ZERO), SCALE, ZERO, low, high)"
    ),
    "fake_quantize_per_channel_affine": (
        "there_and_back(STEPS(x0, SCALE, ZERO), SCALE, ZERO, low, high)"
    ),
    "fake_quantize_backward": (
        "STEPS(x1, SCALE, ZERO) >= low && STEPS(x1, SCALE, ZERO) <= high ? x0 : (T)0.0"
    ),
}
"""By operator: of ``x0`` (and ``x1``, where ``x0`` is a gradient), scale, zero point and range."""

_REFUSES = {"fake_quantize_per_channel_affine": EXPRESSIONS["zero_point_within"].refuses}


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in _TEXTS:
        table.add(
            name, _specialised, dtypes=_FLOATS, when=_is_served, scalars=True, specialize=True
        )


def _is_served(call: Any) -> bool:
    """Whether there are elements, and scale and zero point are of float32 and either kind, or both
    numbers."""
    (out,) = call.outputs
    *operands, scale, zero = call.inputs
    if not out.numel or any(isinstance(x, type) or x.dtype not in _FLOATS for x in operands):
        return False
    if isinstance(scale, type) or isinstance(zero, type):
        return isinstance(scale, type) and isinstance(zero, type)
    return scale.dtype is float32 and zero.dtype.name in ("int32", "float32")


def _along(spec: Any, shape: tuple[int, ...], axis: int | None) -> Array:
    """A scale or zero point as an operand of ``shape``: one for all, or one per index of a dim."""
    step = spec.strides[-1] * spec.dtype.itemsize if axis is not None else 0
    return Array(
        None, 0, shape, tuple(step if i == axis else 0 for i in range(len(shape))), spec.dtype
    )


def _specialised(facts: Any) -> Any:
    (out,) = facts.outputs
    attributes, name = facts.attributes, facts.op.name
    *operands, scale, zero = facts.inputs
    are_numbers, count = isinstance(scale, type), len(operands)
    is_shifted = name == "quantize_affine" or (not are_numbers and zero.dtype is float32)
    words = {
        "STEPS": "shifted_steps" if is_shifted else "whole_steps",
        "SCALE": "scale" if are_numbers else f"x{count + 1}",
        "ZERO": "zero" if are_numbers else f"x{count}",
    }
    text = _TEXTS[name]
    for word, own in words.items():
        text = text.replace(word, own)
    views = [ghost(out), *map(ghost, operands)]
    if not are_numbers:  # the scale's dtype, the last, is the one that is computed in
        axis = attributes.get("axis")
        views += [_along(spec, tuple(out.shape), axis) for spec in (zero, scale)]
    parameters = ("low", "high", *(("scale", "zero") * are_numbers))
    refuses = () if is_shifted else _REFUSES.get(name, ())
    expression = Expression(
        len(views) - 1,
        {"float": text},
        parameters,
        refuses=tuple(
            r._replace(group="float", condition=r.condition.replace("x0", words["ZERO"]))
            for r in refuses
        ),
        helpers={
            "whole_steps": _STEPS, "shifted_steps": _SHIFTED, "there_and_back": _THERE_AND_BACK,
        },
    )  # fmt: skip
    bounds = [number(attributes[word], float32) for word in ("quant_min", "quant_max")]
    own = f"{name}{'_shifted' * is_shifted}{'_by_numbers' * are_numbers}"
    device = device_of(out.device)
    call = Elementwise(device, own, expression, views, bounds, float32, 0, title=name)

    def run(*arrays: Any) -> None:
        *tensors, scale, zero, out = arrays
        call.run((*tensors, zero, scale, out), ())

    def run_by_numbers(*arrays: Any) -> None:
        *tensors, scale, zero, out = arrays
        values = [(2, given(scale, float32)), (3, given(zero, float32))]
        call.run((*tensors, out), values)

    return run_by_numbers if are_numbers else run
