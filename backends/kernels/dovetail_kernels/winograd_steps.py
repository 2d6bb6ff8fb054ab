"""Windows of 3 by 3 with stride 1 by fewer products on GPUs: Winograd's minimal filtering in steps.

Four launches: filters and tiles of the image, 6 by 6 places that overlap by two, are transformed
(``src/winograd_steps.cl``) straight into the panels of 36 products, one for each point, which are
one batched product of ``src/gemm.cl``; its sums are transformed into 4 by 4 places of the output.
What lies between is cut so that it stays within a bound. See :mod:`dovetail_kernels.winograd_lines`
for the matrices, and Lavin and Gray, arXiv:1509.09308, for the arrangement. As in other libraries'
Winograd, an infinite or NaN element of the image reaches the whole tile of 4 by 4 places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dovetail.dtypes import float32
from dovetail_kernels.arrays import Array, dense_strides
from dovetail_kernels.device import Device, Launch
from dovetail_kernels.gather import Gathered, Map, biased
from dovetail_kernels.gemm import Product, offset_of
from dovetail_kernels.source import program
from dovetail_kernels.tiles import Tile, tile_of
from dovetail_kernels.winograd_lines import SIDE, Way, macros_of

__all__ = ["WinogradSteps", "pays_in_steps"]

POINTS = (SIDE + 2) ** 2

CHANNELS = 32
"""Fewer channels or filters do not make up for what is moved."""

MOVED = 32
"""Products of two numbers in the time in which one number comes from memory or goes there: assumed,
for GPUs' peaks, of which products reach a third, say 12 (data centres) to 70 (desktops)."""

ROOM = 1 << 28
"""Bytes that transformed tiles and sums take at most, where an eighth of the memory is not less."""


