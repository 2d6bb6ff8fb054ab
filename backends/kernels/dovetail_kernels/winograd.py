"""Windows of 3 by 3 with stride 1 or 2 by fewer products: Winograd's minimal filtering.

Where it pays: on devices that work on the host's cores, for float32, where places and filters are
enough to make up for transforming both. The error is some times that of summing directly, and still
well within the tolerance of the operator's record; an infinite or NaN element of the image reaches
the whole tile of 4 by 4 places (8 by 8 of an input's gradient with stride 2) that sees it.
See ``src/winograd.cl``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.dtypes import float32
from dovetail_kernels.arrays import Array
from dovetail_kernels.gather import Map, left_rows
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.shuffle import transposed
from dovetail_kernels.source import element, ended, program
from dovetail_kernels.spread import Three, table_of
from dovetail_kernels.tiles import Tile, tile_of
from dovetail_kernels.vectors import vector_helpers
from dovetail_kernels.winograd_blocks import LANES, Block, Tiling, block_for, plan_of
from dovetail_kernels.winograd_lines import Way, macros_of

__all__ = ["Winograd", "pays"]

CHANNELS = 32
"""Fewer channels do not make up for transforming image and output."""

DIRECT = 1.35
"""What such a product of the direct way costs, with packing."""


def _tiling(made: Map) -> Tiling:
    parts, (height, width) = made.parts, made.out.shape[2:]
    taps = [len(part.window) for part in parts]
    if len(parts) == 1:
        ways = (Way(parts[0].stride[1]), Way(parts[0].stride[2]))
    else:  # An input's gradient with stride 2: neighbours along a line take turns.
        ways = (Way(2, int(taps[0] < taps[2])), Way(2, int(taps[0] < taps[1])))
    return Tiling(made.images, height, width, ways)


def _chosen(made: Map, source: Array, first: Three) -> Block:
    """The block for a map of ``source``, which has ``first`` zeros before it."""
    tile = tile_of(made.device, made.work)
    image = source.shape[3], first[2]
    panels = made.columns // tile.columns
    return block_for(tile, made.device.units, _tiling(made), image, source.shape[1], panels)


def _is_possible(made: Map, source: Array) -> bool:
    tile = tile_of(made.device, made.work)
    weight, stride = made.filters.weight, made.parts[0].stride
    return (
        made.device.is_cpu
        and sorted(len(part.window) for part in made.parts) in ([9], [1, 2, 2, 4])
        and stride[1] == stride[2] <= 2
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


def pays(made: Map, source: Array, first: Three) -> bool:
    """Whether a map of windows of 3 by 3 is for these kernels.

    Args:
        source: the image, (N, C, H, W).
        first: zeros before it.
    """
    if not _is_possible(made, source):
        return False
    windows = sum(len(part.window) * len(part.rows_at) for part in made.parts)
    direct = DIRECT * windows * made.images * made.columns / LANES
    return _chosen(made, source, first).cost * made.device.units < direct


def _moves(is_turned: bool) -> dict[str, str]:
    """The macros that weave vectors and write them."""
    names = [f"p{i}" for i in range(LANES)]
    loads = " ".join(
        f"const VECTOR {name} = vload{LANES}(0, (from) + {i} * (step));"
        for i, name in enumerate(names)
    )
    statements, woven = transposed(names, LANES, "float")
    taps = [8 - tap if is_turned else tap for tap in range(9)]
    return {
        "vloadWIDTH": f"vload{LANES}",
        "vstoreWIDTH(v, i, p)": f"STORE_float{LANES}((p) + (i) * WIDTH, v)",
        "WOVEN(from, step)": f"{loads} {statements}",
        "ALL_PLACED": " ".join(f"PLACED({name})" for name in woven),
        "IS_TURNED": str(int(is_turned)),
        "TAP(k)": "(8 - (k))" if is_turned else "(k)",
        "ALL_TAPS": " ".join(
            f"TAPPED({tap}, {name})" for tap, name in zip(taps, woven, strict=False)
        ),
        "ALL_TAPPED": " ".join(f"TAPPED({i}, {name})" for i, name in enumerate(woven)),
        "ALL_FILTERS": " ".join(f"FILTER({j}, {name})" for j, name in enumerate(woven)),
    }


def _sums(tile: Tile) -> dict[str, Any]:
    """The macros of a tile of the products."""
    macros = tile.macros("float", is_float=True, left="p{i}[o]") | left_rows(tile)
    return macros | {
        "PUT(i, to)": " ".join(f"vstoreWIDTH(s##i##_{v}, {v}, to);" for v in range(tile.vectors))
    }


class Winograd:
    """One :class:`Map` resolved: ``run(x, weight, bias, out)``.

    Args:
        source: the image.
        first: zeros before it.
    """

    def __init__(self, made: Map, source: Array, first: Three) -> None:
        self.map, device = made, made.device
        part = made.parts[0]
        block, tiling = _chosen(made, source, first), _tiling(made)
        tile = tile_of(device, made.work)
        few = _sums(Tile(tile.rows // 2, tile.vectors, tile.width))
        macros = {
            "T": "float",
            "VECTOR": f"float{LANES}",
            "WIDTH": LANES,
            **_sums(tile),
            **{f"FEW_{name}": text for name, text in few.items() if not name.startswith("PUT")},
            **macros_of(tiling.ways, *tiling.rest),
            **_moves(is_turned=len(made.parts) > 1 or part.weight_at[0] > part.weight_at[8]),
            "BIASED(channel)": "bias[(channel) * bias_step]" if made.bias is not None else "(T)0",
            **ended(is_rectified=made.is_rectified),
            **element(device, "OUT", float32),
        }
        helpers = vector_helpers((float32,), LANES)
        text = program(device, "winograd", macros, (float32,), text=helpers)
        out_image, out_column, out_line, _ = made.out.element_strides
        plan = plan_of(tiling, block, first[1:], (source.element_strides[0], out_image, out_line))
        self._plan = table_of(device, plan.table)
        weight = made.filters.weight
        lengths = zip(weight.shape, weight.element_strides, strict=True)
        self._last = np.uint64(1 + sum((n - 1) * s for n, s in lengths))
        steps = (
            source.element_strides[1], out_column, made.filters.column,
            part.weight_at[len(part.window)] - part.weight_at[0], made.bias_step, 0, 0, 0,
        )  # fmt: skip
        sizes = (
            *source.shape[2:], block.pitch_in, block.slack, block.pitch, out_line, block.span,
            block.tiles == tiling.wide,
        )  # fmt: skip
        counts = (
            source.shape[1], made.columns // tile.columns, block.groups, plan.segments, plan.tiles,
            block.segments, block.rows, block.panels,
        )  # fmt: skip
        numbers = [np.uint64(0)] * 5 + [
            np.array(steps, np.uint64), np.array(sizes, np.int32), np.array(counts, np.int32),
        ]  # fmt: skip
        units = block.groups * -(-made.columns // (block.panels * tile.columns))
        workers = max(1, min(device.units, units))
        self._launch = device.launch(text, "winograd", 6, numbers, ((workers,), (1,)), made.label)
        self._room = 4 * workers * block.room

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any) -> None:
        """Queue it."""
        with self.map.device.scratch(self._room) as (room,):
            extra, first = out.buffer, np.uint64(0)
            if bias is not None:
                extra, first = bias.buffer, offset_of(bias)
            begin = offset_of(weight)
            self._launch.with_numbers(
                (out.buffer, x.buffer, weight.buffer, room, self._plan, extra),
                (
                    (0, offset_of(out)), (1, offset_of(x)), (2, begin), (3, first),
                    (4, begin + self._last),
                ),
            )  # fmt: skip
