"""Bessel functions of orders 0 and 1, of the first and second kind, and the spherical one.

Source: the Cephes Mathematical Library (S. L. Moshier, "Methods and Programs for Mathematical
Functions", 1989), ``j0`` and ``j1``: fractions up to 5, Hankel's expansion above. PyTorch leaves
out the leading 1 of some denominators and is off by up to 8e-7 there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.ops.families import uniform
from dovetail.ops.pointwise.approximations import (
    NON_DIFFERENTIABLE,
    WIDE,
    circle_mean,
    fraction,
    horner,
    integral,
    special_function,
    valuewise,
    where,
)

__all__: list[str] = []

inf, nan = math.inf, math.nan

_J0_PP = (
    0.0007969367292973471,
    0.08283523921074408,
    1.239533716464143,
    5.447250030587687,
    8.74716500199817,
    5.303240382353949,
    1.0,
)
_J0_PQ = (
    0.0009244088105588637,
    0.08562884743544745,
    1.2535274390105895,
    5.470977403304171,
    8.761908832370695,
    5.306052882353947,
    1.0,
)
_J0_QP = (
    -0.011366383889846916,
    -1.2825271867050931,
    -19.553954425773597,
    -93.20601521237683,
    -177.68116798048806,
    -147.07750515495118,
    -51.41053267665993,
    -6.050143506007285,
)
_J0_QQ = (
    1.0,
    64.3178256118178,
    856.4300259769806,
    3882.4018360540163,
    7240.467741956525,
    5930.727011873169,
    2062.0933166032783,
    242.0057402402914,
)
_J0_RP = (
    -4794432209.782018,
    1956174919465.5657,
    -249248344360967.72,
    9708622510473064.0,
)
_J0_RQ = (
    1.0,
    499.563147152651,
    173785.4016763747,
    48440965.83399621,
    11185553704.535683,
    2112775201154.892,
    310518229857422.56,
    3.1812195594320496e16,
    1.7108629408104315e18,
)
_J1_PP = (
    0.0007621256162081731,
    0.07313970569409176,
    1.1271960812968493,
    5.112079511468076,
    8.424045901417724,
    5.214515986823615,
    1.0,
)
_J1_PQ = (
    0.0005713231280725487,
    0.06884559087544954,
    1.105142326340617,
    5.073863861286015,
    8.399855543276042,
    5.209828486823619,
    1.0,
)
_J1_QP = (
    0.05108625947501766,
    4.982138729512334,
    75.82382841325453,
    366.7796093601508,
    710.8563049989261,
    597.4896124006136,
    211.68875710057213,
    25.207020585802372,
)
_J1_QQ = (
    1.0,
    74.23732770356752,
    1056.4488603826283,
    4986.410583376536,
    9562.318924047562,
    7997.041604473507,
    2826.1927851763908,
    336.0936078106983,
)
_J1_RP = (
    -899971225.7055594,
    452228297998.19403,
    -72749424522181.83,
    3682957328638529.0,
)
_J1_RQ = (
    1.0,
    620.8364781180543,
    256987.25675774884,
    83514679.14319493,
    22151159547.97925,
    4749141220799.914,
    784369607876235.9,
    8.952223361846274e16,
    5.322786203326801e18,
)
_Y0_YP = (
    15592.436785523574,
    -14663929.59039716,
    5435264770.518765,
    -982136065717.9115,
    87590639439536.7,
    -3466283033847297.0,
    4.4273326857256984e16,
    -1.8495080043698668e16,
)
_Y0_YQ = (
    1.0,
    1041.2835366425984,
    626107.330137135,
    268919633.39381415,
    86400248710.3935,
    20297961275010.555,
    3171577528429750.5,
    2.5059625617265306e17,
)
_Y1_YP = (
    1263204747.9017804,
    -647355876379.1603,
    114509511541823.73,
    -8127702555013251.0,
    2.024394757135949e17,
    -7.788771962659501e17,
)
_Y1_YQ = (
    1.0,
    594.3015923461282,
    235564.09294306856,
    73481194.44597217,
    18760131610.870617,
    3882312774962.3857,
    620557727146953.8,
    6.871410873553005e16,
    3.9727060811656064e18,
)

_ZEROS_J0 = (2.404825448989868, 1.0870590460455913e-07), (5.52007794380188, 1.6648443076678411e-07)
_ZEROS_J1 = (3.8317058086395264, 1.6156798594842693e-07), (7.015586614608765, 5.520685410509955e-08)
"""The first two zeros, each as 24 bits, so that float32 holds them, and the rest."""


def _zeros(x: Any, zeros: tuple[tuple[float, float], ...]) -> Any:
    """The product of ``x * x - zero * zero``, with its digits where ``x`` is close to one."""
    (a, a_rest), (b, b_rest) = zeros
    return ((x - a) - a_rest) * (x + (a + a_rest)) * ((x - b) - b_rest) * (x + (b + b_rest))


def _hankel(x: Any, order: int, is_second: bool) -> Any:
    """The expansion for ``x`` of 5 and more; of the second kind, sine and cosine change places.

    Sine and cosine of ``x - pi / 4`` are made from those of ``x``, so that nothing of a large ``x``
    is rounded away.
    """
    pp, pq, qp, qq = (_J1_PP, _J1_PQ, _J1_QP, _J1_QQ) if order else (_J0_PP, _J0_PQ, _J0_QP, _J0_QQ)
    w = 5.0 / x
    square = w * w
    p, q = fraction(square, pp, pq), w * fraction(square, qp, qq)
    sine, cosine = x.sin(), x.cos()
    near, far = cosine + sine, sine - cosine  # cos and sin of x - pi / 4, times sqrt(2)
    if order:  # of x - 3 pi / 4
        near, far = far, -near
    made = p * far + q * near if is_second else p * near - q * far
    return made / (x * math.pi).sqrt()


def _j0_near(x: Any) -> Any:
    return _zeros(x, _ZEROS_J0) * fraction(x * x, _J0_RP, _J0_RQ)


def _j1_near(x: Any) -> Any:
    return x * _zeros(x, _ZEROS_J1) * fraction(x * x, _J1_RP, _J1_RQ)


def _bessel_j(x: Any, order: int) -> Any:
    size = x.abs()
    near = _j1_near if order else _j0_near
    made = where(size.le(5.0), near(size), _hankel(size, order, is_second=False))
    return where(x.lt(0), -made, made) if order else made


def _y0_near(x: Any) -> Any:
    return fraction(x * x, _Y0_YP, _Y0_YQ) + x.log() * _j0_near(x) * (2 / math.pi)


def _y1_near(x: Any) -> Any:
    regular = x * fraction(x * x, _Y1_YP, _Y1_YQ)
    return regular + (_j1_near(x) * x.log() - 1.0 / x) * (2 / math.pi)


def _bessel_y(x: Any, order: int) -> Any:
    near = _y1_near if order else _y0_near
    made = where(x.le(5.0), near(x), _hankel(x, order, is_second=True))
    return where(x.eq(0), -inf, made)  # below 0 the logarithm is NaN


def _j_value(x: float, order: int) -> float:
    if math.isinf(x) or not x:
        return nan if x else 1.0 - order
    return circle_mean(lambda t: np.cos(order * t - x * np.sin(t)))


def _y_value(x: float, order: int) -> float:
    """DLMF 10.9.7."""
    if x <= 0 or math.isinf(x):
        return -inf if x == 0 else nan
    swings = integral(lambda t: np.sin(x * np.sin(t) - order * t), 0, math.pi, 256)
    sign = (-1) ** order
    end = math.asinh(760 / x)
    falls = integral(
        lambda t: (np.exp(order * t) + sign * np.exp(-order * t)) * np.exp(-x * np.sinh(t)),
        0, end, 256,
    )  # fmt: skip
    return (swings - falls) / math.pi


def _define(
    name: str, forward: Callable[..., Any], value: Callable[..., float], order: int,
    low: float, special: tuple[float, ...], doc: str,
) -> None:  # fmt: skip
    special_function(
        name,
        lambda input: forward(input, order),
        gradient=NON_DIFFERENTIABLE,
        accepts=WIDE,
        reference=valuewise(lambda x: value(x, order)),
        samples=uniform(low, 20),
        special=special,
        ulp=64,
        against="largest",  # it swings, and near its zeros the argument's rounding shows
        doc=doc,
    )


_ANY = (0.0, 1e-7, 0.5, -1.0, 4.75, 5.0, 5.5, -7.0, 100.0, inf, -inf, nan)
_POSITIVE = (0.0, 1e-7, 0.5, -1.0, 4.75, 5.0, 5.5, 100.0, inf, nan)
for _order in (0, 1):
    _define(
        f"bessel_j{_order}", _bessel_j, _j_value, _order, -10, _ANY,
        f"The Bessel function of the first kind of order {_order}.",
    )  # fmt: skip
    _define(
        f"bessel_y{_order}", _bessel_y, _y_value, _order, 0.1, _POSITIVE,
        f"The Bessel function of the second kind of order {_order}: -inf at 0, NaN below.",
    )  # fmt: skip


# the spherical function

_SPHERICAL = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(7, -1, -1))


def _spherical(x: Any) -> Any:
    made = where(x.abs().lt(0.5), horner(x * x, _SPHERICAL), x.sin() / x)
    return where(x.abs().eq(inf), 0.0, made)


special_function(
    "spherical_bessel_j0",
    _spherical,
    inputs=("x",),
    gradient=NON_DIFFERENTIABLE,
    accepts=WIDE,
    reference=valuewise(lambda x: 0.0 if math.isinf(x) else math.sin(x) / x if x else 1.0),
    samples=uniform(-10, 10),
    special=(0.0, -0.0, 1e-9, 0.25, -0.5, 0.75, 3.0, inf, -inf, nan),
    ulp=16,
    doc="The spherical Bessel function of order 0, ``sin(x) / x``.",
)
