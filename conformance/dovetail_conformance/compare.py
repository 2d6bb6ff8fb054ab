"""Comparing a device's result with the reference, per operator and dtype, as its record says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.schema import OpDef
from dovetail_conformance.model import Mismatch

__all__ = ["EPS", "check_close", "check_equal", "tolerance_of"]

EPS = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "complex128": 2.0**-52,
    "complex64": 2.0**-23,
}
"""Distance from 1 to the next number, per dtype."""

_TINY = {
    "float64": 2.0**-1022,
    "float32": 2.0**-126,
    "float16": 2.0**-14,
    "bfloat16": 2.0**-126,
    "complex128": 2.0**-1022,
    "complex64": 2.0**-126,
}
"""Smallest normal number; below it a device may flush to zero."""


_COMPLEX = 3
"""A complex product or quotient is several rounded steps."""


def tolerance_of(
    op: OpDef, dtype: d.dtype, expected: np.ndarray, arguments: Sequence[Any] = ()
) -> np.ndarray | float:
    """Absolute error allowed per element of ``expected``.

    An elementwise result may be the record's ``ulp`` units in the last place off. Any other result
    is measured against the largest of its elements, and the sum of K terms may be off by sqrt(K)
    times as much (the expected growth of rounding errors; Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., section 2.8).
    """
    eps, tiny = EPS[dtype.name], _TINY[dtype.name]
    size = np.abs(expected)
    unit = max(op.tolerance.ulp, 1.0) * eps * (_COMPLEX if dtype.is_complex else 1)
    if op.tolerance.elementwise(op.kind):
        return np.asarray(unit * np.maximum(size, tiny))
    finite = size[np.isfinite(size)]
    scale = float(finite.max(initial=tiny))
    if op.tolerance.against == "inputs":
        scale = max(scale, *map(_largest, arguments))
    growth = math.sqrt(op.tolerance.terms(op.kind, arguments))
    if dtype.itemsize == 2:  # the terms are gathered in float32, and the sum is rounded once
        growth = 1 + growth * EPS["float32"] / eps
    return unit * scale * growth


def _largest(value: Any) -> float:
    if not isinstance(value, np.ndarray) or value.dtype.kind in "biuO" or not value.size:
        return 0.0
    size = np.abs(value.astype(complex if value.dtype.kind == "c" else float))
    return float(size[np.isfinite(size)].max(initial=0.0))


def check_close(
    made: np.ndarray,
    expected: Any,
    dtype: d.dtype,
    allowed: np.ndarray | float,
    what: str,
) -> float:
    """Compare floats or complex numbers; returns the largest error in tolerances.

    NaN must be where the reference has NaN, and infinities where it has them, with their sign. A
    number too large for ``dtype`` may be infinite or the largest there is.

    Raises:
        Mismatch: the worst element, both values, its place, and how many others are wrong.
    """
    expected = np.asarray(expected)
    _check_shape(made, expected, what)
    wide: Any = np.complex128 if dtype.is_complex else np.float64
    a, b = made.astype(wide), expected.astype(wide)
    if not a.size:
        return 0.0
    with np.errstate(all="ignore"):
        overflows = np.isfinite(b) & ~np.isfinite(b.astype(dtype.numpy).astype(wide))
        error = np.abs(a - b)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        if dtype.is_complex:  # inf + nan j and the like: both parts in the same class
            same |= (~np.isfinite(b)) & (~np.isfinite(a))
        most = d.finfo(dtype).max if not dtype.is_complex else math.inf
        same |= overflows & (np.abs(a) >= most) & (np.sign(a.real) == np.sign(b.real))
        ratio = np.where(same, 0.0, error / np.broadcast_to(allowed, error.shape))
        ratio = np.where(np.isnan(ratio), math.inf, ratio)
    worst = float(ratio.max())
    if worst > 1:
        raise Mismatch(_describe(a, b, ratio, what, worst), ratio=min(worst, 1e30))
    return worst


def check_equal(made: np.ndarray, expected: Any, what: str) -> float:
    """Compare integers and bools, which must be equal.

    Raises:
        Mismatch: the first differing element, both values, its place, how many others differ.
    """
    expected = np.asarray(expected)
    _check_shape(made, expected, what)
    with np.errstate(all="ignore"):
        b = expected.astype(made.dtype)
    ratio = np.asarray(made != b).astype(float)
    if ratio.any():
        raise Mismatch(_describe(made, b, ratio, what, None))
    return 0.0


def _check_shape(made: np.ndarray, expected: np.ndarray, what: str) -> None:
    if made.shape != expected.shape:
        raise Mismatch(f"{what}: must have shape {expected.shape}, got {made.shape}", check="shape")


def _describe(
    made: np.ndarray, expected: np.ndarray, ratio: np.ndarray, what: str, worst: float | None
) -> str:
    wrong = int((ratio > (1 if worst is not None else 0)).sum())
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
    text = (
        f"{what}: element {list(at)} must be {expected[at]!s}, got {made[at]!s}; "
        f"{wrong} of {made.size} elements are wrong"
    )
    if wrong and wrong < made.size:
        places = [tuple(int(i) for i in p) for p in np.argwhere(ratio > (worst is not None))]
        last = tuple(n - 1 for n in made.shape)
        if places == [last] or (made.ndim and {p[-1] for p in places} == {made.shape[-1] - 1}):
            text += " (only the last of each row)" if places != [last] else " (only the last)"
    if worst is not None and math.isfinite(worst):
        text += f"; the largest error is {worst:.3g} tolerances"
    return text
