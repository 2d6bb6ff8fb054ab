"""Special functions in blocks: lgamma, digamma and erfinv, by the core's formulas.

The formula of the common case is computed of all elements of a block, in place; those of the others
of these elements alone, taken out and put back. Sources: ``dovetail/ops/pointwise/gamma.py`` and
``error_function.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from dovetail.backend import KernelTable
from dovetail.backend.coefficients import (
    CENTRE,
    DIGAMMA_FAR,
    DIGAMMA_NEAR_ONE,
    DIGAMMA_ROOT,
    DIGAMMA_ROOT_REST,
    LGAMMA_NEAR_ONE,
    OUTER,
    REMOTE,
    STIRLING,
)
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.blocks import in_blocks, scratch

__all__ = ["enter"]

Array = np.ndarray

_SINGLE = 4e-9
"""Smaller coefficients of these polynomials on [-1, 1] do not show in float32."""


def _by_size(coefficients: Sequence[float]) -> dict[int, tuple[float, ...]]:
    """By the bytes of an element."""
    return {4: tuple(c for c in coefficients if abs(c) > _SINGLE), 8: tuple(coefficients)}


_LGAMMA, _DIGAMMA = _by_size(LGAMMA_NEAR_ONE), _by_size(DIGAMMA_NEAR_ONE)


def _horner(x: Array, coefficients: Sequence[float], out: Array) -> None:
    """A polynomial in ``x``, the highest power first."""
    np.multiply(x, coefficients[0], out)
    for c in coefficients[1:-1]:
        np.add(out, c, out)
        np.multiply(out, x, out)
    np.add(out, coefficients[-1], out)


def _fraction(x: Array, parts: tuple[Sequence[float], Sequence[float]], out: Array) -> None:
    """A quotient of two polynomials in ``x``."""
    below = scratch(out.dtype, out.size, 8).reshape(out.shape)
    _horner(x, parts[0], out)
    _horner(x, parts[1], below)
    np.true_divide(out, below, out)


def _put(out: Array, others: Array, values: Array | None) -> None:
    """What has been computed of the elements that are not in the common case."""
    if values is not None:
        out[others] = values


def _elsewhere(function: Callable[[Array], Array], x: Array, others: Array) -> Array | None:
    """``function`` of them, before ``x``, which may be the output too, is written over."""
    return function(x[others]) if others.any() else None


def _steps(x: Array, most: int) -> int:
    """Whole numbers below all elements, and ``most``, that a recurrence goes through."""
    largest = x.max(initial=0)
    return math.ceil(largest) if largest < most else most


# ------------------------------------------------------------------ lgamma


def _lgamma_below_eight(x: Array, out: Array) -> None:
    """By recurrence from [1, 2]; what it makes of other numbers is of no use."""
    above, rest = (scratch(out.dtype, out.size, n).reshape(out.shape) for n in (9, 10))
    np.minimum(x, 1, out=rest)
    np.log(rest, rest)  # 0 from 1 on
    np.copyto(above, 1)
    factor = scratch(out.dtype, out.size, 8).reshape(out.shape)
    for k in range(1, _steps(x, 7)):
        np.subtract(x, k, factor)  # exact
        np.maximum(factor, 1, out=factor)
        np.multiply(above, factor, above)
    np.log(above, above)
    np.subtract(above, rest, above)
    np.floor(x, rest)
    np.subtract(x, rest, rest)  # lgamma(1 + rest) is what the recurrence leaves
    np.subtract(rest, 1, factor)
    np.multiply(factor, rest, factor)
    np.multiply(rest, 2, rest)
    np.subtract(rest, 1, rest)
    _horner(rest, _LGAMMA[out.itemsize], out)
    np.multiply(out, factor, out)
    np.add(out, above, out)


def _lgamma_elsewhere(x: Array) -> Array:
    """For 8 and more by Stirling's formula; below 0 by reflection; 0, infinities and NaN."""
    size = np.abs(x)
    square = 1 / (size * size)
    above = np.empty_like(x)
    _horner(square, STIRLING, above)
    above /= size
    above += (size - 0.5) * (np.log(size) - 1) + (0.5 * math.log(2 * math.pi) - 0.5)
    low = size < 8
    if low.any():
        few = size[low]
        made = np.empty_like(few)
        _lgamma_below_eight(few, made)
        above[low] = made
    rest = x - np.rint(x * x.dtype.type(0.5)) * 2
    rest = np.where(rest > 0.5, 1 - rest, np.where(rest < -0.5, -1 - rest, rest))
    sine = np.abs(np.sin(rest * x.dtype.type(math.pi)))
    reflected = np.log(x.dtype.type(math.pi) / (sine * size)) - above
    return np.where((x < 0) & (size != np.inf), reflected, above)


