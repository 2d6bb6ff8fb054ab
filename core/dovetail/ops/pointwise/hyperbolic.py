"""Inverse hyperbolic functions of real and complex numbers, and the inverse circular of complex.

Source for complex numbers: W. Kahan, "Branch cuts for complex elementary functions" (1987), whose
formulas keep the sign of zero, and so the side of a cut.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.ops.families import elementwise, to_float, uniform
from dovetail.ops.linear_algebra.operands import conj
from dovetail.ops.pointwise.approximations import where

__all__ = ["complex_acos", "complex_asin", "complex_atan", "cosh_of", "sinh_of"]

inf, nan = math.inf, math.nan
LARGE = 2.0**28
"""Above, ``x * x + 1`` and ``x * x`` are the same in float64."""


def _signed(size: Any, like: Any) -> Any:
    """``size`` with the sign of ``like``, zeros among them as they are."""
    return where(like.eq(0), like, where(like.lt(0), -size, size))


# real numbers


def sinh_of(x: Any) -> Any:
    """The hyperbolic sine; of a large number in two factors, which do not overflow before it."""
    if x._spec.dtype.is_complex:
        # On the left exp(x) is small, and expm1(x) + 1 has lost it: sinh(x) = -sinh(-x).
        is_left = x.real.lt(0)
        more = where(is_left, -x, x).expm1()
        right = (more + more / (more + 1.0)) * 0.5
        return where(is_left, -right, right)
    size = x.abs()
    more = size.expm1()
    half = (size * 0.5).exp()
    near = (more + more / (more + 1.0)) * 0.5
    return _signed(where(size.gt(60.0), half * 0.5 * half, near), x)


def cosh_of(x: Any) -> Any:
    """The hyperbolic cosine, in factors that do not overflow before it."""
    half = (x * 0.5).exp()
    return half * 0.5 * half + 0.5 / half / half


def _asinh(x: Any) -> Any:
    size = x.abs()
    is_large = size.gt(LARGE)
    near = where(is_large, 1.0, size)
    square = near * near
    small = (near + square / ((square + 1.0).sqrt() + 1.0)).log1p()
    return _signed(where(is_large, size.log() + math.log(2), small), x)


def _acosh(x: Any) -> Any:
    is_large = x.gt(LARGE)
    above = where(is_large, 1.0, x) - 1.0
    small = (above + (above * (above + 2.0)).sqrt()).log1p()
    return where(is_large, x.log() + math.log(2), where(x.lt(1), nan, small))


def _atanh(x: Any) -> Any:
    size = x.abs()
    return _signed((size * 2.0 / (1.0 - size)).log1p() * 0.5, x)


# complex numbers


def _pair(real: Any, imag: Any) -> Any:
    from dovetail import ops

    return ops.complex(real, imag)


def _parts(z: Any) -> tuple[Any, Any]:
    return z.real, z.imag


def _roots(z: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """The parts of ``sqrt(1 - z)`` and of ``sqrt(1 + z)``."""
    x, y = _parts(z)
    return _parts(_pair(1.0 - x, -y).sqrt()), _parts(_pair(1.0 + x, y).sqrt())


def complex_asin(z: Any) -> Any:
    """The arc sine of a complex tensor."""
    (ax, ay), (bx, by) = _roots(z)
    return _pair(z.real.atan2(ax * bx - ay * by), _asinh(ax * by - ay * bx))


def complex_acos(z: Any) -> Any:
    """The arc cosine of a complex tensor."""
    (ax, ay), (bx, by) = _roots(z)
    return _pair(ax.atan2(bx) * 2.0, _asinh(bx * ay - by * ax))


def _complex_acosh(z: Any) -> Any:
    x, y = _parts(z)
    (ax, ay), (bx, by) = _parts(_pair(x - 1.0, y).sqrt()), _parts(_pair(x + 1.0, y).sqrt())
    return _pair(_asinh(ax * bx + ay * by), ay.atan2(bx) * 2.0)


def _complex_asinh(z: Any) -> Any:
    x, y = _parts(z)
    turned_x, turned_y = _parts(complex_asin(_pair(-y, x)))
    return _pair(turned_y, -turned_x)


def _complex_atanh(z: Any) -> Any:
    x, y = _parts(z)
    size, square = x.abs(), y * y
    gap = 1.0 - size
    real = (size * 4.0 / (gap * gap + square)).log1p() * 0.25
    return _pair(_signed(real, x), (y * 2.0).atan2(gap * (size + 1.0) - square) * 0.5)


def complex_atan(z: Any) -> Any:
    """The arc tangent of a complex tensor."""
    x, y = _parts(z)
    turned_x, turned_y = _parts(_complex_atanh(_pair(-y, x)))
    return _pair(turned_y, -turned_x)


def _of_either(real: Any, of_complex: Any) -> Any:
    return lambda input: of_complex(input) if input._spec.dtype.is_complex else real(input)


for _name, _what, _real, _complex, _slope, _reference, _interval, _special in (
    (
        "asinh", "sine", _asinh, _complex_asinh,
        lambda g, input: g / conj((input * input + 1.0).sqrt()),
        np.arcsinh, (-4, 4), (0.0, -0.0, 1.0, -1.0, 1e-9, -3e-5, 1e9, -1e200, inf, -inf, nan),
    ),
    (
        "acosh", "cosine", _acosh, _complex_acosh,
        lambda g, input: g / conj((input - 1.0).sqrt() * (input + 1.0).sqrt()),
        np.arccosh, (1.1, 6), (1.0, 1.0 + 2.0**-40, 2.0, 1e9, 1e200, 0.5, -2.0, inf, -inf, nan),
    ),
    (
        "atanh", "tangent", _atanh, _complex_atanh,
        lambda g, input: g / conj(1.0 - input * input),
        np.arctanh, (-0.9, 0.9),
        (0.0, -0.0, 0.5, -0.5, 1e-9, 1.0, -1.0, 1.5, 1 - 2.0**-40, inf, -inf, nan),
    ),
):  # fmt: skip
    elementwise(
        _name,
        rule=to_float,
        decompose=_of_either(_real, _complex),
        compute=d.float32,
        gradient=_slope,
        reference=_reference,
        samples=uniform(*_interval),
        special=_special,
        ulp=8,
        doc=f"Inverse hyperbolic {_what}.",
        aliases=(_name.replace("a", "arc", 1),),
    )
