"""sort: pieces that fit are sorted on the chip, then pairs of them are merged by a sorting network.

Every key comes with its place, so no two are equal and the network's order is the stable one. A
merge of two sorted pieces sorts both and splits them; Batcher's network (Knuth, The Art of Computer
Programming 3, 5.3.4) does for pieces what it does for numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.dtypes import FLOATING, int32, int64
from dovetail_dlp.machine.region import dense, sides

__all__ = ["KERNELS"]


def network(n: int) -> Iterator[tuple[int, int]]:
    """Batcher's merge exchange for ``n`` pieces: the pairs to be put in order, one after
    another."""
    top = 1 << max(0, (n - 1).bit_length() - 1)
    p = top
    while p > 0 and n > 1:
        q, r, d = top, 0, p
        while True:
            yield from ((i, i + d) for i in range(n - d) if i & p == r)
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2


def _keys(x: Any, descending: bool) -> Any:
    keys = dlp.nram(x.shape, int32 if x.dtype in FLOATING else int64)
    dlp.sort_keys(keys, x)
    if descending:
        dlp.vector_bitwise_not(keys, keys)
    return keys


def _sorted(values: Any, places: Any, descending: bool, is_merge: bool) -> tuple[Any, Any]:
    order = dlp.nram(values.shape, int64)
    dlp.order(order, _keys(values, descending), places if is_merge else None)
    out, where = dlp.nram(values.shape, values.dtype), dlp.nram(values.shape, int64)
    dlp.pick(out, values, order)
    dlp.pick(where, places, order)
    return out, where


@dlp.kernel
def sort(x: Any, values: Any, indices: Any, *, descending: bool) -> None:
    """Along the middle of three dims."""
    outer, n, inner = x.shape
    room = dlp.room(x.dtype, x.dtype, int64, int64, int64, int64, int64, leave=1024)
    piece = min(n, max(64, room // 2 // 64 * 64))  # so that pieces start aligned in a merge
    limit = max(1, room // (2 * max(1, piece))) if n <= piece else 1
    for rows, columns in dlp.blocks((outer, inner), limit):
        part = (rows, slice(0, n), columns)
        order = (0, 2, 1)
        source, target, where = (t[part].transpose(*order) for t in (x, values, indices))
        pieces = [slice(s, min(s + piece, n)) for s in range(0, n, max(1, piece))]
        for here in pieces:
            with dlp.scope():
                tile = dlp.nram(source[:, :, here].shape, x.dtype)
                dlp.load(tile, source[:, :, here])
                places = dlp.nram(tile.shape, int64)
                dlp.grid(places, (0, 0, 1))
                dlp.vector_add(places, places, here.start)
                made = _sorted(tile, places, descending, False)
                dlp.store(target[:, :, here], made[0])
                dlp.store(where[:, :, here], made[1])
        for low, high in network(len(pieces)):
            with dlp.scope():
                _merge(target, where, pieces[low], pieces[high], descending)


def _merge(target: Any, where: Any, low: slice, high: slice, descending: bool) -> None:
    """Put the smaller elements of two pieces into the first, and both in order."""
    split, total = low.stop - low.start, low.stop - low.start + high.stop - high.start
    joined = []
    for memory in (target, where):
        whole = dlp.nram((1, 1, total), memory.dtype)
        dlp.load(whole[:, :, :split], memory[:, :, low])
        dlp.load(whole[:, :, split:], memory[:, :, high])
        joined.append(whole)
    for memory, whole in zip((target, where), _sorted(*joined, descending, True), strict=True):
        dlp.store(memory[:, :, low], whole[:, :, :split])
        dlp.store(memory[:, :, high], whole[:, :, split:])


def run(x: Any, values: Any, indices: Any, *, dim: int, descending: bool) -> None:
    """Any dim of a dense tensor."""
    shape = sides(x.key[0], dim)
    sort(*(dense(t, shape) for t in (x, values, indices)), descending=descending)


KERNELS = {"sort": run}