def lgamma(input: Array, out: Array) -> None:
    """The logarithm of the absolute value of the gamma function."""
    others = np.asarray(~((input > 0) & (input < 8)))
    with np.errstate(all="ignore"):
        values = _elsewhere(_lgamma_elsewhere, input, others)
        _lgamma_below_eight(input, out)
        _put(out, others, values)


# ----------------------------------------------------------------- digamma


def _digamma_below_ten(x: Array, out: Array) -> None:
    """By recurrence from [1, 2]; what it makes of other numbers is of no use."""
    rest, term, share = (scratch(out.dtype, out.size, n).reshape(out.shape) for n in (8, 9, 10))
    total = scratch(out.dtype, out.size, 11).reshape(out.shape)
    np.minimum(x, 1, out=share)
    np.floor(share, share)
    np.subtract(share, 1, share)
    np.true_divide(share, x, total)  # -1 / x below 1, where the polynomial is of 1 + x; else 0
    for k in range(1, _steps(x, 9)):
        np.subtract(x, k, term)  # exact
        np.clip(term, 0, 1, share)
        np.floor(share, share)  # 1 where x is so large as to come past here
        np.maximum(term, 1, out=term)
        np.true_divide(share, term, term)
        np.add(total, term, total)
    np.floor(x, rest)
    np.subtract(x, rest, rest)
    np.multiply(rest, 2, term)
    np.subtract(term, 1, term)
    np.add(rest, 1, rest)
    np.subtract(rest, DIGAMMA_ROOT, rest)
    np.subtract(rest, DIGAMMA_ROOT_REST, rest)
    _horner(term, _DIGAMMA[out.itemsize], out)
    np.multiply(out, rest, out)
    np.add(out, total, out)


def _digamma_elsewhere(x: Array) -> Array:
    """From 10 on by its asymptotic series; below 0 by reflection; 0, infinities and NaN."""
    positive = np.where(x < 0, 1 - x, x)
    square = 1 / (positive * positive)
    above = np.empty_like(x)
    _horner(square, DIGAMMA_FAR, above)
    above *= -square
    above += np.log(positive) - 0.5 / positive
    low = positive < 10
    if low.any():
        few = positive[low]
        made = np.empty_like(few)
        _digamma_below_ten(few, made)
        above[low] = made
    rest = x - np.rint(x)  # of -inf it is NaN
    turned = rest * x.dtype.type(math.pi)
    reflected = above - np.cos(turned) / np.sin(turned) * x.dtype.type(math.pi)
    return np.where(x < 0, np.where(rest == 0, np.nan, reflected), above)


def digamma(input: Array, out: Array) -> None:
    """The derivative of lgamma."""
    others = np.asarray(~((input > 0) & (input < 10)))
    with np.errstate(all="ignore"):
        values = _elsewhere(_digamma_elsewhere, input, others)
        _digamma_below_ten(input, out)
        _put(out, others, values)


# ------------------------------------------------------------------ erfinv

_ROOT_HALF = 1 / math.sqrt(2)


def _erfinv_elsewhere(y: Array) -> Array:
    """Beyond 0.85; infinite at 1 and -1, NaN outside."""
    depth = np.sqrt(-np.log((1 - np.abs(y)) * 0.5))
    size = np.empty_like(y)
    _fraction(depth - 1.6, OUTER, size)
    far = depth > 5
    if far.any():
        deep = depth[far]
        made = np.empty_like(deep)
        _fraction(deep - 5, REMOTE, made)
        size[far] = made
    size *= _ROOT_HALF
    made = np.copysign(size, y)
    return np.where(np.abs(y) == 1, np.copysign(np.inf, y).astype(y.dtype), made)


def erfinv(input: Array, out: Array) -> None:
    """The inverse of the error function."""
    others = np.asarray(~(np.abs(input) <= 0.85))
    with np.errstate(all="ignore"):
        values = _elsewhere(_erfinv_elsewhere, input, others)
        centre, square = (scratch(out.dtype, out.size, n).reshape(out.shape) for n in (9, 10))
        np.multiply(input, 0.5, centre)
        np.multiply(centre, centre, square)
        np.subtract(0.180625, square, square)
        _fraction(square, CENTRE, out)
        np.multiply(out, centre, out)
        np.multiply(out, _ROOT_HALF, out)
        _put(out, others, values)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    kinds = {"dtypes": (float32, float64), "specialize": True}
    functions = {"lgamma": lgamma, "digamma": digamma, "erfinv": erfinv}
    table.update({name: in_blocks(kernel) for name, kernel in functions.items()}, **kinds)
