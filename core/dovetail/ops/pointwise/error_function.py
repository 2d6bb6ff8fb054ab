"""The error function's relatives: erfc, erfcx, erfinv, and the normal distribution's functions."""

from __future__ import annotations

import math
from typing import Any

from dovetail.backend.coefficients import CENTRE, OUTER, REMOTE
from dovetail.ops.families import uniform
from dovetail.ops.pointwise.approximations import (
    WIDE,
    exp_of_square,
    fraction,
    special_function,
    valuewise,
    where,
)

__all__ = ["erfcx_reference"]

inf, nan = math.inf, math.nan
ROOT_PI = math.sqrt(math.pi)
ROOT_2 = math.sqrt(2)

# erfc(x) * exp(x * x), for x in [0.46875, 4] and above. Source: W. J. Cody, "Rational Chebyshev
# approximations for the error function", Math. Comp. 23 (1969), 631-637.
_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
     1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3,
     1.23033935480374942e3),
)  # fmt: skip
_FAR = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1,
     1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1,
     6.05183413124413191e-2, 2.33520497626869185e-3),
)  # fmt: skip
NEAR = 0.46875
"""Up to here 1 - erf(x) loses nothing."""


def _far(x: Any) -> Any:
    square = 1.0 / (x * x)
    return (1 / ROOT_PI - square * fraction(square, *_FAR)) / x


def _scaled_tail(x: Any) -> Any:
    """``erfc(x) * exp(x * x)`` for ``x`` of ``NEAR`` and above."""
    return where(x.le(4.0), fraction(x, *_MIDDLE), _far(x))


def _erfc(x: Any) -> Any:
    return where(x.le(NEAR), 1.0 - x.erf(), _scaled_tail(x) * exp_of_square(x, -1.0))


def _erfcx(x: Any) -> Any:
    return where(x.le(NEAR), exp_of_square(x, 1.0) * (1.0 - x.erf()), _scaled_tail(x))


def _erfcx_value(x: float) -> float:
    """By Laplace's continued fraction above 2, from ``math.erfc`` below."""
    if x < -26.7:
        return inf
    if x < 2:
        return math.exp(x * x) * math.erfc(x)
    below = x
    for k in range(300, 0, -1):
        below = x + k / 2 / below
    return 1 / (ROOT_PI * below)


erfcx_reference = valuewise(_erfcx_value)

special_function(
    "erfc",
    _erfc,
    public=True,
    gradient=lambda g, input: g * ((-input * input).exp() * (-2 / ROOT_PI)),
    reference=valuewise(math.erfc),
    samples=uniform(-3, 6),
    special=(0.0, -0.0, 0.46875, 0.5, 4.0, 4.5, -1.0, 11.0, 22.8, 26.5, 30.0, inf, -inf, nan),
    ulp=16,
    doc="The complementary error function, ``1 - erf(input)`` without the cancellation.",
)
special_function(
    "erfcx",
    _erfcx,
    accepts=WIDE,
    gradient=lambda g, input, out: g * (input * out * 2.0 - 2 / ROOT_PI),
    reference=erfcx_reference,
    samples=uniform(-2, 6),
    special=(0.0, -0.0, 0.46875, 0.5, 4.0, 4.5, -1.0, 60.0, 1e8, -22.8, -27.0, inf, -inf, nan),
    ulp=16,
    doc="The scaled complementary error function, ``exp(input**2) * erfc(input)``.",
)

# the inverse of the normal distribution function


def _quantile(centre: Any, tail: Any) -> Any:
    """The quantile of the probability ``0.5 + centre``, where ``tail`` is the smaller of it and 1
    less it; NaN where that is below 0, infinities are the caller's."""
    central = centre * fraction(0.180625 - centre * centre, *CENTRE)
    depth = (-tail.log()).sqrt()
    outer, remote = fraction(depth - 1.6, *OUTER), fraction(depth - 5.0, *REMOTE)
    size = where(depth.le(5.0), outer, remote)
    return where(centre.abs().le(0.425), central, where(centre.lt(0), -size, size))


def _edges(made: Any, x: Any, low: float, high: float) -> Any:
    """``made``, infinite at the ends of [low, high]; outside, the logarithm has made it NaN."""
    return where(x.eq(high), inf, where(x.eq(low), -inf, made))


def _erfinv(y: Any) -> Any:
    return _edges(_quantile(y * 0.5, (1.0 - y.abs()) * 0.5) * (1 / ROOT_2), y, -1.0, 1.0)


def _ndtri(p: Any) -> Any:
    return _edges(_quantile(p - 0.5, p.minimum(1.0 - p)), p, 0.0, 1.0)


