"""The gamma function's logarithm and its derivatives, and the Hurwitz zeta function.

The approximations on [1, 2] are Chebyshev expansions of ``lgamma(x) / ((x - 1) * (x - 2))`` and
``digamma(x) / (x - root)``, computed with 50 digits and written as polynomials in ``2 * x - 3``.
The nearest pole is three half widths from the middle: each coefficient is worth 0.76 digits.
Recurrence, reflection and asymptotic series: DLMF, chapter 5 (https://dlmf.nist.gov/5).
"""

from __future__ import annotations

import functools
import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.backend.coefficients import (
    DIGAMMA_FAR,
    DIGAMMA_NEAR_ONE,
    DIGAMMA_ROOT,
    DIGAMMA_ROOT_REST,
    LGAMMA_NEAR_ONE,
    STIRLING,
)
from dovetail.dispatch import call
from dovetail.ops.expose import attach, inplace_method
from dovetail.ops.families import SHAPES, composite, draw, elementwise_infer, to_float, uniform
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.ops.pointwise.approximations import (
    REAL,
    horner,
    sin_pi,
    special_function,
    valuewise,
    where,
)
from dovetail.ops.pointwise.zeta import polygamma_value, zeta_of
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["log_gamma", "log_gamma_of_one_plus", "mvlgamma", "polygamma", "stirling_rest"]

inf, nan = math.inf, math.nan

_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


# lgamma


def stirling_rest(x: Any) -> Any:
    """What Stirling's formula leaves of ``lgamma(x)``, for ``x`` of 8 and more. DLMF 5.11.1."""
    return horner(1.0 / (x * x), STIRLING) / x


def log_gamma_of_one_plus(x: Any) -> Any:
    """``lgamma(1 + x)`` for ``x`` in [0, 1], to its last digits near 0."""
    return x * (x - 1.0) * horner(x * 2.0 - 1.0, LGAMMA_NEAR_ONE)


def _below_eight(x: Any) -> Any:
    """By recurrence from [1, 2], for ``x`` in (0, 8)."""
    is_small = x.lt(1.0)
    steps = x.floor()
    rest = where(is_small, x, x - steps)
    factor = where(is_small, x, 1.0)
    for k in range(1, 7):
        factor = where(steps.gt(k), factor * (rest + float(k)), factor)
    log = factor.log()
    return log_gamma_of_one_plus(rest) + where(is_small, -log, log)


def _of_large(x: Any) -> Any:
    return (x - 0.5) * (x.log() - 1.0) + (stirling_rest(x) + (_HALF_LOG_TAU - 0.5))


def log_gamma(x: Any) -> Any:
    """``log(abs(gamma(x)))`` of a floating tensor."""
    size = x.abs()
    above = where(size.lt(8.0), _below_eight(size), _of_large(size))
    reflected = (math.pi / (sin_pi(x).abs() * size)).log() - above
    return where(x.lt(0) & size.ne(inf), reflected, above)


_ORDERS = range(2, 60)


@functools.cache
def _zetas_less_1() -> list[float]:
    """By Euler and Maclaurin's formula from 60 on."""
    made = []
    for k in _ORDERS:
        far = 60.0**-k
        rising = k * (k + 1) * (k + 2)
        rest = [far * 60 / (k - 1), far / 2, far * k / 12 / 60, -far * rising / 720 / 60**3]
        rest.append(far * rising * (k + 3) * (k + 4) / 30240 / 60**5)
        made.append(math.fsum([*(float(j) ** -k for j in range(2, 60)), *rest]))
    return made


def _lgamma_value(x: float) -> float:
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return inf
    if not 0.5 < x < 2.5:
        return math.lgamma(x)
    # math.lgamma loses digits beside its zeros; DLMF 5.7.3 does not
    t = x - 1 if x < 1.5 else x - 2
    euler = 0.57721566490153286061
    series = [(-t) ** k * z / k for k, z in zip(_ORDERS, _zetas_less_1(), strict=True)]
    return math.fsum([t * (1 - euler), *series, -math.log1p(t) if x < 1.5 else 0.0])


