"""Philox4x32-10 words and what is drawn from them, block by block so that they stay in the cache.

The words and the formulas are the core's (its ``random_bits`` and ``draws``); here they are put
together so that memory is written once.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import bfloat16, float16, float32, float64, int64

__all__ = ["enter"]

_BLOCKS = 8192
"""Philox blocks at a time: six rows of these are 384 KiB (measured best from 8192 to 16384)."""

_FEW = 8
"""So few blocks are faster with Python's integers than with NumPy's calls."""

_MULTIPLY = (0xD2511F53, 0xCD9E8D57)
_STEP = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = 0xFFFFFFFF


def _constant(value: int) -> np.ndarray:
    return np.array(value, np.uint64)  # a 0-d array costs NumPy less than a scalar


_M0, _M1 = (_constant(m) for m in _MULTIPLY)
_MASK, _HALF = _constant(_LOW), _constant(32)


@functools.lru_cache(maxsize=16)
def _round_keys(seed: int) -> tuple[tuple[int, int], ...]:
    low, high = seed & _LOW, seed >> 32 & _LOW
    return tuple(
        ((low + r * _STEP[0]) & _LOW, (high + r * _STEP[1]) & _LOW) for r in range(_ROUNDS)
    )


def _few(seed: int, offset: int, blocks: int) -> np.ndarray:
    """(blocks, 4) words, by Python's integers."""
    keys = _round_keys(seed)
    found = []
    for counter in range(offset, offset + blocks):
        c0, c1, c2, c3 = (counter >> shift & _LOW for shift in (0, 32, 64, 96))
        for k0, k1 in keys:
            p0, p1 = c0 * _MULTIPLY[0], c2 * _MULTIPLY[1]
            c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _LOW, (p0 >> 32) ^ c3 ^ k1, p0 & _LOW
        found.append((c0, c1, c2, c3))
    return np.array(found, np.uint32)


class _Scratch(threading.local):
    """Each thread's memory for one part; made at its first draw."""

    words: np.ndarray | None = None

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        if self.words is None:
            self.words = np.empty((6, _BLOCKS), np.uint64)
            self.index = np.arange(_BLOCKS, dtype=np.uint64)
        return self.words, self.index


_scratch = _Scratch()


def _parts(seed: int, offset: int, blocks: int) -> Iterator[tuple[int, np.ndarray]]:
    """(first block, (blocks, 4) words) of each part; the array is used again for the next."""
    if blocks <= _FEW:
        yield 0, _few(seed, offset, blocks)
        return
    keys = [(_constant(a), _constant(b)) for a, b in _round_keys(seed)]
    rows, index = _scratch.take()
    joined = np.empty((min(blocks, _BLOCKS), 4), np.uint32)
    done = 0
    while done < blocks:
        start = offset + done
        low, high = start & (1 << 64) - 1, start >> 64
        # The low half of the counter must not wrap around inside a part.
        count = min(_BLOCKS, blocks - done, (1 << 64) - low)
        c0, c1, c2, c3, p0, p1 = rows[:, :count]
        np.add(index[:count], _constant(low), p0)
        np.bitwise_and(p0, _MASK, c0)
        np.right_shift(p0, _HALF, c1)
        c2.fill(high & _LOW)
        c3.fill(high >> 32 & _LOW)
        for k0, k1 in keys:
            np.multiply(c0, _M0, p0)
            np.multiply(c2, _M1, p1)
            np.bitwise_xor(c1, k0, c1)
            np.right_shift(p1, _HALF, c0)
            np.bitwise_xor(c0, c1, c0)
            np.bitwise_xor(c3, k1, c3)
            np.right_shift(p0, _HALF, c2)
            np.bitwise_xor(c2, c3, c2)
            np.bitwise_and(p1, _MASK, c1)
            np.bitwise_and(p0, _MASK, c3)
        part = joined[:count]
        for i, word in enumerate((c0, c1, c2, c3)):
            part[:, i] = word
        yield done, part
        done += count


