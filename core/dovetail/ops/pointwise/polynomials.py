"""Orthogonal polynomials: Chebyshev's four kinds, plain and shifted, Hermite, Laguerre, Legendre.

Each goes up by its recurrence of three terms (DLMF 18.9) as far as the highest degree asked for;
Chebyshev's take their trigonometric or hyperbolic form above degree 32. The degree is rounded
towards zero; below zero the polynomial is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.ops.families import draw
from dovetail.ops.pointwise.approximations import (
    NON_DIFFERENTIABLE,
    WIDE,
    special_function,
    valuewise,
    where,
)
from dovetail.ops.schema import Sample
from dovetail.tensor import Tensor

__all__: list[str] = []

inf, nan = math.inf, math.nan

Step = Callable[[Any, int, Any, Any], Any]
"""``step(x, k, current, previous)``: the polynomial of degree ``k + 1``."""


def _arguments(x: Any, n: Any) -> tuple[Any, Any]:
    """Both as tensors, the degree truncated; NaN and infinities count as below zero."""
    if not isinstance(x, Tensor):
        x = n.new_full((), x)
    if not isinstance(n, Tensor):
        n = x.new_full((), n)
    return x, where(n.lt(inf), n.trunc(), -1.0)


def _highest(n: Any) -> int:
    """The highest degree in the data; the one thing that is read from it."""
    if not n._spec.numel:
        return 0
    return int(n.max())


def _climb(x: Any, n: Any, first: Any, step: Step, most: float) -> Any:
    """The polynomials of the degrees ``n``; above ``most`` they stay as they are."""
    previous: Any = 1.0
    current = first
    made = where(n.eq(0), 1.0, where(n.ge(1), current, 0.0))
    for k in range(1, int(min(_highest(n), most))):
        current, previous = step(x, k, current, previous), current
        made = where(n.gt(float(k)), current, made)
    return made


def _double(x: Any, k: int, current: Any, previous: Any) -> Any:
    """The recurrence that Chebyshev's four kinds share."""
    return (x + x) * current - previous


# Chebyshev

_ITERATED = 32
"""The highest degree that is reached by recurrence: a cosine, and a hyperbolic one even more, is
off by as many units as its argument is large."""


def _closed(kind: str, x: Any, n: Any, above_1: Any) -> Any:
    """By cosine and sine of multiples of an angle; by their hyperbolic forms beyond [-1, 1].

    Each is NaN where it does not hold. There are no gradients that this would reach.
    """
    angle, distance = x.acos(), x.abs().acosh()
    odd = (n * 0.5).floor().ne(n * 0.5)
    half, low = n + 0.5, x.lt(0)
    if kind == "t":
        beyond, near = (distance * n).cosh(), (angle * n).cos()
    elif kind == "u":
        beyond = (distance * (n + 1.0)).sinh() / distance.sinh()
        near = (angle * (n + 1.0)).sin() / angle.sin()
    else:
        # V(-x) = (-1) ** n * W(x)
        even = (distance * half).cosh() / (distance * 0.5).cosh()
        uneven = (distance * half).sinh() / (distance * 0.5).sinh()
        if kind == "v":
            beyond, near = where(low, uneven, even), (angle * half).cos() / (angle * 0.5).cos()
        else:
            beyond, near = where(low, even, uneven), (angle * half).sin() / (angle * 0.5).sin()
    return where(above_1, where(low & odd, -beyond, beyond), near)


_FIRST = {
    "t": lambda x: x, "u": lambda x: x + x,
    "v": lambda x: x + x - 1.0, "w": lambda x: x + x + 1.0,
}  # fmt: skip
_AT_1 = {
    "t": lambda n, one: (one, one), "u": lambda n, one: (n + one, n + one),
    "v": lambda n, one: (one, n + n + one), "w": lambda n, one: (n + n + one, one),
}  # fmt: skip
"""The values at 1 and, without their sign, at -1."""