def _bisect(function: Any, low: float, high: float) -> float:
    """Where an increasing function crosses 0, to the last digit."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _erfinv_value(y: float) -> float:
    if abs(y) >= 1:
        return math.copysign(inf, y) if abs(y) == 1 else nan
    if not y:
        return y
    rest = 1 - abs(y)
    if rest > 0.5:
        size = _bisect(lambda x: math.erf(x) - abs(y), 0.0, 1.0)
    else:
        size = _bisect(lambda x: rest - math.erfc(x), 0.0, 10.0)
    return math.copysign(size, y)


def _ndtri_value(p: float) -> float:
    if p <= 0 or p >= 1:
        return -inf if p == 0 else inf if p == 1 else nan
    rest = min(p, 1 - p)
    if rest > 0.25:
        size = ROOT_2 * abs(_erfinv_value(2 * (rest - 0.5)))
    else:
        size = _bisect(lambda x: rest - 0.5 * math.erfc(x / ROOT_2), 0.0, 40.0)
    return size if p >= 0.5 else -size


special_function(
    "erfinv",
    _erfinv,
    public=True,
    gradient=lambda g, out: g * ((out * out).exp() * (ROOT_PI / 2)),
    reference=valuewise(_erfinv_value),
    samples=uniform(-0.95, 0.95),
    special=(0.0, 1e-9, -0.3, 0.85, -0.86, 0.9999, 1 - 2.0**-45, 1.0, -1.0, 1.5, inf, nan),
    ulp=16,
    doc="The inverse of the error function: infinite at -1 and 1, NaN beyond.",
)
special_function(
    "ndtri",
    _ndtri,
    accepts=WIDE,
    gradient=lambda g, out: g * ((out * out * 0.5).exp() * (ROOT_2 * ROOT_PI)),
    reference=valuewise(_ndtri_value),
    samples=uniform(0.02, 0.98),
    special=(0.5, 0.075, 0.9, 0.07, 1e-5, 1e-12, 1e-200, 0.0, 1.0, -0.5, 1.5, nan),
    ulp=16,
    doc="The inverse of ``ndtr``: the quantile of the standard normal distribution.",
)

# the normal distribution


def _ndtr(x: Any) -> Any:
    y = x * (1 / ROOT_2)
    tail = _scaled_tail(-y) * exp_of_square(x, -0.5) * 0.5
    return where(y.lt(-NEAR), tail, y.erf() * 0.5 + 0.5)


def _log_ndtr(x: Any) -> Any:
    """Below -1 from the scaled tail, so that nothing underflows."""
    low = (_scaled_tail(x * (-1 / ROOT_2)) * 0.5).log() - x * x * 0.5
    return where(x.lt(-1.0), low, (-_ndtr(-x)).log1p())


def _log_ndtr_value(x: float) -> float:
    if x < -1:
        return math.log(_erfcx_value(-x / ROOT_2) / 2) - x * x / 2 if x > -inf else -inf
    return math.log1p(-0.5 * math.erfc(x / ROOT_2))


def _ndtr_value(x: float) -> float:
    if x > -2 or x < -40:
        return 0.5 * math.erfc(-x / ROOT_2)
    few = round(x * 16) / 16  # whose square is exact
    size = math.exp(-few * few / 2) * math.exp(-(x - few) * (x + few) / 2)
    return 0.5 * _erfcx_value(-x / ROOT_2) * size


def _density(x: Any) -> Any:
    return (x * x * -0.5).exp() * (1 / (ROOT_2 * ROOT_PI))


def _log_ndtr_gradient(g: Any, input: Any) -> Any:
    from dovetail import special

    return g / special.erfcx(input * (-1 / ROOT_2)) * (ROOT_2 / ROOT_PI)


special_function(
    "ndtr",
    _ndtr,
    gradient=lambda g, input: g * _density(input),
    reference=valuewise(_ndtr_value),
    samples=uniform(-4, 4),
    special=(0.0, -0.0, 0.66, -0.67, 1.0, -1.0, 6.0, -6.0, -24.3, inf, -inf, nan),
    ulp=16,
    doc="The distribution function of the standard normal distribution.",
)
special_function(
    "log_ndtr",
    _log_ndtr,
    accepts=WIDE,
    gradient=_log_ndtr_gradient,
    reference=valuewise(_log_ndtr_value),
    samples=uniform(-6, 4),
    special=(0.0, -1.0, -1.01, 1.0, 6.0, -20.0, -1e5, inf, -inf, nan),
    ulp=16,
    doc="The logarithm of ``ndtr``, without underflow.",
)