special_function(
    "lgamma",
    log_gamma,
    public=True,
    gradient=lambda g, input: g * input.digamma(),
    reference=valuewise(_lgamma_value),
    samples=lambda rng, dtype: [*uniform(0.1, 14)(rng, dtype), *uniform(-0.95, -0.05)(rng, dtype)],
    special=(0.0, 1.0, 2.0, 1e-9, 1 + 2.0**-30, 2 - 2.0**-30, 1.5, 7.9, 8.0, 1e3, 1e300, -1.0,
             -1.5, -170.25, -1e-9, inf, -inf, nan),
    ulp=32,
    doc="The logarithm of the absolute value of the gamma function.",
)  # fmt: skip


# digamma


def _psi_below_ten(x: Any) -> Any:
    is_small = x.lt(1.0)
    steps = x.floor()
    base = where(is_small, x, x - steps) + 1.0
    total = horner(base * 2.0 - 3.0, DIGAMMA_NEAR_ONE) * ((base - DIGAMMA_ROOT) - DIGAMMA_ROOT_REST)
    total = where(is_small, total - 1.0 / x, total)
    for k in range(8):
        total = where(steps.gt(k + 1), total + 1.0 / (base + float(k)), total)
    return total


def _psi_of_large(x: Any) -> Any:
    square = 1.0 / (x * x)
    return x.log() - 0.5 / x - square * horner(square, DIGAMMA_FAR)


def _digamma(x: Any) -> Any:
    is_negative = x.lt(0)
    positive = where(is_negative, 1.0 - x, x)
    above = where(positive.lt(10.0), _psi_below_ten(positive), _psi_of_large(positive))
    rest = x - x.round()  # of -inf it is NaN
    turned = rest * math.pi
    reflected = where(rest.eq(0), nan, above - turned.cos() / turned.sin() * math.pi)
    return where(is_negative, reflected, above)


def _digamma_value(x: float) -> float:
    if x == 0:
        return math.copysign(inf, -x)
    if math.isinf(x) or (x < 0 and x == math.floor(x)):
        return inf if x == inf else nan
    if x < 0:
        return _digamma_value(1 - x) - math.pi / math.tan(math.pi * (x - round(x)))
    with localcontext() as context:  # for the digits beside its zero
        context.prec = 40
        steps = max(0, 60 - math.floor(x))
        far = Decimal(x) + steps
        square = 1 / far / far
        tail = square / 12 - square**2 / 120 + square**3 / 252 - square**4 / 240 + 1 / far / 2
        return float(far.ln() - tail - sum(1 / (Decimal(x) + k) for k in range(steps)))


special_function(
    "digamma",
    _digamma,
    public=True,
    gradient=lambda g, input: g * polygamma(1, input),
    reference=valuewise(_digamma_value),
    samples=lambda rng, dtype: [*uniform(0.1, 14)(rng, dtype), *uniform(-4.9, -0.1)(rng, dtype)],
    special=(0.0, -0.0, 1.0, 1.5, 2.0, 1e-9, 0.9999, 9.9, 10.0, 1e3, 1e300, -1.0, -2.25, -1e-9,
             inf, -inf, nan),
    ulp=64,
    doc="The logarithmic derivative of the gamma function; NaN at its negative poles.",
)  # fmt: skip


# polygamma

_TRIGAMMA = (-3617 / 510, 7 / 6, -691 / 2730, 5 / 66, -1 / 30, 1 / 42, -1 / 30, 1 / 6)


def _trigamma(x: Any) -> Any:
    is_low = x.lt(0.5)
    above = where(is_low, 1.0 - x, x)
    total: Any = 1.0 / (above * above)
    for k in range(1, 10):
        step = above + float(k)
        total = total + 1.0 / (step * step)
    far = 1.0 / (above + 10.0)
    square = far * far
    total = total + far * (square * horner(square, _TRIGAMMA) + far * 0.5 + 1.0)
    sine = sin_pi(x)
    return where(is_low, math.pi**2 / (sine * sine) - total, total)


def _polygamma(input: Any, n: int) -> Any:
    if n < 2:
        return _trigamma(input) if n else _digamma(input)
    factor = float(math.factorial(n)) if n <= 170 else inf
    return zeta_of(float(n + 1), input) * (factor if n % 2 else -factor)


def _polygamma_reference(n: int, x: Any) -> Any:
    n = int(n)
    return valuewise(_digamma_value if n == 0 else lambda v: polygamma_value(n, v))(x)