def _filled(
    out: np.ndarray,
    seed: int,
    offset: int,
    convert: Callable[[np.ndarray, np.ndarray], None],
    each: int = 1,
) -> None:
    """Give each stretch of ``out`` its words: ``convert(words, stretch)``, ``each`` per element.

    The words of the last stretch may be more than it needs.
    """
    flat = out.reshape(-1)
    blocks = -(-flat.size * each // 4)
    for first, part in _parts(seed, offset, blocks):
        start = first * 4 // each
        convert(part.reshape(-1), flat[start : start + part.size // each])


def random_bits(out: np.ndarray, *, seed: int, offset: int) -> None:
    """The words themselves, as int32."""

    def convert(words: np.ndarray, stretch: np.ndarray) -> None:
        stretch[...] = words[: stretch.size].view(np.int32)

    _filled(out, seed, offset, convert)


def _unit(words: np.ndarray, bits: int) -> Any:
    """float32 in [0, 1) of so many bits; overwrites the words."""
    words >>= np.uint32(32 - bits)
    value = words.view(np.int32).astype(np.float32)
    value *= np.float32(2.0**-bits)
    return value


def _unit64(words: np.ndarray) -> Any:
    """float64 in [0, 1) of 53 bits, from two words each."""
    value = (words[0::2] >> np.uint32(5)).astype(np.float64)
    value *= 2.0**26
    value += words[1::2] >> np.uint32(6)
    value *= 2.0**-53
    return value


def random_uniform(out: np.ndarray, *, seed: int, offset: int) -> None:
    """Uniform in [0, 1), in float32 and narrower."""
    bits = {np.dtype(np.float32): 24, np.dtype(np.float16): 11}.get(out.dtype, 8)

    def convert(words: np.ndarray, stretch: np.ndarray) -> None:
        stretch[...] = _unit(words, bits)[: stretch.size]

    _filled(out, seed, offset, convert)


def random_uniform64(out: np.ndarray, *, seed: int, offset: int) -> None:
    """Uniform in [0, 1), in float64."""

    def convert(words: np.ndarray, stretch: np.ndarray) -> None:
        stretch[...] = _unit64(words)[: stretch.size]

    _filled(out, seed, offset, convert, 2)


def _box_muller(unit: np.ndarray) -> np.ndarray:
    """Pairs of independent normal numbers from pairs of uniform ones, in the dtype of ``unit``."""
    kind = unit.dtype.type
    radius = np.log(kind(1) - unit[0::2])
    radius *= kind(-2)
    np.sqrt(radius, radius)
    angle = unit[1::2] * kind(2 * np.pi)
    pairs = np.empty((radius.size, 2), unit.dtype)
    np.multiply(radius, np.cos(angle), pairs[:, 0])
    np.multiply(radius, np.sin(angle), pairs[:, 1])
    return pairs.reshape(-1)


def random_normal(out: np.ndarray, *, seed: int, offset: int) -> None:
    """Normal numbers of mean 0 and variance 1."""
    wide = out.dtype == np.float64

    def convert(words: np.ndarray, stretch: np.ndarray) -> None:
        unit = _unit64(words) if wide else _unit(words, 24)
        stretch[...] = _box_muller(unit)[: stretch.size]

    _filled(out, seed, offset, convert, 2 if wide else 1)


def random_noise(out: np.ndarray, *, seed: int, offset: int, p: float, scale: float) -> None:
    """``scale`` with chance ``p``, else 0."""
    # u < p for u = (w >> 8) * 2**-24 is w < ceil(p * 2**24) << 8.
    bound = int(np.ceil(float(np.float32(p)) * 2.0**24)) << 8
    if bound <= 0 or bound >= 1 << 32:
        out.fill(scale if bound > 0 else 0)
        return

    def convert(words: np.ndarray, stretch: np.ndarray) -> None:
        chosen = words[: stretch.size] < np.uint32(bound)
        np.copyto(stretch, chosen, casting="unsafe")
        if scale != 1:
            np.multiply(stretch, scale, stretch)

    _filled(out, seed, offset, convert)


def random_integers(out: np.ndarray, *, seed: int, offset: int, low: int, range: int) -> None:
    """Whole numbers in [low, low + range), for a range up to 2**31."""

    def convert(words: np.ndarray, stretch: np.ndarray) -> None:
        value = words[: stretch.size].astype(np.int64)
        value *= range
        value >>= 32
        np.add(value, low, stretch)

    _filled(out, seed, offset, convert)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.add("random_bits", random_bits, layout="contiguous")
    narrow = (float16, bfloat16, float32)
    table.add("random_uniform", random_uniform, dtypes=narrow, layout="contiguous")
    table.add("random_uniform", random_uniform64, dtypes=(float64,), layout="contiguous")
    table.add("random_normal", random_normal, dtypes=(*narrow, float64), layout="contiguous")
    table.add("random_noise", random_noise, layout="contiguous")
    table.add(
        "random_integers",
        random_integers,
        dtypes=(int64,),
        layout="contiguous",
        when=lambda facts: facts.attributes["range"] <= 1 << 31,
    )