def _chebyshev(kind: str, x: Any, n: Any) -> Any:
    size = x.abs()
    made = _climb(x, n, _FIRST[kind](x), _double, _ITERATED)
    if _highest(n) > _ITERATED:
        made = where(n.gt(float(_ITERATED)), _closed(kind, x, n, size.gt(1)), made)
    at_1, at_minus_1 = _AT_1[kind](n, n.new_ones(()))
    odd = (n * 0.5).floor().ne(n * 0.5)
    edge = where(x.gt(0), at_1, where(odd, -at_minus_1, at_minus_1))
    made = where(size.eq(1), edge, made)
    return where(n.lt(0), 0.0, made)


# records


Terms = Callable[[int, Fraction], Fraction]
"""``terms(n, x)``: the polynomial of degree ``n`` >= 0."""


def _exact(terms: Terms, shifted: bool = False) -> Any:
    """A reference in exact fractions, from the sum of the powers (DLMF 18.5), not by recurrence."""

    def value(x: float, n: float) -> float:
        degree = int(n) if math.isfinite(n) else -1
        if degree < 0:
            return 0.0
        if degree == 0:
            return 1.0
        if x != x:
            return nan
        exact = terms(degree, 2 * Fraction(x) - 1 if shifted else Fraction(x))
        try:
            return float(exact)
        except OverflowError:
            return math.copysign(inf, exact)

    return valuewise(value, takes_nan=True)


def _t(n: int, x: Fraction) -> Fraction:
    return (_u(n, x) - _u(n - 2, x)) / 2 if n else Fraction(1)