def _polygamma_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = [Sample((n, draw(rng, s, dtype, 0.3, 6))) for n in range(3) for s in SHAPES]
    ways = (
        (1, -2.75, -2.25), (1, 0.95, 0.999), (1, 8, 30), (2, -2.85, -2.65),
        (3, -2.75, -2.25), (4, 0.5, 20),
    )  # fmt: skip
    if dtype.category < 2:  # whole numbers below 0 are poles, which PyTorch misses by rounding
        ways = tuple(way for way in ways if way[1] > 0)
    return made + [
        Sample((n, draw(rng, (6,), dtype, low, high)), name=f"order {n} from {low}")
        for n, low, high in ways
    ]


POLYGAMMA = OpDef(
    "polygamma",
    kind="elementwise",
    attributes=("n",),
    infer=lambda spec, **_: elementwise_infer("polygamma", to_float)(spec),
    accepts=REAL,
    decompose=_polygamma,
    compute=d.float32,
    gradient={"input": lambda g, input, n: g * polygamma(n + 1, input)},
    reference=_polygamma_reference,
    samples=_polygamma_samples,
    tolerance=Tolerance(64),
    method=False,
    errors=lambda: [
        ErrorInput((-1, np.ones(2)), {}, RuntimeError, "negative n"),
        ErrorInput((1.5, np.ones(2)), {}, TypeError, "must be int"),
    ],
)


def polygamma(n: int, input: Tensor) -> Tensor:
    """The derivative of order ``n`` of :func:`dovetail.digamma`.

    Raises:
        RuntimeError: ``n`` is negative.
    """
    if not isinstance(n, int):
        raise TypeError(
            f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}"
        )
    if n < 0:
        raise RuntimeError(f"polygamma(n, x) does not support negative n, got {n}")
    return call(POLYGAMMA, (input,), (int(n),))


attach(POLYGAMMA, polygamma, out=True)


def _method(self: Tensor, n: int) -> Tensor:
    return polygamma(n, self)


_method.__name__, _method.__qualname__ = "polygamma", "Tensor.polygamma"
_method.__doc__ = polygamma.__doc__
Tensor.polygamma = _method  # type: ignore[attr-defined]
Tensor.polygamma_ = inplace_method("polygamma", _method)  # type: ignore[attr-defined]


# the multivariate gamma function


def _mvlgamma_prepare(input: Any, p: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if input._spec.dtype is d.bool_:
        raise RuntimeError("mvlgamma: the input tensor may not be a boolean tensor.")
    p = whole_number("mvlgamma", "p", p)
    if p < 1:
        raise RuntimeError(f"p has to be greater than or equal to 1, got {p}")
    return (input,), (p,)


def _mvlgamma_infer(spec: Spec, p: int) -> Inferred:
    """Row-major: PyTorch adds up a dim of its own."""
    compute, result = to_float((spec,))
    return Inferred((compute,), ((tuple(spec.shape), result),))


@composite(
    "mvlgamma",
    kind="elementwise",
    infer=_mvlgamma_infer,
    gradient={"input": lambda g, input, p: g * sum((input - 0.5 * j).digamma() for j in range(p))},
    prepare=_mvlgamma_prepare,
    inplace=True,
    out=True,
    accepts=REAL,
    compute=d.float32,
    reference=lambda x, p: (
        sum(valuewise(_lgamma_value)(x - 0.5 * j) for j in range(int(p)))
        + p * (p - 1) / 4 * math.log(math.pi)
    ),
    samples=lambda rng, dtype: [
        Sample((draw(rng, shape, dtype, 2, 9), p)) for p in (1, 3) for shape in SHAPES
    ],
    errors=lambda: [ErrorInput((np.ones(2), 0), {}, RuntimeError, "greater than or equal to 1")],
    tolerance=Tolerance(64, against="inputs"),
)
def mvlgamma(input: Any, p: int) -> Any:
    """The logarithm of the multivariate gamma function of dimension ``p``.

    Source: https://en.wikipedia.org/wiki/Multivariate_gamma_function
    """
    total = log_gamma(input)
    for j in range(1, p):
        total = total + log_gamma(input - 0.5 * j)
    return total + p * (p - 1) / 4 * math.log(math.pi)
