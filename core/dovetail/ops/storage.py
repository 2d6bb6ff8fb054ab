"""The four storage primitives: fill, copy, arange, random_bits; factories use them."""

from __future__ import annotations

from dovetail import dtypes as d
from dovetail.ops.schema import OpDef

__all__ = ["ARANGE", "COPY", "FILL", "RANDOM_BITS"]

_COMMON = {"kind": "storage", "required": True, "method": False, "public": False}

FILL = OpDef("fill", inputs=(), attributes=("value",), **_COMMON)  # type: ignore[arg-type]
"""``fill(out, *, value)``: every element becomes ``value``, a Python number."""

COPY = OpDef("copy", inputs=("input",), **_COMMON)  # type: ignore[arg-type]
"""``copy(input, out)``: same shape, any strides on both sides, converts between any two dtypes.

Float to integer truncates towards zero; anything to bool tests for non-zero; complex to real drops
the imaginary part.
"""

ARANGE = OpDef("arange", inputs=(), attributes=("start", "step"), **_COMMON)  # type: ignore[arg-type]
"""``arange(out, *, start, step)``: element i (1-D) becomes ``start + i * step``."""

RANDOM_BITS = OpDef(
    "random_bits",
    inputs=(),
    attributes=("seed", "offset"),
    accepts=(d.int32, d.uint8),
    **_COMMON,  # type: ignore[arg-type]
)
"""``random_bits(out, *, seed, offset)``: Philox4x32-10 words as int32 (the same 32 bits).

Word i of block b is word i of Philox4x32-10 with key = seed (low word first) and counter =
(b + offset) as a 128-bit number, low word first; element e takes word e % 4 of block e // 4.
"""
