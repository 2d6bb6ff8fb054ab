"""Products whose left operand is an image, read by tables of offsets: forward and input gradient.

See ``src/conv.cl``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import Array
from dovetail_kernels.device import Device, Launch
from dovetail_kernels.folds import wrapping
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.source import converted, element, ended, program
from dovetail_kernels.spread import Image, Three, table_of
from dovetail_kernels.tiles import Tile, tile_of, woven

__all__ = [
    "NO_BIAS",
    "Filters",
    "Gathered",
    "Lines",
    "Map",
    "Part",
    "biased",
    "in_pairs",
    "is_run",
    "left_rows",
    "packing",
    "tile_for",
]

TILES = 16
"""Tiles of rows whose image stays in a cache while all panels pass."""

BLOCK = 64
"""Steps of depth that one work item packs."""

NO_BIAS = 2**64 - 1
"""The step from one channel's bias to the next where there is none."""


@dataclass(frozen=True)
class Lines:
    """The places of a part, as lines of a grid: for kernels that go line by line.

    Attributes:
        counts: planes, lines and places of a line.
        x_steps, out_steps: how far apart these are.
    """

    counts: tuple[int, int, int]
    x_steps: tuple[int, int, int]
    out_steps: tuple[int, int, int]


@dataclass(frozen=True)
class Part:
    """Places of the output whose windows have one shape.

    Attributes:
        rows_at, out_at: for each place, where it begins in the image and in the output.
        depth_at, weight_at: for each step of depth, how far it is from there, and from the
            beginning of a filter.
        lines: the same places as lines.
        window: how far the elements of a window are from where it begins, in places of the image
            before zeros are put around it; it begins ``stride`` times as far as its place.
        offset: where the first place is in the output; ``out_at`` does not contain it.
    """

    rows_at: np.ndarray
    out_at: np.ndarray
    depth_at: np.ndarray
    weight_at: np.ndarray
    lines: Lines
    window: list[Three]
    stride: Three
    offset: int = 0


@dataclass(frozen=True)
class Filters:
    """How the weight is read: steps from group to group and from column to column."""

    weight: Array
    group: int
    column: int


@dataclass(frozen=True)
class Map:
    """A convolution forward, or its gradient for the input: both are sums over windows.

    Attributes:
        image: what the windows are of.
        images, groups, columns: their numbers; columns are those of one group.
        x_group: from group to group in the image.
        out_group, out_column: in the output.
        label: the operator's name.
        is_rectified: a ReLU is taken of what is written.
    """

    device: Device
    work: DType
    image: Image
    filters: Filters
    out: Array
    bias: Array | None
    images: int
    groups: int
    columns: int
    x_group: int
    out_group: int
    out_column: int
    label: str
    parts: list[Part] = field(default_factory=list)
    is_rectified: bool = False

    def finished(self, *, is_rare: bool = False) -> dict[str, Any]:
        """Macros for what is done with a sum.

        Args:
            is_rare: see :func:`biased`.
        """
        device, work = self.device, self.work
        kind = self.out.dtype if self.bias is None else self.bias.dtype
        load = converted(kind, work, "BIAS_LOAD(bias, offset_bias + (channel) * bias_step)")
        added = {"BIASED(channel)": "(T)0" if self.bias is None else load}
        return {
            "T": wrapping(work),
            "RESULT(v)": converted(work, self.out.dtype, "v"),
            **ended(is_rectified=self.is_rectified),
            **(biased(load) if is_rare else added),
            **element(device, "OUT", self.out.dtype),
            **element(device, "BIAS", kind),
        }

    @property
    def bias_step(self) -> int:
        """From one channel's bias to the next."""
        return 0 if self.bias is None else self.bias.element_strides[0]

    @property
    def rare_bias_step(self) -> int:
        """The same for kernels with :func:`biased`."""
        return NO_BIAS if self.bias is None else self.bias_step


def biased(load: str = "bias[offset_bias + (channel) * bias_step]") -> dict[str, str]:
    """The macro for what is added to the sums of a channel, where it is asked for once for many:
    then a kernel finds out itself whether there is a bias, and is compiled once."""
    return {"BIASED(channel)": f"(bias_step == {NO_BIAS}ul ? (T)0 : {load})"}


def tile_for(device: Device, work: DType, columns: int) -> Tile:
    """The device's tile; a narrow one where columns are few."""
    tile = tile_of(device, work)
    if not tile.is_local and columns <= tile.width:
        return Tile(tile.rows, 1, tile.width)
    return tile


