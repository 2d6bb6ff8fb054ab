"""Activations that are linear in pieces, and their gradients: few passes, and no branches.

Where a mask says which elements pass, their bits are multiplied by it, as whole numbers, so that 0
times infinity is 0. A bound that NaN has to pass is asked the other way round.
"""

from __future__ import annotations

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.blocks import in_blocks, scratch, select

__all__ = ["enter", "passing"]

Array = np.ndarray

_BITS = {2: np.int16, 4: np.int32, 8: np.int64}


def _mask(out: Array, number: int = 0) -> Array:
    return scratch(bool, out.size, number).reshape(out.shape)


def passing(passes: Array, value: Array, out: Array, otherwise: float = 0.0) -> None:
    """``value`` where a mask is true, a number elsewhere; ``value`` may be ``out``."""
    kind = _BITS[out.itemsize]
    bits, given, mask = out.view(kind), value.view(kind), passes.view(np.int8)
    other = np.array(otherwise, out.dtype).view(kind)
    if not other:
        np.multiply(given, mask, out=bits)
        return
    np.bitwise_xor(given, other, out=bits)
    np.multiply(bits, mask, out=bits)
    np.bitwise_xor(bits, other, out=bits)


def threshold(input: Array, out: Array, *, threshold: float, value: float) -> None:
    """input above the threshold (or NaN), else the value."""
    falls = np.less_equal(input, threshold, out=_mask(out))
    passing(np.logical_not(falls, out=falls), input, out, value)


def threshold_backward(grad: Array, input: Array, out: Array, *, threshold: float) -> None:
    """grad where input > threshold (or NaN), else 0."""
    falls = np.less_equal(input, threshold, out=_mask(out))
    passing(np.logical_not(falls, out=falls), grad, out)


def hardshrink(input: Array, out: Array, *, lambd: float) -> None:
    """input outside [-lambd, lambd], else 0."""
    shrink_backward(input, input, out, lambd=lambd)


def shrink_backward(grad: Array, input: Array, out: Array, *, lambd: float) -> None:
    """grad where input is outside [-lambd, lambd], else 0."""
    inside, below = _mask(out), _mask(out, 1)
    np.greater_equal(input, -lambd, out=inside)
    np.less_equal(input, lambd, out=below)
    np.logical_and(inside, below, out=inside)
    passing(np.logical_not(inside, out=inside), grad, out)


def hardtanh_backward(
    grad: Array, input: Array, out: Array, *, min_val: float, max_val: float
) -> None:
    """grad where input is strictly between the bounds (or NaN), else 0."""
    low, high = _mask(out), _mask(out, 1)
    np.less_equal(input, min_val, out=low)
    np.greater_equal(input, max_val, out=high)
    np.logical_or(low, high, out=low)
    passing(np.logical_not(low, out=low), grad, out)


def hardsigmoid(input: Array, out: Array) -> None:
    """min(max(x + 3, 0), 6) / 6."""
    np.add(input, 3, out=out)
    np.clip(out, 0, 6, out=out)
    np.multiply(out, 1 / 6, out=out)


def hardsigmoid_backward(grad: Array, input: Array, out: Array) -> None:
    """grad / 6 where -3 < x < 3, else 0."""
    low, high = _mask(out), _mask(out, 1)
    np.greater(input, -3, out=low)
    np.less(input, 3, out=high)
    np.logical_and(low, high, out=low)
    np.multiply(grad, 1 / 6, out=out)
    passing(low, out, out)


def hardswish(input: Array, out: Array) -> None:
    """x · hardsigmoid(x)."""
    hardsigmoid(input, out)
    np.multiply(out, input, out=out)


def hardswish_backward(grad: Array, input: Array, out: Array) -> None:
    """grad from 3 on, 0 up to -3, and grad · (x / 3 + 1/2) between."""
    slope, mask = scratch(out.dtype, out.size).reshape(out.shape), _mask(out)
    np.multiply(input, 1 / 3, out=slope)
    np.add(slope, 0.5, out=slope)
    np.multiply(slope, grad, out=slope)
    select(np.less(input, 3, out=mask), slope, grad, out)
    np.less_equal(input, -3, out=mask)
    passing(np.logical_not(mask, out=mask), out, out)


def leaky_relu_backward(grad: Array, input: Array, out: Array, *, negative_slope: float) -> None:
    """grad above 0, slope · grad elsewhere."""
    slope, kind = scratch(out.dtype, out.size).reshape(out.shape), _BITS[out.itemsize]
    high, low = (np.array(number, out.dtype).view(kind) for number in (1, negative_slope))
    above = np.greater(input, 0, out=_mask(out)).view(np.int8)
    np.multiply(above, high ^ low, out=slope.view(kind))
    np.bitwise_xor(slope.view(kind), low, out=slope.view(kind))
    np.multiply(grad, slope, out=out)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    for kernel in (
        threshold, threshold_backward, hardshrink, shrink_backward, hardtanh_backward, hardsigmoid,
        hardsigmoid_backward, hardswish, hardswish_backward, leaky_relu_backward,
    ):  # fmt: skip
        table.add(kernel.__name__, in_blocks(kernel), dtypes=(float32, float64), specialize=True)
