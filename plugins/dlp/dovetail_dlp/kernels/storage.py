"""fill, copy, arange, random_bits: what makes the numbers that are on the device."""

from __future__ import annotations

from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.dtypes import int32
from dovetail_dlp.machine import settings
from dovetail_dlp.machine.region import Region, merged_keys

__all__ = ["KERNELS", "copy"]


@dlp.kernel
def fill(out: Any, value: Any) -> None:
    """Every element becomes ``value``; ``out`` is dense."""
    for start, stop in dlp.parts(out.size, dlp.room(out.dtype)):
        tile = dlp.nram(stop - start, out.dtype)
        dlp.fill(tile, value)
        dlp.store(out.flat[start:stop], tile)


@dlp.kernel
def copy_blocks(x: Any, out: Any) -> None:
    """Strided DMA in, conversion, strided DMA out."""
    for block in dlp.blocks(out.shape, dlp.room(x.dtype, out.dtype)):
        dlp.store_as(out[block], dlp.load_as(x[block], x.dtype))


@dlp.kernel
def copy_elements(x: Any, out: Any) -> None:
    """The same where there is no strided DMA: single elements, each with an offset of its own."""
    limit = dlp.room(x.dtype, out.dtype, dlp.int64, dlp.int64)
    for block in dlp.blocks(out.shape, limit):
        source, target = x[block], out[block]
        offsets = dlp.nram(source.shape, dlp.int64)
        tile = dlp.nram(source.shape, x.dtype)
        dlp.grid(offsets, [s // x.dtype.itemsize for s in source.strides])
        dlp.load_gather(tile, _span(source), offsets)
        made = dlp.nram(source.shape, out.dtype)
        dlp.convert(made, tile)
        dlp.grid(offsets, [s // out.dtype.itemsize for s in target.strides])
        dlp.store_scatter(_span(target), made, offsets)


def _span(tile: Any) -> Any:
    """All memory from the first to the last element of a strided tile, as one dim."""
    size = tile.dtype.itemsize
    steps = zip(tile.shape, tile.strides, strict=True)
    n = 1 + sum((n - 1) * s for n, s in steps) // size
    return dlp.Tile(tile.home, tile.offset, (n,), (size,), tile.dtype)


_merges: dict[Any, list[Any]] = {}


def copy(x: Any, out: Any) -> None:
    """Any strides and dtype to any other."""
    key = (x.key, out.key)
    merged = _merges.get(key)
    if merged is None:
        if len(_merges) > 4096:
            _merges.clear()
        merged = _merges[key] = merged_keys(x, out)
    kernel = copy_elements if settings.current().opaque and merged[0] != merged[1] else copy_blocks
    kernel(Region(x.address, *merged[0]), Region(out.address, *merged[1]))


copy_blocks.name = copy_elements.name = "copy"


@dlp.kernel
def arange(out: Any, start: Any, step: Any) -> None:
    """Element i becomes ``start + i * step``."""
    for begin, end in dlp.parts(out.size, dlp.room(out.dtype)):
        tile = dlp.nram(end - begin, out.dtype)
        dlp.vector_index(tile, start, step, begin)
        dlp.store(out.flat[begin:end], tile)


@dlp.kernel
def random_bits(out: Any, seed: Any, offset: Any) -> None:
    """Words of Philox4x32-10 (int32), or their bytes (uint8)."""
    size = out.dtype.itemsize
    for begin, end in dlp.parts(-(-out.size * size // 4), dlp.room(int32) // 4 * 4):
        tile = dlp.nram(end - begin, int32)
        dlp.vector_random(tile, seed, offset, begin)
        target = out.flat[begin * 4 // size : end * 4 // size]
        dlp.store(target, tile.view(out.dtype)[: target.size])


KERNELS = {
    "fill": lambda out, *, value: fill(out, value),
    "copy": copy,
    "arange": lambda out, *, start, step: arange(out, start, step),
    "random_bits": lambda out, *, seed, offset: random_bits(out, seed, offset),
}