def packing(
    device: Device, tile: Tile, work: DType, source: Array, groups: int, lines: int, images: int,
    depth_at: np.ndarray, steps: tuple[int, int, int], label: str,
) -> tuple[Launch, int]:  # fmt: skip
    """A kernel that packs lines of ``source`` into panels by a table, and the panels' bytes.

    Args:
        depth_at: the table.
        steps: from group to group, line to line, image to image.
    """
    depth, kind = len(depth_at), wrapping(work)
    macros = {
        "IS_PACK": 1,
        "IS_FLAT": int(not device.is_cpu),
        "T": kind,
        "COLUMNS": tile.columns,
        "BLOCK": BLOCK,
        "LOADED(i)": converted(source.dtype, work, "IN_LOAD(in, i)"),
        **element(device, "IN", source.dtype),
    }
    if source.dtype is work and is_run(depth_at):
        macros |= woven(tile.columns, tile.width, kind)
    numbers = [np.uint64(v) for v in (0, groups, lines, images, depth, *steps)]
    panels = groups * -(-lines // tile.columns) * images
    items = panels * -(-depth // BLOCK) if device.is_cpu else panels * depth * tile.columns
    size = device.workers(items, 2)
    text = program(device, "conv", macros, (source.dtype,))
    launch = device.launch(text, "pack", 3, numbers, size, label)
    return launch, panels * depth * tile.columns * work.itemsize


def is_run(table: np.ndarray) -> bool:
    """Whether offsets are those of neighbours."""
    return len(table) > 1 and bool((np.diff(table) == 1).all())


def left_rows(tile: Tile) -> dict[str, str]:
    """The macro that makes a pointer for each row of a tile."""
    if tile.is_local:
        return {}
    rows = range(tile.rows)
    return {"POINTERS": " ".join(f"const global T *p{i} = from + begin[{i}];" for i in rows)}


def in_pairs(parts: Sequence[Part]) -> bool:
    """Whether places of parts 0 and 1, 2 and 3, ... take turns along the output's lines."""
    is_even = len(parts) % 2 == 0 and parts[0].lines.out_steps[2] == 2
    return is_even and all(
        b.offset == a.offset + 1 and b.lines.counts[:2] == a.lines.counts[:2]
        for a, b in zip(parts[::2], parts[1::2], strict=True)
    )


class Gathered:
    """One :class:`Map` resolved: ``run(x, weight, bias, out)``."""

    def __init__(self, made: Map) -> None:
        self.map, device, work = made, made.device, made.work
        tile = tile_for(device, work, made.columns)
        panels = made.groups * -(-made.columns // tile.columns)
        macros = {
            "IS_GATHER": 1,
            **made.finished(),
            **tile.macros(wrapping(work), is_float=True, left="p{i}[o]"),
            **left_rows(tile),
        }
        if made.out.dtype is work:
            macros |= tile.columns_turned(wrapping(work))
        dtypes = (made.out.dtype,) if made.bias is None else (made.out.dtype, made.bias.dtype)
        text = program(device, "conv", macros, dtypes)
        self._steps = []
        self._packed = 0
        for part in made.parts:
            depth, places = len(part.depth_at), len(part.rows_at)
            rows = made.images * places
            if not rows:
                continue
            steps = (made.filters.group, made.filters.column, 0)
            pack, nbytes = None, 0
            if depth:
                pack, nbytes = packing(
                    device, tile, work, made.filters.weight, made.groups, made.columns, 1,
                    part.weight_at, steps, made.label,
                )  # fmt: skip
            self._packed = max(self._packed, nbytes)
            numbers = [
                np.uint64(v)
                for v in (
                    0, 0, 0, made.groups, made.columns, rows, places, depth, made.x_group,
                    made.image.image, made.out_group, made.out.element_strides[0],
                    made.out_column, made.bias_step,
                )
            ]  # fmt: skip
            tiles = -(-rows // tile.rows)
            across = panels // made.groups
            blocks = made.groups * -(-tiles // TILES)
            segments = max(1, min(across, device.units * 8 // blocks))
            segment = -(-across // segments)
            numbers += [np.uint64(TILES), np.uint64(segment)]
            if tile.is_local:
                groups = max(1, min(tiles, device.units * 64))
                items = tile.items
                size: Any = ((groups * items, panels * items), (items, items))
            else:
                size = device.workers(blocks * -(-across // segment), 1)
            launch = device.launch(text, "gather", 7, numbers, size, made.label)
            tables = [
                table_of(device, values)
                for values in (part.rows_at, part.out_at, part.depth_at, part.weight_at)
            ]
            self._steps.append((part.offset, pack, launch, tables))

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any) -> None:
        """Queue it."""
        made = self.map
        with made.device.scratch(made.image.nbytes, self._packed) as (spread, packed):
            source, begin = made.image.place(x, spread)
            extra, first = out.buffer, np.uint64(0)
            if bias is not None:
                extra, first = bias.buffer, offset_of(bias)
            for offset, pack, launch, (rows_at, out_at, depth_at, weight_at) in self._steps:
                if pack is not None:
                    pack.with_numbers((packed, weight.buffer, weight_at), ((0, offset_of(weight)),))
                buffers = (out.buffer, source, packed, rows_at, out_at, depth_at, extra)
                target = offset_of(out) + np.uint64(offset)
                launch.with_numbers(buffers, ((0, target), (1, begin), (2, first)))
