"""Windows of 3 by 3 with stride 1 by fewer products: Winograd's minimal filtering.

Where it pays: on devices that work on the host's cores, for float32, where images have tiles enough
to make up for transforming the filters. The error is some times that of summing directly, and still
well within the tolerance of the operator's record; an infinite or NaN element of the image reaches
the whole tile of 4 by 4 places that sees it. See ``src/winograd.cl``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.dtypes import float32
from dovetail_kernels.arrays import Array
from dovetail_kernels.gather import Map, left_rows, packing
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.shuffle import transposed
from dovetail_kernels.source import element, program
from dovetail_kernels.spread import table_of
from dovetail_kernels.tiles import tile_of

__all__ = ["Winograd", "pays"]

SIDE, POINTS = 4, 36
LANES = 16
"""The kernels transpose 4 by 4 places of as many filters."""

CHANNELS = 32
"""Fewer channels do not make up for transforming image and output."""

TILE = 56
"""What a tile costs in products of the direct way (measured)."""

NEAR_FILTER, FAR_FILTER = 1300, 3500
"""What a filter of one channel costs, where transformed ones stay in a cache and where not."""

FAR = 1 << 24
"""Bytes of transformed filters that do not stay in a cache."""

CACHED = 5 << 17
"""Bytes of transformed tiles that a work item holds at a time: more where filters are far, so that
they pass less often."""


def pays(made: Map, source: Array, places: tuple[int, int, int]) -> bool:
    """Whether a map of windows of 3 by 3 at neighbouring places is for these kernels.

    Args:
        source: the image, (N, C, H, W).
        places: sizes of the output's planes.
    """
    tile = tile_of(made.device, made.work)
    planes = (source, made.out)
    is_dense = all(
        x.ndim == 4 and x.dtype is float32 and x.element_strides[2:] == (x.shape[3], 1)
        for x in planes
    )
    tiles = made.images * -(-places[1] // SIDE) * -(-places[2] // SIDE)
    products = made.images * places[1] * places[2] * 9
    filter = FAR_FILTER if _is_far(source.shape[1], made.columns) else NEAR_FILTER
    return (
        made.device.is_cpu
        and is_dense
        and made.groups == 1
        and tile.width == LANES
        and source.shape[1] >= CHANNELS
        and made.columns >= CHANNELS
        and source.shape[1] % LANES == 0
        and made.columns % tile.columns == 0
        and source.shape[2] * source.shape[3] >= LANES
        and TILE * tiles + filter < products
    )


def _is_far(channels: int, columns: int) -> bool:
    """Whether transformed filters do not stay in a cache."""
    return POINTS * 4 * channels * columns > FAR


class Winograd:
    """One :class:`Map` resolved: ``run(x, weight, bias, out)``.

    Args:
        source: the image.
        first: where it begins in the image with zeros around it.
    """

    def __init__(self, made: Map, source: Array, first: tuple[int, int, int]) -> None:
        self.map, device = made, made.device
        (part,) = made.parts
        tile = tile_of(device, made.work)
        _, height, width = part.lines.counts
        high, wide = -(-height // SIDE), -(-width // SIDE)
        to_height, to_width = high * SIDE + 2, wide * SIDE + 2
        images, channels = source.shape[:2]
        panels = made.columns // tile.columns
        self._table = table_of(device, part.weight_at)
        self._pack, self._packed = packing(
            device, tile, made.work, made.filters.weight, 1, made.columns, 1, part.weight_at,
            (made.filters.group, made.filters.column, 0), made.label,
        )  # fmt: skip
        names = [f"p{i}" for i in range(LANES)]
        loads = " ".join(
            f"const VECTOR {name} = vload{LANES}(0, (from) + {i} * (step));"
            for i, name in enumerate(names)
        )
        statements, places = transposed(names, LANES, "float")
        outputs = [f"y{i}" for i in range(LANES)]
        turned, filters = transposed(outputs, LANES, "float")
        values = " ".join(f"const VECTOR {name} = (y)[{i}];" for i, name in enumerate(outputs))
        lanes = ("0123", "4567", "89ab", "cdef")
        macros = {
            "T": "float",
            "VECTOR": f"float{LANES}",
            "WIDTH": LANES,
            "vloadWIDTH": f"vload{LANES}",
            "vstoreWIDTH": f"vstore{LANES}",
            **tile.macros("float", is_float=True, left="p{i}[o]"),
            **left_rows(tile),
            "WOVEN(from, step)": f"{loads} {statements}",
            "ALL_PLACED": " ".join(f"PLACED({name})" for name in places),
            "TURNED(y)": f"{values} {turned}",
            "ALL_FILTERS": " ".join(
                f"FILTER({j}, " + ", ".join(f"{name}.s{four}" for four in lanes) + ")"
                for j, name in enumerate(filters)
            ),
            "BIASED(channel)": "bias[offset_bias + (channel) * bias_step]"
            if made.bias is not None
            else "(T)0",
            **element(device, "OUT", float32),
        }
        text = program(device, "winograd", macros, (float32,))
        numbers: list[Any] = [
            np.uint64(v) for v in (0, images, channels // LANES, *source.element_strides[:2])
        ]
        numbers += [
            np.int32(v)
            for v in (*source.shape[2:], to_height, to_width, first[1], first[2])
        ]  # fmt: skip
        size = device.workers(images * channels // LANES, 1)
        self._image = device.launch(text, "block_image", 2, numbers, size, made.label)
        size = device.workers(panels * channels // 8, 1)
        numbers = [np.uint64(panels), np.uint64(channels)]
        self._filters = device.launch(text, "filters", 2, numbers, size, made.label)
        tiles = images * high * wide
        room = CACHED * 4 if _is_far(channels, made.columns) else CACHED
        at_once = room // (POINTS * channels * 4) // tile.rows * tile.rows
        share = -(-tiles // device.units // tile.rows) * tile.rows
        at_once = max(tile.rows, min(at_once, share))
        workers = max(1, min(device.units, -(-tiles // at_once)))
        numbers = [
            *map(np.uint64, (0, 0, images, channels, made.columns)),
            *map(np.int32, (height, width, to_height, to_width)),
            *map(np.uint64, (*made.out.element_strides[:3], made.bias_step, at_once)),
        ]
        size = ((workers,), (1,))
        self._main = device.launch(text, "winograd", 5, numbers, size, made.label)
        self._sizes = tuple(
            4 * n
            for n in (
                self._packed // 4,
                panels * POINTS * channels * tile.columns,
                images * channels * to_height * to_width,
                workers * POINTS * at_once * (channels + tile.columns),
            )
        )

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any) -> None:
        """Queue it."""
        with self.map.device.scratch(*self._sizes) as (packed, filters, image, room):
            self._pack.with_numbers((packed, weight.buffer, self._table), ((0, offset_of(weight)),))
            self._filters(filters, packed)
            self._image.with_numbers((image, x.buffer), ((0, offset_of(x)),))
            extra, first = out.buffer, np.uint64(0)
            if bias is not None:
                extra, first = bias.buffer, offset_of(bias)
            self._main.with_numbers(
                (out.buffer, image, filters, room, extra), ((0, offset_of(out)), (1, first))
            )
