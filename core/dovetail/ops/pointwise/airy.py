"""The Airy function Ai.

Source: the Cephes Mathematical Library (S. L. Moshier, "Methods and Programs for Mathematical
Functions", 1989), ``airy``: Maclaurin's series near 0, fractions beyond. PyTorch leaves out the
leading 1 of two denominators and is off by 1e-8 below -2.09.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import Any

from dovetail.ops.families import uniform
from dovetail.ops.pointwise.approximations import (
    NON_DIFFERENTIABLE,
    WIDE,
    fraction,
    horner,
    special_function,
    valuewise,
    where,
)

__all__: list[str] = []

inf, nan = math.inf, math.nan

_AN = (
    0.346538101525629,
    12.007595273964581,
    76.27960536152345,
    168.08922493463058,
    159.75639135016442,
    70.53609068404442,
    14.026469116338967,
    1.0,
)
_AD = (
    0.5675945326387702,
    14.75625625848472,
    84.51389701414746,
    177.31808814540045,
    164.2346928715297,
    71.47784008255756,
    14.095913560783403,
    1.0,
)
_AFN = (
    -0.1316963234183318,
    -0.6264565444319123,
    -0.6931580360369335,
    -0.2797799815451191,
    -0.04919001326095003,
    -0.004062659235948854,
    -0.0001592764962392621,
    -2.776491081552329e-06,
    -1.6778769848911465e-08,
)
_AFD = (
    1.0,
    13.356042070655324,
    32.682503279522464,
    26.736704094149957,
    9.187074029072596,
    1.4752914677166642,
    0.11568717379518804,
    0.004402916416152112,
    7.547203482874142e-05,
    4.5185009297058035e-07,
)
_AGN = (
    0.01973399320916857,
    0.39110302961568827,
    1.0657989759959559,
    0.9391692298166502,
    0.35146565610554764,
    0.06338889196289255,
    0.005858041130483885,
    0.000282851600836737,
    6.98793669997261e-06,
    8.117892395543892e-08,
    3.415517847659236e-10,
)
_AGD = (
    1.0,
    9.30892908077442,
    19.835292871831214,
    15.564662893286462,
    5.476860694229755,
    0.9542936116189619,
    0.08645808263523921,
    0.004126565238242226,
    0.00010125908511650914,
    1.1716673321441352e-06,
    4.9183457006293e-09,
)

EDGE = 2.09
"""Up to here on both sides the series serves."""

_AT_0 = "0.355028053887817239260063186004183176397979174199177304066744"
_SLOPE = "0.258819403792806798405183560189203963479091138354934639181573"


def _series(first: int, value: float) -> tuple[float, ...]:
    """Coefficients of Maclaurin's series in powers of the cube; DLMF 9.4.1."""
    made = [value]
    for k in range(1, 20):
        made.append(made[-1] / ((3 * k - 1 + first) * (3 * k + first)))
    return tuple(reversed(made))


_EVEN, _ODD = _series(0, float(_AT_0)), _series(1, float(_SLOPE))


def _near(x: Any) -> Any:
    cube = x * x * x
    return horner(cube, _EVEN) - x * horner(cube, _ODD)


def _falling(x: Any) -> Any:
    root = x.sqrt()
    size = x * root * (2 / 3)
    scale = (-size).exp() / root.sqrt() * (0.5 / math.sqrt(math.pi))
    return fraction(1.0 / size, _AN, _AD) * scale


def _swinging(x: Any) -> Any:
    """For minus the argument."""
    root = x.sqrt()
    size = x * root * (2 / 3)
    z = 1.0 / size
    square = z * z
    even = fraction(square, _AFN, _AFD) * square + 1.0
    odd = fraction(square, _AGN, _AGD) * z
    sine, cosine = size.sin(), size.cos()  # those of size + pi / 4 are their sum and difference
    swing = (sine + cosine) * even - (cosine - sine) * odd
    return swing / root.sqrt() * (1 / math.sqrt(2 * math.pi))


def _airy_ai(x: Any) -> Any:
    made = where(x.gt(EDGE), _falling(x), where(x.lt(-EDGE), _swinging(-x), _near(x)))
    return where(x.eq(inf), nan, made)  # the swing of -inf is NaN by itself


def _airy_value(x: float) -> float:
    """The series with as many digits as cancel."""
    if math.isinf(x):
        return nan
    if x > 110:
        return 0.0
    with localcontext() as context:
        context.prec = 120
        cube = Decimal(x) ** 3
        even, odd = Decimal(_AT_0), Decimal(_SLOPE) * Decimal(x)
        total, k = even - odd, 0
        while k < 10 or max(abs(even), abs(odd)) > Decimal(10) ** -40:
            k += 1
            even = even * cube / ((3 * k - 1) * 3 * k)
            odd = odd * cube / (3 * k * (3 * k + 1))
            total += even - odd
        return float(total)


special_function(
    "airy_ai",
    _airy_ai,
    inputs=("x",),
    gradient=NON_DIFFERENTIABLE,
    accepts=WIDE,
    reference=valuewise(_airy_value),
    samples=uniform(-9, 6),
    special=(0.0, -0.0, 1.0, -1.0, 2.0, 2.25, -2.25, 8.5, 120.0, inf, -inf, nan),
    ulp=256,
    against="largest",  # below 0 it swings, and the argument's rounding shows
    doc="The Airy function Ai; NaN at infinities, as PyTorch has it.",
)
