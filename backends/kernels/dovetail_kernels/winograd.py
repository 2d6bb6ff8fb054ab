"""Windows of 3 by 3 with stride 1 or 2 by fewer products: Winograd's minimal filtering.

Where it pays: on devices that work on the host's cores, for float32, where places and filters are
enough to make up for transforming both. The error is some times that of summing directly, and still
well within the tolerance of the operator's record; an infinite or NaN element of the image reaches
the whole tile of 4 by 4 places that sees it. See ``src/winograd.cl``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from dovetail.dtypes import float32
from dovetail_kernels.arrays import Array
from dovetail_kernels.gather import Map, left_rows
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.shuffle import transposed
from dovetail_kernels.source import element, ended, program
from dovetail_kernels.spread import table_of
from dovetail_kernels.tiles import Tile, tile_of
from dovetail_kernels.vectors import vector_helpers
from dovetail_kernels.winograd_lines import SIDE, dim_of, macros_of

__all__ = ["Winograd", "pays"]

LANES = 16
"""The kernels transpose 4 by 4 places of as many filters."""

CHANNELS = 32
"""Fewer channels do not make up for transforming image and output."""

IMAGE, FILTERS, ADDING = 1.2, 1300, 10
"""What it costs in products of a vector and a number: to transform a point of a row and a channel;
a panel of filters for a channel; and to add a point of a row to the outputs of a vector."""

DIRECT = 1.1
"""What such a product of the direct way costs, with packing."""

CACHED = 1 << 20
"""Bytes that a work item keeps in its cache."""

FEWEST, MOST, SPANS, PANELS = 8, 256, (32, 64, 128), (1, 2, 4, 8)
"""Rows, channels and panels of filters at a time: what is tried."""


@dataclass(frozen=True)
class Block:
    """What a work item computes at a time, with what it costs and the floats that it keeps.

    Attributes:
        rows: tiles of the output.
        panels: of filters.
        span: channels between which sums are added to the outputs.
        cost: for each channel, of the work item with most to do.
    """

    rows: int
    panels: int
    span: int
    cost: float
    room: int


@cache
def _block(
    tile: Tile, units: int, tiling: tuple[int, int, int, int], channels: int, panels: int
) -> Block:
    """The block by which the units are done first.

    Args:
        tiling: images, height and width of the output, stride.
    """
    images, height, width, stride = tiling
    whole = dim_of(SIDE, stride)
    points, filters = whole.points, len(whole.of_filter)
    high, wide = -(-height // SIDE), -(-width // SIDE)
    seen = [
        n // SIDE * points + (len(dim_of(n % SIDE, stride).seen) if n % SIDE else 0)
        for n in (height, width)
    ]
    each = seen[0] * seen[1] / (high * wide)
    count = images * high * wide
    best: Block | None = None
    for rows in range(FEWEST, min(MOST, -(-count // FEWEST) * FEWEST) + 1, FEWEST):
        for many in PANELS:
            blocks = -(-count // rows) * -(-panels // many)
            for span in SPANS:
                room = many * tile.columns * (span * 9 + rows * SIDE * SIDE)
                room += points * (rows * span + LANES) + filters * (span + 1) * tile.columns
                room += points * (rows + tile.rows) * tile.columns
                vectors = many * tile.vectors
                cost = rows * each * (vectors * (1 + ADDING / span) + IMAGE) + many * FILTERS
                cost *= -(-blocks // units) * max(1.0, room * 4 / CACHED)
                is_open = span <= max(channels, SPANS[0]) and many <= panels
                if is_open and (best is None or cost < best.cost):
                    best = Block(rows, many, span, cost, room)
    assert best is not None
    return best


def _chosen(made: Map, source: Array) -> Block:
    """The block for a map of ``source``."""
    (part,) = made.parts
    tile = tile_of(made.device, made.work)
    tiling = (made.images, *part.lines.counts[1:], part.stride[1])
    panels = made.columns // tile.columns
    return _block(tile, made.device.units, tiling, source.shape[1], panels)


def _is_possible(made: Map, source: Array) -> bool:
    tile = tile_of(made.device, made.work)
    weight, part = made.filters.weight, made.parts[0]
    return (
        made.device.is_cpu
        and len(made.parts) == 1
        and len(part.window) == 9
        and part.stride[1] == part.stride[2] <= 2
        and all(
            x.ndim == 4 and x.dtype is float32 and x.element_strides[2:] == (x.shape[3], 1)
            for x in (source, made.out, weight)
        )
        and made.groups == 1
        and tile.width == LANES
        and source.shape[1] >= CHANNELS
        and source.shape[1] % LANES == 0
        and made.columns >= tile.columns
        and made.columns % tile.columns == 0
        and source.shape[2] * source.shape[3] >= LANES
    )


def pays(made: Map, source: Array) -> bool:
    """Whether a map of windows of 3 by 3 is for these kernels.

    Args:
        source: the image, (N, C, H, W).
    """
    if not _is_possible(made, source):
        return False
    _, height, width = made.parts[0].lines.counts
    direct = DIRECT * 9 * made.images * height * width * made.columns / LANES
    return _chosen(made, source).cost * made.device.units < direct


def _tiles(
    made: Map, strides: tuple[int, int, int], to_width: int, image: int
) -> tuple[np.ndarray, list[int]]:
    """(for each tile where it begins in the image with zeros around it and in the output, its lines
    and places of a line; where whole tiles, the last ones of columns, and those of both begin).

    Args:
        strides: of images and lines in the output, and of windows.
        to_width, image: places of a line and of an image with zeros.
    """
    out_image, out_line, stride = strides
    _, height, width = made.parts[0].lines.counts
    n, y, x = np.meshgrid(
        np.arange(made.images), np.arange(0, height, SIDE), np.arange(0, width, SIDE), indexing="ij"
    )
    columns = (
        n * image + (y * to_width + x) * stride,
        n * out_image + y * out_line + x,
        np.minimum(SIDE, height - y),
        np.minimum(SIDE, width - x),
    )
    table = np.stack(columns, -1).reshape(-1, 4)
    is_last_y, is_last_x = (table[:, 2:] < SIDE).T
    kind = np.where(is_last_y, 2 + is_last_x, 1 - is_last_x)
    ends = np.cumsum(np.bincount(kind, minlength=4))
    return table[np.argsort(kind, kind="stable")], [int(end) for end in ends[:3]]


def _moves(tile: Tile, is_turned: bool) -> dict[str, str]:
    """The macros that weave vectors and write them."""
    names = [f"p{i}" for i in range(LANES)]
    loads = " ".join(
        f"const VECTOR {name} = vload{LANES}(0, (from) + {i} * (step));"
        for i, name in enumerate(names)
    )
    statements, places = transposed(names, LANES, "float")
    taps = [8 - tap if is_turned else tap for tap in range(9)]
    outputs = [f"y{i}" for i in range(LANES)]
    turned, filters = transposed(outputs, LANES, "float")
    values = " ".join(f"const VECTOR {name} = (y)[{i}];" for i, name in enumerate(outputs))
    lanes = ("0123", "4567", "89ab", "cdef")
    return {
        "vloadWIDTH": f"vload{LANES}",
        "vstoreWIDTH(v, i, p)": f"STORE_float{LANES}((p) + (i) * WIDTH, v)",
        "PUT(i, to)": " ".join(f"vstoreWIDTH(s##i##_{v}, {v}, to);" for v in range(tile.vectors)),
        "WOVEN(from, step)": f"{loads} {statements}",
        "ALL_PLACED": " ".join(f"PLACED({name})" for name in places),
        "TAP(k)": "(8 - (k))" if is_turned else "(k)",
        "ALL_TAPS": " ".join(
            f"vstoreWIDTH({name}, 0, to + {tap} * COLUMNS);"
            for tap, name in zip(taps, places, strict=False)
        ),
        "TURNED(y)": f"{values} {turned}",
        "ALL_FILTERS": " ".join(
            f"FILTER({j}, " + ", ".join(f"{name}.s{four}" for four in lanes) + ")"
            for j, name in enumerate(filters)
        ),
    }


class Winograd:
    """One :class:`Map` resolved: ``run(x, weight, bias, out)``.

    Args:
        source: the image.
        first: where it begins in the image with zeros around it.
    """

    def __init__(self, made: Map, source: Array, first: tuple[int, int, int]) -> None:
        self.map, device = made, made.device
        (part,) = made.parts
        block, tile, stride = _chosen(made, source), tile_of(device, made.work), part.stride[1]
        _, height, width = part.lines.counts
        whole = dim_of(SIDE, stride)
        to_height, to_width = (
            max(-(-n // SIDE) * SIDE * stride + whole.points - SIDE * stride, begin + size)
            for n, begin, size in zip((height, width), first[1:], source.shape[2:], strict=True)
        )
        images, channels = source.shape[:2]
        blocks, plane = channels // LANES, to_height * to_width
        macros = {
            "T": "float",
            "VECTOR": f"float{LANES}",
            "WIDTH": LANES,
            **tile.macros("float", is_float=True, left="p{i}[o]"),
            **left_rows(tile),
            **macros_of(stride, height % SIDE or SIDE, width % SIDE or SIDE),
            **_moves(tile, is_turned=part.weight_at[0] > part.weight_at[8]),
            "BIASED(channel)": "bias[offset_bias + (channel) * bias_step]"
            if made.bias is not None
            else "(T)0",
            **ended(is_rectified=made.is_rectified),
            **element(device, "OUT", float32),
        }
        helpers = vector_helpers((float32,), LANES)
        text = program(device, "winograd", macros, (float32,), text=helpers)
        numbers: list[Any] = [
            np.uint64(v) for v in (0, images, blocks, *source.element_strides[:2])
        ]
        numbers += map(np.int32, (*source.shape[2:], to_height, to_width, first[1], first[2]))
        size = device.workers(images * blocks, 1)
        self._image = device.launch(text, "block_image", 2, numbers, size, made.label)
        out_image, out_column, out_line, _ = made.out.element_strides
        table, ends = _tiles(made, (out_image, out_line, stride), to_width, blocks * plane)
        self._tiles = table_of(device, table.reshape(-1))
        weight = made.filters.weight
        steps = zip(weight.shape, weight.element_strides, strict=True)
        self._last = np.uint64(1 + sum((n - 1) * s for n, s in steps))
        channel = part.weight_at[9] - part.weight_at[0]
        numbers = [
            np.uint64(v)
            for v in (
                0, 0, 0, 0, channels, made.columns, len(table), *ends, plane, to_width, out_column,
                out_line, made.filters.column, channel, made.bias_step, block.rows, block.panels,
                block.span,
            )
        ]  # fmt: skip
        units = -(-made.columns // (block.panels * tile.columns)) * -(-len(table) // block.rows)
        workers = max(1, min(device.units, units))
        self._main = device.launch(text, "winograd", 6, numbers, ((workers,), (1,)), made.label)
        self._sizes = (4 * images * blocks * plane * LANES, 4 * workers * block.room)

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any) -> None:
        """Queue it."""
        with self.map.device.scratch(*self._sizes) as (image, room):
            self._image.with_numbers((image, x.buffer), ((0, offset_of(x)),))
            extra, first = out.buffer, np.uint64(0)
            if bias is not None:
                extra, first = bias.buffer, offset_of(bias)
            begin = offset_of(weight)
            self._main.with_numbers(
                (out.buffer, image, weight.buffer, room, self._tiles, extra),
                ((0, offset_of(out)), (1, begin), (2, first), (3, begin + self._last)),
            )
