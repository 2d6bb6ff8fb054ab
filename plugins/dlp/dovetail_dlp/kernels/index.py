"""gather, scatter, scatter_add, nonzero: single elements, by offsets that are computed on the
chip."""

from __future__ import annotations

from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.backend.sentences import ALONG
from dovetail.dtypes import bfloat16, bool_, float16, float32, int64
from dovetail_dlp.kernels.storage import copy
from dovetail_dlp.machine.region import Region, at_least_1d
from dovetail_dlp.machine.scratch import scratch
from dovetail_dlp.machine.words import told

__all__ = ["KERNELS", "TOLD"]


def _offsets(x: Any, index: Any, block: Any, dim: int, said: str) -> Any:
    """Where in flat ``x`` each element of a block of ``index`` reads or writes."""
    source = index[block]
    steps = [s // x.dtype.itemsize for s in x.strides]
    tile, offsets = dlp.nram(source.shape, int64), dlp.nram(source.shape, int64)
    dlp.load(tile, source)
    dlp.check_range(tile, x.shape[dim], said)
    dlp.vector_mul(tile, tile, steps[dim])
    along = [0 if d == dim else s for d, s in enumerate(steps)]
    dlp.grid(offsets, along)
    dlp.vector_add(offsets, offsets, tile)
    return offsets, sum(b.start * s for b, s in zip(block, along, strict=True))


@dlp.kernel
def gather(x: Any, index: Any, out: Any, *, dim: int, said: str) -> None:
    """``out[i][j] = x[index[i][j]][j]`` for dim 0; all of the same number of dims."""
    for block in dlp.blocks(index.shape, dlp.room(int64, int64, x.dtype)):
        offsets, first = _offsets(x, index, block, dim, said)
        tile = dlp.nram(offsets.shape, x.dtype)
        dlp.load_gather(tile, x.flat[first:], offsets)
        dlp.store(out[block], tile)


def _scattering(name: str, add: bool) -> Any:
    def body(index: Any, src: Any, out: Any, *, dim: int, said: str) -> None:
        for block in dlp.blocks(index.shape, dlp.room(int64, int64, src.dtype, out.dtype)):
            offsets, first = _offsets(out, index, block, dim, said)
            tile = dlp.load_as(src[block], out.dtype)
            dlp.store_scatter(out.flat[first:], tile, offsets, add=add)

    body.__name__ = body.__qualname__ = name
    return dlp.kernel(body)


scatter, scatter_add = _scattering("scatter", False), _scattering("scatter_add", True)


def run_gather(x: Any, index: Any, out: Any, *, dim: int, said: str) -> None:
    """A 0-d tensor is one of one element."""
    gather(*map(at_least_1d, (x, index, out)), dim=dim, said=said)


def run_scatter(x: Any, index: Any, src: Any, out: Any, *, dim: int, said: str) -> None:
    """A copy of ``x`` with elements of ``src`` put in."""
    _start_with(x, out)
    _scattered(scatter, index, src, out, dim, said)


def run_scatter_add(x: Any, index: Any, src: Any, out: Any, *, dim: int, said: str) -> None:
    """The same, adding; half precision is added up in float32."""
    if out.dtype not in (float16, bfloat16):
        _start_with(x, out)
        _scattered(scatter_add, index, src, out, dim, said)
        return
    strides = dlp.dense_strides(out.shape, 4)
    with scratch(out, out.shape, float32) as address:
        wide = Region(address, out.shape, strides, float32)
        copy(x, wide)
        _scattered(scatter_add, index, src, wide, dim, said)
        copy(wide, out)


def _start_with(x: Any, out: Any) -> None:
    if x.address != out.address:
        copy(x, out)


def _scattered(kernel: Any, index: Any, src: Any, out: Any, dim: int, said: str) -> None:
    if isinstance(src, Region) and not src.shape and index.shape:  # one value for all
        src = Region(src.address, index.shape, (0,) * len(index.shape), src.dtype)
    kernel(*map(at_least_1d, (index, src, out)), dim=dim, said=said)


@dlp.kernel(tasks=1)
def nonzero(x: Any, out: Any, *, count: int) -> None:
    """Places of elements that are not 0, row-major: each is written to where the count has come
    to."""
    columns = out.shape[1]
    room = dlp.room(x.dtype, bool_, bool_, int64, int64, int64, int64, int64, leave=512)
    carry, part = dlp.nram(1, int64), dlp.nram(1, int64)
    dlp.fill(carry, 0)
    for start, stop in dlp.parts(x.size, room):
        n = stop - start
        tile, is_zero = dlp.nram(n, x.dtype), dlp.nram(n, bool_)
        dlp.load(tile, x.flat[start:stop])
        dlp.vector_eq(is_zero, tile, 0)
        hit, place = dlp.nram(n, int64), dlp.nram(n, int64)
        is_one = dlp.nram(n, bool_)
        dlp.vector_bitwise_not(is_one, is_zero)
        dlp.convert(hit, is_one)
        dlp.scan_sum(place, hit, 0)
        dlp.vector_add(place, place, carry)
        dlp.reduce_sum(part, hit, 0)
        dlp.vector_add(carry, carry, part)
        dlp.vector_sub(place, place, 1)
        flat, coordinate, target = dlp.nram(n, int64), dlp.nram(n, int64), dlp.nram(n, int64)
        dlp.vector_index(flat, start, 1)
        for column in reversed(range(columns)):
            dlp.vector_remainder(coordinate, flat, x.shape[column])
            dlp.vector_floor_divide(flat, flat, x.shape[column])
            dlp.vector_mul(target, place, columns)
            dlp.vector_add(target, target, column)
            dlp.vector_where(target, is_zero, -1, target)
            dlp.store_scatter(out.flat, coordinate, target)


KERNELS = {"nonzero": nonzero}
_RUNS = {"gather": run_gather, "scatter": run_scatter, "scatter_add": run_scatter_add}
TOLD = {name: told(run, ALONG) for name, run in _RUNS.items()}
"""Made for a call, which they tell of an index out of range."""
