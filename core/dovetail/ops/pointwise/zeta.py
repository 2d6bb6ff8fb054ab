"""The Hurwitz zeta function: by Euler and Maclaurin's formula, and reflection below zero.

Source: DLMF 25.11.28 (https://dlmf.nist.gov/25.11), with the sizes of Cephes' ``zeta``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.ops.families import PAIRS, draw
from dovetail.ops.pointwise.approximations import (
    WIDE,
    special_function,
    valuewise,
    where,
    without_derivative,
)
from dovetail.ops.schema import Sample
from dovetail.tensor import Tensor

__all__ = ["polygamma_value", "zeta_of"]

inf, nan = math.inf, math.nan

_TERMS = 10
"""Terms summed one by one; the rest is an integral with corrections."""

_CORRECTIONS = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
    1 / 74724249600, -3617 / 10670622842880000, 43867 / 5109094217170944000,
    -174611 / 802857662698291200000, 77683 / 14101100039391805440000,
    -236364091 / 1693824136731743669452800000,
)  # fmt: skip
"""Bernoulli's numbers B(2k) over (2k)!."""


def _of_positive(s: Any, q: Any) -> Any:
    """For ``s`` above 1 and ``q`` above 0."""
    minus = -s
    total = q**minus
    for k in range(1, _TERMS):
        total = total + (q + float(k)) ** minus
    far = q + float(_TERMS)
    last = far**minus
    square = far * far
    corrections: Any = 0.0
    for k in range(len(_CORRECTIONS), 0, -1):
        step = (s + float(2 * k - 1)) * (s + float(2 * k)) / square
        corrections = step * corrections + last * _CORRECTIONS[k - 1]  # 0 beside a large step
    return total + last * (far / (s - 1.0) + 0.5) + s * corrections / far


def zeta_of(s: Any, q: Any) -> Any:
    """``sum((k + q) ** -s for k = 0, 1, …)``; ``s`` may be a whole number above 1.

    Below zero and for whole ``s`` the terms are summed from both sides of zero: with
    ``r = -q - floor(-q)`` they are those of ``zeta(s, 1 - r)``, and, with the sign of
    ``(-1) ** s``, those of ``zeta(s, r)`` less those of ``zeta(s, 1 - q)``.
    """
    from dovetail import ops

    if not isinstance(q, Tensor):
        q = s.new_full((), q)
    if isinstance(s, Tensor):
        q, s = ops.broadcast_tensors(q, s)
    is_low, is_whole = q.le(0), q.eq(q.floor())
    below = where(is_low, q, -0.5)
    rest = -below - (-below).floor()
    places = (where(is_low, rest, q), 1.0 - rest, 1.0 - below)
    first, second, third = (_of_positive(s, place) for place in places)
    swing = first - third
    if isinstance(s, Tensor):
        swing = where((s * 0.5).floor().eq(s * 0.5), swing, -swing)
    elif s % 2:
        swing = -swing
    made = where(is_low, second + swing, first)
    made = where(is_low & is_whole, inf, where(q.eq(inf), 0.0, made))
    if not isinstance(s, Tensor):
        return where(q.isnan(), nan, made)
    made = where(is_low & is_whole.logical_not() & s.ne(s.floor()), nan, made)
    endless = where(q.gt(1), 0.0, where(q.lt(1), inf, q))  # 1 at 1
    made = where(s.eq(inf), endless, made)
    made = where(s.gt(1), made, nan)
    made = where(s.eq(1), inf, made)
    return where(q.isnan(), nan, made)


def _zeta_value(s: float, q: float) -> float:
    if s <= 1:
        return inf if s == 1 else nan
    if math.isinf(s):
        return 0.0 if q > 1 else 1.0 if q == 1 else inf
    if q <= 0:
        if math.isinf(q) or q == math.floor(q):
            return inf
        if s != math.floor(s):
            return nan
    if math.isinf(q):
        return 0.0
    steps = 40 + max(0, -math.floor(q))
    terms = [(q + k) ** -s for k in range(steps)]
    far = q + steps
    base = far**-s
    terms += [far * base / (s - 1), base / 2, s * base / far / 12]
    terms.append(-s * (s + 1) * (s + 2) * base / far**3 / 720)
    terms.append(s * (s + 1) * (s + 2) * (s + 3) * (s + 4) * base / far**5 / 30240)
    return math.fsum(terms)


def polygamma_value(n: int, x: float) -> float:
    """The derivative of order ``n`` (1 or more) of digamma at a number, for references."""
    made = math.factorial(n) * _zeta_value(n + 1.0, x)
    return made if n % 2 else -made


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = [Sample((draw(rng, a, dtype, 2, 5), draw(rng, b, dtype, 1, 6))) for a, b in PAIRS]
    some = draw(rng, (5,), dtype, 2, 9)
    orders = np.array([2, 3, 4, 3]).astype(dtype.numpy)
    found = [
        *made,
        Sample((some, 0.5)),
        Sample((3.0, some)),
        Sample((orders, draw(rng, (4,), dtype, -3.8, -3.2)), name="below zero"),
    ]
    if dtype.category == 2:
        far = np.array([-30.75, -12.25, -1.75, -20.25], dtype.numpy)
        found.append(Sample((orders, far), name="far below zero"))
    return found


def _zeta(input: Any, other: Any) -> Any:
    return zeta_of(input if isinstance(input, Tensor) else other.new_full((), input), other)


def _zeta_gradient(g: Any, input: Any, other: Any) -> Any:
    from dovetail import special

    return g * (special.zeta(input + 1, other) * -input)


special_function(
    "zeta",
    _zeta,
    accepts=WIDE,
    inputs=("input", "other"),
    gradient={
        "input": without_derivative("zeta"),
        "other": _zeta_gradient,
    },
    reference=valuewise(_zeta_value),
    samples=_samples,
    special=(0.5, 1.0, 1.5, 2.0, 3.0, 8.5, 60.0, -1.0, -0.5, -2.5, inf, nan),
    ulp=64,
    doc="Hurwitz's zeta function: the sum of ``(k + other) ** -input`` over ``k = 0, 1, …``.",
)
