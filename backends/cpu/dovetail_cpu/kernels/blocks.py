"""Going over large arrays a block at a time, so that a kernel of several passes stays in the cache.

Also choosing between two values without branches: NumPy's masked copies branch at every element and
take ten times as long on a mask without pattern.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

__all__ = [
    "BLOCK", "KEPT", "are_alike", "blocked", "by_blocks", "flat", "in_blocks", "row_blocks",
    "scratch", "select", "single",
]  # fmt: skip

BLOCK = 1 << 15
"""Elements of a block: a few operands and scratch arrays of so many stay in a core's own cache."""


KEPT = 1 << 17
"""Elements of the largest scratch array that a thread keeps."""


class _Kept(threading.local):
    """Scratch arrays, per thread; numbered, for kernels that need several at a time."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[Any, int], np.ndarray] = {}


_kept = _Kept()


def scratch(dtype: Any, size: int, number: int = 0) -> np.ndarray:
    """(size,) of uninitialised memory, the same for every call with this ``number``."""
    if size > KEPT:
        return np.empty(size, dtype)
    found = _kept.arrays.get((dtype, number))
    if found is None or found.size < size:
        found = _kept.arrays[dtype, number] = np.empty(max(size, BLOCK), dtype)
    return found[:size]


def flat(array: np.ndarray) -> np.ndarray:
    """All elements of a dense array in the order of memory, without a copy."""
    if array.flags.c_contiguous:
        return array.reshape(-1)
    order = sorted(range(array.ndim), key=lambda i: -array.strides[i])
    return array.transpose(order).reshape(-1)


def single(array: np.ndarray) -> np.ndarray:
    """One number as a 0-d array, also where it came expanded to a shape."""
    return array[(*(0,) * array.ndim, ...)] if array.ndim else array


def in_blocks(kernel: Callable[..., None]) -> Callable[[Any], Callable[..., None]]:
    """An elementwise ``kernel(*inputs, out, **attributes)`` as a specialised table entry.

    Where all operands are dense in the same order, or single numbers, the kernel gets flat arrays
    of at most a block (and the numbers, 0-d); else whatever came, broadcast to the output's shape.
    """

    def specialised(facts: Any) -> Callable[..., None]:
        return blocked(partial(kernel, **facts.attributes) if facts.attributes else kernel, facts)

    return specialised


def _are_whole(facts: Any) -> list[bool]:
    """Per input, whether it is no single number."""
    return [not isinstance(s, type) and bool(s.ndim) for s in facts.inputs]


def are_alike(facts: Any) -> bool:
    """Whether all operands are dense in the same order, or single numbers."""
    out = facts.outputs[0]
    return out.is_dense and all(
        s.strides == out.strides and s.shape == out.shape
        for s, is_array in zip(facts.inputs, _are_whole(facts), strict=True)
        if is_array
    )


def blocked(call: Callable[..., None], facts: Any) -> Callable[..., None]:
    """``call(*inputs, out)`` for each block of a call's operands."""
    out = facts.outputs[0]
    if not are_alike(facts):
        return lambda *arrays: call(
            *(np.broadcast_to(a, arrays[-1].shape) for a in arrays[:-1]), arrays[-1]
        )
    return call if out.numel <= BLOCK else by_blocks(call, facts)


def by_blocks(call: Callable[..., None], facts: Any) -> Callable[..., None]:
    """The same with flat arrays only, of operands that are alike."""
    out, whole = facts.outputs[0], [*_are_whole(facts), True]

    def run(*arrays: np.ndarray) -> None:
        long = [flat(a) if w else single(a) for a, w in zip(arrays, whole, strict=True)]
        for start in range(0, out.numel, BLOCK):
            part = slice(start, start + BLOCK)
            call(*[a[part] if w else a for a, w in zip(long, whole, strict=True)])

    return run


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows of about a block each."""
    step = max(BLOCK // max(columns, 1), 1)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


_FEW = 1024
"""Of so few elements the branches cost less than the passes."""

_BITS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def select(condition: np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """``out = a where condition else b``, by bits; of one shape, and a, b, out of one dtype."""
    if out.size <= _FEW:
        np.copyto(out, np.where(condition, a, b))
        return
    kind = _BITS[out.itemsize]
    mask = scratch(kind, out.size, 7).reshape(out.shape)
    other = scratch(kind, out.size, 6).reshape(out.shape)
    np.copyto(mask, condition.view(np.int8))
    np.negative(mask, out=mask)  # all bits where the condition holds
    np.bitwise_xor(a.view(kind), b.view(kind), out=other)
    np.bitwise_and(other, mask, out=other)
    np.bitwise_xor(other, b.view(kind), out=out.view(kind))
