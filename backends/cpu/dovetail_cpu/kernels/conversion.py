"""float16 to float32 and back in vectors, a block at a time.

NumPy converts one element after another: 1.5 ns, and 60 to 100 where a result underflows, which it
tells the processor. Here the bits are moved by whole numbers, and rounded by the processor's
addition: Maratyszcza's way (the library FP16), with a magic number for each exponent.
"""

from __future__ import annotations

import numpy as np

from dovetail.dtypes import bfloat16
from dovetail_cpu.kernels.blocks import BLOCK, flat, scratch

__all__ = ["as_float32", "convert", "convert_block", "narrow", "widen"]

_LEAST = 1 << 11
"""Fewer elements are quicker one after another."""

_HALF, _WIDE, _BFLOAT16 = np.dtype(np.float16), np.dtype(np.float32), bfloat16.numpy

_EXPONENT = np.int32(0x7F800000)
_KEPT_BITS = np.int32(-0x70002000)
"""Of a float16 whose exponent is where float32's has its last bits: all but the sign's copies."""

_UP, _DOWN = np.float32(2.0**112), np.float32(2.0**-112)
"""Between the exponents of both; what is subnormal in float16 then is so in float32."""

_ENDLESS = np.float32(65536)
"""The number that has the bits of infinity."""

_MAGIC = np.float32(1.5 * 2**13)
"""Times a power of two, the sum with it has 11 bits of a number of that size."""

_SMALLEST = np.full(BLOCK, 2.0**-14, np.float32).view(np.int32)
"""float16's smallest normal number, beneath which the last bit's place stays."""


def widen(half: np.ndarray, out: np.ndarray) -> None:
    """half: (n,) float16; out: (n,) float32; n at most a block; exact."""
    bits, wide = half.view(np.int16), out.view(np.int32)
    np.copyto(wide, bits)
    np.left_shift(wide, 13, wide)
    np.bitwise_and(wide, _KEPT_BITS, wide)
    np.multiply(out, _UP, out)
    if bits.max(initial=0) >= 0x7C00 or bits.view(np.uint16).max(initial=0) >= 0xFC00:
        size = scratch(np.int32, out.size, -1)  # infinities and NaN, which became 65536 and more
        np.bitwise_and(wide, _EXPONENT, size)
        np.multiply(size >= _ENDLESS.view(np.int32), _EXPONENT, out=size)
        np.bitwise_or(wide, size, wide)


def narrow(wide: np.ndarray, out: np.ndarray) -> None:
    """wide: (n,) float32; out: (n,) float16; n at most a block; rounded to nearest, ties to even.

    NaN keeps its sign.
    """
    magic, made = (scratch(np.float32, out.size, number) for number in (-1, -2))
    power, bits = magic.view(np.int32), made.view(np.int32)
    given = wide
    np.bitwise_and(given.view(np.int32), _EXPONENT, power)
    is_far = power.max(initial=0) > 0x47000000  # 2^15: infinity, NaN, or what becomes infinity
    if is_far:
        given = np.clip(wide, -_ENDLESS, _ENDLESS, out=made)
        np.bitwise_and(bits, _EXPONENT, power)
    np.maximum(power, _SMALLEST[: out.size], out=power)
    np.multiply(magic, _MAGIC, magic)
    np.add(given, magic, made)
    np.subtract(made, magic, made)
    np.multiply(made, _DOWN, made)
    np.right_shift(bits, 13, bits)
    if is_far:
        np.bitwise_and(bits, 0x7FFF, bits)
    np.right_shift(wide.view(np.int32), 16, power)
    np.bitwise_and(power, -0x8000, power)  # the sign
    np.bitwise_or(bits, power, bits)
    np.copyto(out.view(np.int16), bits, casting="unsafe")


def _is_in_order(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays of one shape have their elements side by side in the same order."""
    order = sorted(range(a.ndim), key=lambda i: -a.strides[i])
    return all(v.transpose(order).flags.c_contiguous for v in (a, b))


def convert_block(source: np.ndarray, out: np.ndarray) -> None:
    """source, out: (n,), n at most a block; of float16, bfloat16 and float32."""
    if _HALF not in (source.dtype, out.dtype) or source.dtype == out.dtype:
        np.copyto(out, source, casting="unsafe")
        return
    wide = source
    if source.dtype == _HALF:
        wide = out if out.dtype == _WIDE else scratch(np.float32, out.size, -3)
        widen(source, wide)
    elif source.dtype != _WIDE:
        wide = scratch(np.float32, out.size, -3)
        np.copyto(wide, source)
    if out.dtype == _HALF:
        narrow(wide, out)
    elif out is not wide:
        np.copyto(out, wide, casting="unsafe")


def convert(source: np.ndarray, out: np.ndarray) -> None:
    """Elements of one shape between float16 and float32 or bfloat16, from wherever they lie."""
    is_slow = _HALF in (source.dtype, out.dtype) and source.dtype != out.dtype
    if out.size < _LEAST or not is_slow or not _is_in_order(source, out):
        with np.errstate(all="ignore"):
            np.copyto(out, source, casting="unsafe")
        return
    source, out = flat(source), flat(out)
    with np.errstate(all="ignore"):
        for start in range(0, out.size, BLOCK):
            part = slice(start, start + BLOCK)
            convert_block(source[part], out[part])


def as_float32(array: np.ndarray) -> np.ndarray:
    """``array.astype(np.float32)``."""
    if array.dtype != _HALF or array.size < _LEAST:
        return array.astype(np.float32)
    made = np.empty_like(array, dtype=np.float32)
    convert(array, made)
    return made
