"""What special functions are made of: polynomials, fractions, Chebyshev series.

Of several formulas for different numbers all are computed of all elements, and ``where`` takes what
is right: what a formula makes of other elements (an infinity, NaN) does not reach the result, nor a
gradient, for a record has its own.

Every function here works on tensors of any floating dtype and in that dtype alone, so that a device
without float64 serves float32. Coefficients are Python numbers, the highest power first.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.ops.families import elementwise, to_float
from dovetail.ops.schema import OpDef

__all__ = [
    "NON_DIFFERENTIABLE", "REAL", "WIDE", "chebyshev", "circle_mean", "exp_of_square",
    "fraction", "horner", "integral", "sin_pi", "special_function", "valuewise", "where",
    "without_derivative",
]  # fmt: skip

REAL = (*d.FLOATING, *d.INTEGRAL, d.bool_)
WIDE = (d.float64, d.float32, *d.INTEGRAL, d.bool_)
"""What PyTorch computes special functions of where it has none of half precision."""
NON_DIFFERENTIABLE: dict[str, Any] = {}
"""The gradient of an operator whose result never requires grad."""


def where(condition: Any, input: Any, other: Any) -> Any:
    """``ops.where``, found when it is called: it is made after this module."""
    from dovetail import ops

    return ops.where(condition, input, other)


def horner(x: Any, coefficients: Sequence[float]) -> Any:
    """A polynomial in ``x``."""
    total: Any = coefficients[0]
    for c in coefficients[1:]:
        total = x * total + c
    return total


def fraction(x: Any, numerator: Sequence[float], denominator: Sequence[float]) -> Any:
    """A quotient of two polynomials in ``x``."""
    return horner(x, numerator) / horner(x, denominator)


def chebyshev(x: Any, coefficients: Sequence[float]) -> Any:
    """A Chebyshev series for ``x`` in [-2, 2], the last coefficient counted half.

    Source: C. W. Clenshaw, "A note on the summation of Chebyshev series", MTAC 9 (1955), 118; the
    form is that of Cephes' ``chbevl``.
    """
    below: Any = 0.0
    last: Any = coefficients[0]
    for c in coefficients[1:]:
        before, below, last = below, last, x * last - below + c
    return (last - before) * 0.5


def exp_of_square(x: Any, sign: float) -> Any:
    """``exp(sign * x * x)`` to the last digits, where the rounding of the square would show.

    ``x`` is split into a part of few bits, whose square is exact, and the rest: W. J. Cody,
    "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969), 631.
    ``sign`` may be any power of two.
    """
    x = x.abs().minimum(64.0)
    few = (x * 16.0).floor() * 0.0625
    return (few * few * sign).exp() * ((x - few) * (x + few) * sign).exp()


def sin_pi(x: Any) -> Any:
    """``sin(pi * x)``, exactly 0 at whole numbers."""
    turns = (x * 0.5).round() * 2.0
    rest = x - turns  # exact, in [-1, 1]
    # beyond a quarter turn the same sine is nearer to 0: sin(pi - a) = sin(a)
    near = where(rest.gt(0.5), 1.0 - rest, where(rest.lt(-0.5), -1.0 - rest, rest))
    return (near * math.pi).sin()


class _NoDerivative:
    """Stands where a gradient would be; whoever wants to use it is told."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def _spec(self) -> Any:
        raise NotImplementedError(f"the derivative for '{self._name}' is not implemented.")


def without_derivative(name: str) -> Callable[..., Any]:
    """A gradient that is not there, as PyTorch has it: NotImplementedError, once it is asked for.

    The gradients of the other inputs can be had.
    """
    missing = _NoDerivative(name)
    return lambda g: missing


def special_function(name: str, decompose: Callable[..., Any], **fields: Any) -> OpDef:
    """Define a special function: real operands of any dtype, a floating result.

    Those that PyTorch has under ``special`` only are not public and no methods. ``against`` is
    the tolerance's.
    """
    public = fields.setdefault("public", False)
    fields.setdefault("method", public)
    fields.setdefault("inplace", public)
    fields.setdefault("rule", to_float)
    fields.setdefault("accepts", REAL)
    against = fields.pop("against", "")
    op = elementwise(name, decompose=decompose, compute=d.float32, **fields)
    if fields.get("gradient") is NON_DIFFERENTIABLE:
        op.differentiable = ()
    if against:
        op.tolerance = replace(op.tolerance, against=against)
    return op


# for references


def valuewise(function: Callable[..., float], takes_nan: bool = False) -> Callable[..., Any]:
    """A reference from a function of Python floats; NaN in, NaN out, unless it takes NaN itself.

    What has been asked before is remembered: some values take an integral each.
    """
    known: dict[tuple[float, ...], float] = {}

    def guarded(*values: float) -> float:
        found = known.get(values)
        if found is not None:
            return found
        if any(v != v for v in values):
            return function(*map(float, values)) if takes_nan else math.nan
        # 0.0 == -0.0, so values with a zero among them are known by its sign too, and never above.
        key = (*values, *[math.copysign(1, v) for v in values if not v])
        if key not in known:
            if len(known) > 1 << 16:
                known.clear()
            known[key] = function(*map(float, values))
        return known[key]

    @functools.wraps(function)
    def reference(*arrays: Any) -> Any:
        made = np.vectorize(guarded, otypes=[np.float64])(*arrays)
        return np.asarray(made)

    return reference


def circle_mean(function: Callable[[Any], Any], points: int = 1024) -> float:
    """The mean of a smooth function over a circle's angles, by the midpoint rule."""
    angles = (np.arange(points) + 0.5) * (2 * math.pi / points)
    return math.fsum(function(angles)) / points


def integral(function: Callable[[Any], Any], low: float, high: float, panels: int = 64) -> float:
    """A definite integral by Gauss and Legendre's rule of 24 points in each panel."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    half = (high - low) / (2 * panels)
    middles = low + half * (2 * np.arange(panels) + 1)
    places = (middles[:, None] + half * nodes).reshape(-1)
    return math.fsum(np.tile(weights, panels) * function(places)) * half
