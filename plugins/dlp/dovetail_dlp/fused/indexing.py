"""index_select: whole rows by number, as a lookup in a table is; and indices from the end."""

from __future__ import annotations

from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.backend import KernelTable
from dovetail.backend.sentences import ALONG, FLAT, IN_SELF
from dovetail.dtypes import bool_, int64
from dovetail_dlp.machine.region import dense, sides
from dovetail_dlp.machine.words import told

__all__ = ["enter"]


@dlp.kernel
def index_select(x: Any, index: Any, out: Any, *, said: str) -> None:
    """x: (outer, n, inner), index: (k), out: (outer, k, inner)."""
    _, n, inner = x.shape
    for rows, picks, columns in dlp.blocks(out.shape, dlp.room(int64, int64, x.dtype)):
        shape = out[rows, picks, columns].shape
        numbers, offsets = dlp.nram((1, shape[1], 1), int64), dlp.nram(shape, int64)
        dlp.load(numbers, index[picks].reshape(1, shape[1], 1))
        dlp.check_range(numbers, n, said)
        dlp.vector_mul(numbers, numbers, inner)
        dlp.grid(offsets, (n * inner, 0, 1))
        dlp.vector_add(offsets, offsets, numbers)
        tile = dlp.nram(shape, x.dtype)
        dlp.load_gather(tile, x[rows].flat[columns.start :], offsets)
        dlp.store(out[rows, picks, columns], tile)


def run(x: Any, index: Any, out: Any, *, dim: int, said: str) -> None:
    """Along any dim."""
    outer, n, inner = sides(x.shape, dim)
    count = out.shape[dim]
    index_select(
        dense(x, (outer, n, inner)),
        dense(index, (count,)),
        dense(out, (outer, count, inner)),
        said=said,
    )


@dlp.kernel
def wrapped(index: Any, out: Any, *, size: int, said: str) -> None:
    """Indices below 0 count from the end."""
    for start, stop in dlp.parts(index.size, dlp.room(int64, int64, bool_)):
        tile, moved = dlp.nram(stop - start, int64), dlp.nram(stop - start, int64)
        is_below = dlp.nram(stop - start, bool_)
        dlp.load(tile, index.flat[start:stop])
        dlp.check_range(tile, size, said, -size)
        dlp.vector_add(moved, tile, size)
        dlp.vector_lt(is_below, tile, 0)
        dlp.vector_where(tile, is_below, moved, tile)
        dlp.store(out.flat[start:stop], tile)


def run_wrapped(index: Any, out: Any, *, size: int, said: str, **_: Any) -> None:
    """The core's ``wrapped_index``: this kernel alone knows the numbers that the user gave."""
    wrapped(index, out, size=size, said=said)


def _wrapped(facts: Any) -> Any:
    return told(run_wrapped, FLAT if facts.attributes["dim"] is None else ALONG)(facts)


def enter(table: KernelTable) -> None:
    """Into a table, where there is a dim to select along."""
    table.add(
        "index_select",
        told(run, IN_SELF),
        when=lambda call: call.input.ndim > 0 and call.index.ndim == 1,
        specialize=True,
    )
    table.add("wrapped_index", _wrapped, specialize=True)
