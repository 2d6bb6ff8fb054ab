"""index_select: whole rows by number, as a lookup in a table is."""

from __future__ import annotations

from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.backend import KernelTable
from dovetail.dtypes import int64
from dovetail_dlp.machine.region import dense, sides

__all__ = ["enter"]


@dlp.kernel
def index_select(x: Any, index: Any, out: Any) -> None:
    """x: (outer, n, inner), index: (k), out: (outer, k, inner)."""
    _, n, inner = x.shape
    for rows, picks, columns in dlp.blocks(out.shape, dlp.room(int64, int64, x.dtype)):
        shape = out[rows, picks, columns].shape
        numbers, offsets = dlp.nram((1, shape[1], 1), int64), dlp.nram(shape, int64)
        dlp.load(numbers, index[picks].reshape(1, shape[1], 1))
        dlp.check_range(numbers, n)
        dlp.vector_mul(numbers, numbers, inner)
        dlp.grid(offsets, (n * inner, 0, 1))
        dlp.vector_add(offsets, offsets, numbers)
        tile = dlp.nram(shape, x.dtype)
        dlp.load_gather(tile, x[rows].flat[columns.start :], offsets)
        dlp.store(out[rows, picks, columns], tile)


def run(x: Any, index: Any, out: Any, *, dim: int) -> None:
    """Along any dim."""
    outer, n, inner = sides(x.shape, dim)
    count = out.shape[dim]
    index_select(
        dense(x, (outer, n, inner)), dense(index, (count,)), dense(out, (outer, count, inner))
    )


def enter(table: KernelTable) -> None:
    """Into a table, where there is a dim to select along."""
    table.add("index_select", run, when=lambda call: call.input.ndim > 0 and call.index.ndim == 1)
