"""Going over large arrays a block at a time, so that a kernel of several passes stays in the cache.

Also choosing between two values without branches: NumPy's masked copies branch at every element and
take ten times as long on a mask without pattern.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["BLOCK", "flat", "in_blocks", "row_blocks", "scratch", "select"]

BLOCK = 1 << 14
"""Elements of a block: a few operands and scratch arrays of so many stay in a core's own cache."""


class _Kept(threading.local):
    """Arrays of one block, per thread; numbered, for kernels that need several at a time."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[Any, int], np.ndarray] = {}


_kept = _Kept()


def scratch(dtype: Any, size: int, number: int = 0) -> np.ndarray:
    """(size,) of uninitialised memory that the thread keeps; a block at most is kept."""
    if size > BLOCK:
        return np.empty(size, dtype)
    found = _kept.arrays.get((dtype, number))
    if found is None:
        found = _kept.arrays[dtype, number] = np.empty(BLOCK, dtype)
    return found[:size]


def flat(array: np.ndarray) -> np.ndarray:
    """All elements of a dense array in the order of memory, without a copy."""
    if array.flags.c_contiguous:
        return array.reshape(-1)
    order = sorted(range(array.ndim), key=lambda i: -array.strides[i])
    return array.transpose(order).reshape(-1)


def in_blocks(kernel: Callable[..., None]) -> Callable[[Any], Callable[..., None]]:
    """An elementwise ``kernel(*inputs, out, **attributes)`` as a specialised table entry.

    The kernel gets flat arrays of at most a block where all are dense in the same order; else
    whatever came, broadcast to the output's shape.
    """

    def specialised(facts: Any) -> Callable[..., None]:
        options = facts.attributes
        out = facts.outputs[0]
        specs = facts.inputs
        alike = all(
            getattr(s, "strides", None) == out.strides and s.shape == out.shape for s in specs
        )
        if not (alike and out.is_dense) or out.numel <= BLOCK:

            def plain(*arrays: np.ndarray) -> None:
                shape = arrays[-1].shape
                kernel(*(np.broadcast_to(a, shape) for a in arrays[:-1]), arrays[-1], **options)

            return plain if not alike else lambda *arrays: kernel(*arrays, **options)

        def blocked(*arrays: np.ndarray) -> None:
            long = [flat(a) for a in arrays]
            for start in range(0, out.numel, BLOCK):
                part = slice(start, start + BLOCK)
                kernel(*[a[part] for a in long], **options)

        return blocked

    return specialised


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows of about a block each."""
    step = max(BLOCK // max(columns, 1), 1)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


_BITS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def select(condition: np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """``out = a where condition else b``, bit by bit; all of one shape, a, b and out of one dtype."""
    kind = _BITS[out.itemsize]
    mask = scratch(kind, out.size, 7).reshape(out.shape)
    other = scratch(kind, out.size, 6).reshape(out.shape)
    np.copyto(mask, condition.view(np.int8))
    np.negative(mask, out=mask)  # all bits where the condition holds
    np.bitwise_xor(a.view(kind), b.view(kind), out=other)
    np.bitwise_and(other, mask, out=other)
    np.bitwise_xor(other, b.view(kind), out=out.view(kind))
