"""Quotients of whole numbers for the host's cores, of which no processor makes vectors otherwise.

Numbers of up to 32 bits, and what is computed of them here, are exact in a real type of twice the
bits: the nearest quotient leaves a rest of at most half of the divisor, and one step makes it the
one below. A divisor that is the same for all is turned over once.
"""

from __future__ import annotations

__all__ = ["written"]

_KINDS = {
    "char": ("float", "12582912.0f"),
    "uchar": ("float", "12582912.0f"),
    "short": ("float", "12582912.0f"),
    "int": ("double", "6755399441055744.0"),
}
"""By type, what is computed in, and what makes a number whole when it is added and taken away."""

_TEXT = """
static inline {kind} {name}_{kind}({kind} a, {kind} b)
{{
    const {real} x = a, y = b == 0 ? 1 : b, one = 1;
    {real} quotient = (x * (one / y) + {big}) - {big}, rest = x - quotient * y;
    const int is_above = rest != 0 & (rest < 0) != (y < 0);
    {made}
}}
"""

_MADE = {
    "whole_floor_divide": "quotient -= is_above ? one : 0;\n"
    "    return b == 0 ? ({kind})-1 : ({kind})({long})quotient;",
    "whole_remainder": "rest += is_above ? y : 0;\n    return b == 0 ? a : ({kind})rest;",
}


def written(name: str, kind: str) -> dict[str, str]:
    """By name, the text of the core's helper for numbers of this type; none: it stays as it is."""
    if name not in _MADE or kind not in _KINDS:
        return {}
    real, big = _KINDS[kind]
    made = _MADE[name].format(kind=kind, long="long" if kind == "int" else "int")
    return {f"{name}_{kind}": _TEXT.format(name=name, kind=kind, real=real, big=big, made=made)}
