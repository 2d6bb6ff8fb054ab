"""Quotients of whole numbers for the host's cores, of which no processor makes vectors otherwise.

A quotient is a product with the divisor turned over, and what it leaves says whether it is the one
below. Which numbers that is computed in depends on the type. A divisor that is the same for all is
turned over once.
"""

from __future__ import annotations

__all__ = ["written"]

_UNSIGNED_BYTE = """const ushort y = b == 0 ? 1 : b, turned = (ushort)(65536.0f / y) + 1;
    const ushort quotient = y == 1 ? a : (ushort)((uint)a * turned >> 16);
    const ushort rest = a - quotient * y;"""
"""2^16 over y, and up to 1 more, which times a is less than 2^16 more: the upper half is exact
(Granlund and Montgomery, Division by Invariant Integers using Multiplication, 1994)."""

_BYTE = """const ushort y = b == 0 ? 1 : b < 0 ? -b : b;
    const ushort turned = (ushort)(int)(65536.0f / (b == 0 ? 1.0f : fabs((float)b))) + 1;
    const ushort up = y == 1 ? 128 : (turned >> 9) + 1;
    const ushort x = (ushort)(b < 0 ? -a : a) + up * y;
    const ushort high = y == 1 ? x : (ushort)((uint)x * turned >> 16);
    const short quotient = high - up, left = x - high * y, rest = b < 0 ? -left : left;"""
"""The same of numbers that so many divisors are added to that none is below 0."""

_REAL = """const {real} x = a, y = b == 0 ? 1 : b, one = 1;
    {real} quotient = (x * (one / y) + {big}) - {big}, rest = x - quotient * y;
    const int is_above = rest != 0 & (rest < 0) != (y < 0);
    quotient -= is_above ? one : 0;
    rest += is_above ? y : 0;"""
"""Exact in a real type of twice the bits: the nearest quotient leaves at most half of a divisor."""

_LONG = """const long y = b == 0 ? 1 : b;
    const double turned = 1.0 / (double)y;
    const long first = (long)((double)a * turned * (1 - 0x1p-50));
    const long left = (long)((ulong)a - (ulong)first * (ulong)y);
    const long more = (long)floor((double)left * turned - 0x1p-20);
    const ulong below = (ulong)left - (ulong)more * (ulong)y;
    const long above = (long)(below - (ulong)y);
    const int is_there = above != 0 & (above < 0) != (y < 0);
    const ulong quotient = (ulong)first + (ulong)more + (is_there ? 0 : 1);
    const ulong rest = is_there ? below : (ulong)above;"""
"""In double precision, in two steps. The first quotient is nearer to 0 than the true one, by 2^13
at most, so that all of it fits, whatever the two are. The second is the one below, or 1 less: what
it leaves, less another divisor, fits as well."""

_KINDS = {
    "uchar": (_UNSIGNED_BYTE, {}),
    "char": (_BYTE, {}),
    "short": (_REAL, {"real": "float", "big": "12582912.0f", "long": "int"}),
    "int": (_REAL, {"real": "double", "big": "6755399441055744.0", "long": "long"}),
    "long": (_LONG, {}),
}
"""By type, the steps to a quotient and a rest, and what they compute in."""

_MADE = {
    "whole_floor_divide": "b == 0 ? ({kind})-1 : ({kind})({long})quotient",
    "whole_remainder": "b == 0 ? a : ({kind})rest",
}


def written(name: str, kind: str) -> dict[str, str]:
    """By name, the text of the core's helper for numbers of this type; none: it stays as it is."""
    if name not in _MADE or kind not in _KINDS:
        return {}
    steps, words = _KINDS[kind]
    words = {"kind": kind, "long": kind, **words}
    head = f"static inline {kind} {name}_{kind}({kind} a, {kind} b)"
    body = f"{steps.format(**words)}\n    return {_MADE[name].format(**words)};"
    return {f"{name}_{kind}": f"\n{head}\n{{\n    {body}\n}}\n"}
