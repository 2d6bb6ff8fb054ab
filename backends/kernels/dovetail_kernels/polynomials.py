"""Orthogonal polynomials: each element goes up by its recurrence as far as its own degree asks.

The core's decomposition asks the host for the highest degree and goes up for all elements at once.
Here nothing waits, and it is one launch. Formulas and edges are those of the decomposition.
"""

from __future__ import annotations

from typing import Any

from dovetail.backend import Expression, KernelTable
from dovetail.dtypes import float32, float64
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import Elementwise, operands_of

__all__ = ["enter"]

_CLIMB = """
T NAME_climb(T x, T degree) {
    T previous = 1.0, current = FIRST;
    const T last = degree > MOST ? (T)MOST : degree;
    for (T k = 1.0; k < last; k += 1.0) {
        const T next = STEP;
        previous = current;
        current = next;
    }
    return degree >= 1.0 ? current : degree == 0.0 ? (T)1.0 : (T)0.0;
}"""
_RECURRENT = """
T NAME(T x, T n) {
    const T degree = n < 1.0 / 0.0 ? trunc(n) : -1.0;
    return NAME_climb(x, degree);
}"""
_CHEBYSHEV = """
T NAME(T given, T n) {
    const T x = PLACE;
    const T degree = n < 1.0 / 0.0 ? trunc(n) : -1.0;
    const T size = fabs(x), middle = degree + 0.5, angle = acos(x), apart = acosh(size);
    const B is_odd = floor(degree * 0.5) != degree * 0.5, is_low = x < 0.0;
    if (degree < 0.0) return 0.0;
    if (size == 1.0) return x > 0.0 ? AT_1 : is_odd ? -(AT_MINUS_1) : AT_MINUS_1;
    if (degree <= 32.0) return NAME_climb(x, degree);
    const T beyond = BEYOND;
    return size > 1.0 ? is_low && is_odd ? -beyond : beyond : NEAR;
}"""
_EVEN = "cosh(apart * middle) / cosh(apart * 0.5)"
_UNEVEN = "sinh(apart * middle) / sinh(apart * 0.5)"

_KINDS = {
    "t": {
        "FIRST": "x", "AT_1": "(T)1.0", "AT_MINUS_1": "(T)1.0",
        "NEAR": "cos(angle * degree)", "BEYOND": "cosh(apart * degree)",
    },
    "u": {
        "FIRST": "x + x", "AT_1": "degree + 1.0", "AT_MINUS_1": "degree + 1.0",
        "NEAR": "sin(angle * (degree + 1.0)) / sin(angle)",
        "BEYOND": "sinh(apart * (degree + 1.0)) / sinh(apart)",
    },
    "v": {
        "FIRST": "x + x - 1.0", "AT_1": "(T)1.0", "AT_MINUS_1": "degree + degree + 1.0",
        "NEAR": "cos(angle * middle) / cos(angle * 0.5)", "BEYOND": f"is_low ? {_UNEVEN} : {_EVEN}",
    },
    "w": {
        "FIRST": "x + x + 1.0", "AT_1": "degree + degree + 1.0", "AT_MINUS_1": "(T)1.0",
        "NEAR": "sin(angle * middle) / sin(angle * 0.5)", "BEYOND": f"is_low ? {_EVEN} : {_UNEVEN}",
    },
}  # fmt: skip
"""Chebyshev's polynomials: of degree 1, at 1 and -1 (without its sign), and above degree 32."""

_ALL = "16777216.0"
"""Steps that a float32 can count."""

_OTHERS = {
    "hermite_polynomial_h": ("x + x", "(x + x) * current - 2.0 * k * previous", "512.0"),
    "hermite_polynomial_he": ("x", "x * current - k * previous", "512.0"),
    "laguerre_polynomial_l": (
        "1.0 - x", "((2.0 * k + 1.0 - x) * current - k * previous) / (k + 1.0)", _ALL,
    ),
    "legendre_polynomial_p": (
        "x", "((2.0 * k + 1.0) * x * current - k * previous) / (k + 1.0)", _ALL,
    ),
}  # fmt: skip
"""Of degree 1, the step from ``k`` to ``k + 1``, and the degree from which on nothing changes."""


def _filled(text: str, words: dict[str, str]) -> str:
    for word, own in words.items():
        text = text.replace(word, own)
    return text


def _helpers(name: str) -> dict[str, str]:
    """The functions of an operator, the one of its name last."""
    if name in _OTHERS:
        first, step, most = _OTHERS[name]
        words = {"NAME": name, "FIRST": first, "STEP": step, "MOST": most}
        return {f"{name}_climb": _filled(_CLIMB, words), name: _filled(_RECURRENT, words)}
    place = "given + given - 1.0" if name.startswith("shifted_") else "given"
    words = {"NAME": name, "MOST": "32.0", "STEP": "(x + x) * current - previous", "PLACE": place}
    words |= _KINDS[name[-1]]
    texts = (_filled(text, words) for text in (_CLIMB, _CHEBYSHEV))
    return dict(zip((f"{name}_climb", name), texts, strict=True))


EXPRESSIONS = {
    name: Expression(2, {"float": f"{name}(x0, x1)"}, helpers=_helpers(name))
    for name in (
        *_OTHERS, *(f"{word}chebyshev_polynomial_{k}" for k in _KINDS for word in ("", "shifted_"))
    )
}  # fmt: skip


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in EXPRESSIONS:
        table.add(name, _specialised, dtypes=(float32, float64), specialize=True, in_place=True)


def _specialised(facts: Any) -> Any:
    name, (out,) = facts.op.name, facts.outputs
    views = operands_of(facts)
    device = device_of(out.device)
    return Elementwise(device, name, EXPRESSIONS[name], views, (), views[-1].dtype).kernel