def _u(n: int, x: Fraction) -> Fraction:
    terms = ((-1) ** k * math.comb(n - k, k) * (2 * x) ** (n - 2 * k) for k in range(n // 2 + 1))
    return sum(terms, Fraction(0)) if n >= 0 else Fraction(0)


def _h(n: int, x: Fraction) -> Fraction:
    share = lambda m: Fraction((-1) ** m, math.factorial(m) * math.factorial(n - 2 * m))
    return math.factorial(n) * sum(
        (share(m) * (2 * x) ** (n - 2 * m) for m in range(n // 2 + 1)), Fraction(0)
    )


def _he(n: int, x: Fraction) -> Fraction:
    share = lambda m: Fraction((-1) ** m, math.factorial(m) * math.factorial(n - 2 * m) << m)
    return math.factorial(n) * sum(
        (share(m) * x ** (n - 2 * m) for m in range(n // 2 + 1)), Fraction(0)
    )


def _l(n: int, x: Fraction) -> Fraction:
    terms = (math.comb(n, k) * (-x) ** k / math.factorial(k) for k in range(n + 1))
    return sum(terms, Fraction(0))


def _p(n: int, x: Fraction) -> Fraction:
    return sum(
        (
            (-1) ** k * math.comb(n, k) * math.comb(2 * n - 2 * k, n) * x ** (n - 2 * k)
            for k in range(n // 2 + 1)
        ),
        Fraction(0),
    ) / (1 << n)  # fmt: skip


_TERMS: dict[str, Terms] = {
    "t": _t, "u": _u,
    "v": lambda n, x: _u(n, x) - _u(n - 1, x), "w": lambda n, x: _u(n, x) + _u(n - 1, x),
}  # fmt: skip


def _samples(low: float, high: float, ends: tuple[float, float] = (-1, 1)) -> Any:
    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        degrees = np.arange(12).astype(dtype.numpy)
        middle, half = sum(ends) / 2, (ends[1] - ends[0]) / 2
        about = middle + half * np.array([[-1.0625], [1.0625]])
        within = middle + half * np.array([[0.5], [0.75]])
        far = np.array([31, 32, 33, 34, 36])
        make = lambda *shape: draw(rng, shape, dtype, low, high)
        return [
            Sample((make(4, 1), degrees)),
            Sample((make(3, 5), 3)),
            Sample((make(4), 10)),
            Sample((1.5, degrees)),
            Sample((make(), degrees[5]) if dtype.category > 2 else (make(), 2), name="0-d"),
            Sample((make(0, 3), degrees[:3]), name="empty"),
            Sample((np.array([-1, 0, 1, 1, -1]).astype(dtype.numpy),
                    np.array([3, 4, 5, 10, 9]).astype(dtype.numpy)), name="ends"),
            *(
                Sample((x.astype(dtype.numpy), far.astype(dtype.numpy)), name=name)
                for name, x in (("far", about), ("far within", within))
                if dtype.category == 2
            ),
        ]  # fmt: skip

    return samples


def _define(
    name: str, forward: Callable[..., Any], reference: Any, interval: tuple[float, float],
    special: tuple[float, ...], doc: str, ends: tuple[float, float] = (-1, 1),
) -> None:  # fmt: skip
    special_function(
        name,
        forward,
        inputs=("x", "n"),
        gradient=NON_DIFFERENTIABLE,
        accepts=WIDE,
        reference=reference,
        samples=_samples(*interval, ends),
        special=special,
        ulp=64,
        against="largest",
        doc=f"{doc} of degree ``n``, at ``x``.",
    )


_NUMERALS = {"t": "first", "u": "second", "v": "third", "w": "fourth"}


def _define_chebyshev(kind: str) -> None:
    def plain(x: Any, n: Any) -> Any:
        return _chebyshev(kind, *_arguments(x, n))

    def shifted(x: Any, n: Any) -> Any:
        x, n = _arguments(x, n)
        return _chebyshev(kind, x + x - 1.0, n)

    what = f"Chebyshev polynomial of the {_NUMERALS[kind]} kind"
    values = (-2.0, -1.0, -0.75, 0.0, 0.375, 1.0, 2.0, 5.0, 9.0, 10.0, nan)
    _define(
        f"chebyshev_polynomial_{kind}", plain, _exact(_TERMS[kind]), (-1.5, 1.5), values,
        f"The {what}",
    )  # fmt: skip
    _define(
        f"shifted_chebyshev_polynomial_{kind}", shifted, _exact(_TERMS[kind], shifted=True),
        (-0.25, 1.25), values, f"The {what} of ``2 * x - 1``,", (0, 1),
    )  # fmt: skip


for _kind in _NUMERALS:
    _define_chebyshev(_kind)


def _hermite_h(x: Any, k: int, current: Any, previous: Any) -> Any:
    return (x + x) * current - 2 * k * previous


def _hermite_he(x: Any, k: int, current: Any, previous: Any) -> Any:
    return x * current - k * previous


def _laguerre(x: Any, k: int, current: Any, previous: Any) -> Any:
    return ((2 * k + 1 - x) * current - k * previous) / (k + 1)


def _legendre(x: Any, k: int, current: Any, previous: Any) -> Any:
    return ((2 * k + 1) * x * current - k * previous) / (k + 1)


_OVERFLOWN = 512
"""Hermite's polynomials of this degree are beyond every float: their recurrence has come to NaN."""


def _by_recurrence(first: Callable[[Any], Any], step: Step, most: float) -> Any:
    def forward(x: Any, n: Any) -> Any:
        x, n = _arguments(x, n)
        return _climb(x, n, first(x), step, most)

    return forward


for _name, _first, _step, _most, _terms, _interval, _what in (
    (
        "hermite_polynomial_h",
        lambda x: x + x,
        _hermite_h,
        _OVERFLOWN,
        _h,
        (-2, 2),
        "physicist's Hermite",
    ),
    (
        "hermite_polynomial_he",
        lambda x: x,
        _hermite_he,
        _OVERFLOWN,
        _he,
        (-2, 2),
        "probabilist's Hermite",
    ),
    ("laguerre_polynomial_l", lambda x: 1 - x, _laguerre, inf, _l, (0, 4), "Laguerre"),
    ("legendre_polynomial_p", lambda x: x, _legendre, inf, _p, (-1, 1), "Legendre"),
):
    _define(
        _name, _by_recurrence(_first, _step, _most), _exact(_terms), _interval,
        (-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0, 5.0, 9.0, nan),
        f"The {_what} polynomial",
    )  # fmt: skip