def _up(n: int, step: int) -> int:
    return -(-n // step) * step


def _tiles(made: Map) -> tuple[int, int, int]:
    """Tiles of all images, of a line, and lines of them of an image."""
    height, width = made.out.shape[2:]
    high, wide = -(-height // SIDE), -(-width // SIDE)
    return made.images * high * wide, wide, high


def _room(device: Device) -> int:
    return min(ROOM, device.memory_total // 8)


def _is_possible(made: Map, source: Array) -> bool:
    arrays = [source, made.out, made.filters.weight, *([made.bias] if made.bias else [])]
    (part, *others) = made.parts
    return (
        not made.device.is_cpu
        and not others
        and len(part.window) == 9
        and part.stride == (1, 1, 1)
        and source.ndim == 4
        and all(x.dtype is float32 for x in arrays)
        and made.groups == 1
        and min(source.shape[1], made.columns) >= CHANNELS
        and 4 * POINTS * source.shape[1] * made.columns <= _room(made.device)
    )


def pays_in_steps(made: Map, source: Array) -> bool:
    """Whether a map of windows of 3 by 3 without dilation, of ``source``, is for these kernels.

    Where nothing was measured on the device for layers about as large, products in whole tiles are
    weighed against those of the direct way, with what is moved more: the points of image, sums and
    filters twice, and the filters.
    """
    if not _is_possible(made, source):
        return False
    sizes = source.shape[1], made.columns, _tiles(made)[0]
    way = made.device.faster(
        f"conv of 3 by 3, of {', '.join(str(1 << n.bit_length() - 1) for n in sizes)}",
        {
            "direct": lambda: _trial(made, source, Gathered(made)),
            "winograd": lambda: _trial(made, source, WinogradSteps(made, source)),
        },
    )
    if way is not None:
        return way == "winograd"
    tile, channels, filters = tile_of(made.device, float32), source.shape[1], made.columns
    tiles, places = _up(_tiles(made)[0], tile.columns), made.images * len(made.parts[0].rows_at)
    direct = 9 * channels * _up(places, tile.rows) * _up(filters, tile.columns)
    products = POINTS * channels * tiles * _up(filters, tile.rows)
    moved = 2 * POINTS * tiles * (channels + filters) + (2 * POINTS + 9) * channels * filters
    return products + MOVED * moved < direct


def _trial(made: Map, source: Array, run: Callable[..., None]) -> Callable[[], None]:
    """``run`` with arrays of its own, whatever is in them."""
    arrays = [source, made.filters.weight, made.bias, made.out]
    there = [x for x in arrays if x is not None]
    ends = [sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)) + 4 for x in there]

    def once() -> None:
        with made.device.scratch(*ends) as blocks:
            placed = iter(
                Array(block, 0, x.shape, x.strides, x.dtype)
                for block, x in zip(blocks, there, strict=True)
            )
            run(*(None if x is None else next(placed) for x in arrays))

    return once


class _Products(Product):
    """The products of all points; ``packs`` transform filters and image into their panels.

    Args:
        sizes: filters, channels and tiles.
    """

    def __init__(
        self, device: Device, sizes: tuple[int, int, int], packs: tuple[Launch, Launch], tile: Tile,
        label: str,
    ) -> None:  # fmt: skip
        filters, channels, tiles = sizes
        self._packs, self.label = packs, label
        a, b, self._sums = (
            Array(None, 0, (POINTS, *shape), dense_strides((POINTS, *shape), 4), float32)
            for shape in ((filters, channels), (channels, tiles), (filters, tiles))
        )
        super().__init__(device, a, b, self._sums, tile=tile)

    def _packing(
        self, x: Array, lines: int, steps: tuple[int, int], across: int, tile: Tile
    ) -> tuple[Launch, int]:
        return self._packs[x is self.b], 4 * POINTS * _up(lines, across) * self.depth

    def queue(self, weight: Any, x: Any, sums: Any) -> None:
        """Queue them; ``sums`` is a buffer."""
        made = self._sums
        self._run(weight, x, Array(sums, 0, made.shape, made.strides, made.dtype))


class _Piece(NamedTuple):
    """Some tiles: their products, what makes places of the sums, and the bytes of these."""

    products: _Products
    output: Launch
    nbytes: int


class WinogradSteps:
    """One :class:`Map` resolved: ``run(x, weight, bias, out)``.

    Args:
        source: the image, (N, C, H, W), with any strides.
    """

    def __init__(self, made: Map, source: Array) -> None:
        self.map, device = made, made.device
        tile, channels, filters = tile_of(device, float32), source.shape[1], made.columns
        macros = {"T": "float", "VECTOR": "float", **biased()}
        lines = macros_of((Way(1), Way(1)), SIDE, SIDE)
        macros |= {
            name: text
            for name, text in lines.items()
            if name in ("SIDE", "POINTS") or name.partition("_")[2].startswith("LINE(")
        }
        text = program(device, "winograd_steps", macros, (float32,))

        def launch(name: str, buffers: int, numbers: list[Any], items: int) -> Launch:
            return device.launch(text, name, buffers, numbers, device.workers(items), made.label)

        (part,) = made.parts
        at = [int(part.weight_at[k]) for k in (0, 1, 3, 9)]
        size = _up(filters, tile.rows) * channels
        numbers = [np.uint64(0), *map(np.uint32, (size, tile.rows, channels, filters))]
        steps = (at[0], made.filters.column, at[3] - at[0], at[2] - at[0], at[1] - at[0])
        of_filters = launch("transform_filters", 2, [*numbers, *map(np.int64, steps)], size)
        tiles, wide, high = _tiles(made)
        most = max(1, _room(device) // (4 * POINTS * (channels + filters)) // tile.columns)
        panels = -(-tiles // tile.columns)
        each = -(-panels // -(-panels // most)) * tile.columns  # pieces are few, and much the same
        self._pieces = []
        for first in range(0, tiles, each):
            across = min(each, _up(tiles - first, tile.columns))
            grid = (first, tiles, wide, high)
            size = across * channels
            numbers = [np.uint64(0), *map(np.uint32, (size, tile.columns, channels, *grid))]
            numbers += map(np.int32, (*source.shape[2:], *part.window[0][1:]))
            numbers += map(np.uint64, source.element_strides)
            packs = of_filters, launch("transform_image", 2, numbers, size)
            products = _Products(device, (filters, channels, across), packs, tile, made.label)
            size = across * filters
            numbers = [np.uint64(v) for v in (0, 0, made.rare_bias_step)]
            numbers += map(np.uint32, (size, across, *grid))
            numbers += map(np.int32, (*made.out.shape[2:], made.is_rectified))
            numbers += map(np.uint64, made.out.element_strides)
            output = launch("transform_output", 3, numbers, size)
            self._pieces.append(_Piece(products, output, 4 * POINTS * size))

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any) -> None:
        """Queue it."""
        extra, first = (out.buffer, 0) if bias is None else (bias.buffer, offset_of(bias))
        begins = ((0, offset_of(out)), (1, np.uint64(first)))
        for products, output, nbytes in self._pieces:
            with self.map.device.scratch(nbytes) as (sums,):
                products.queue(weight, x, sums)
                output.with_numbers((out.buffer, sums, extra), begins)
