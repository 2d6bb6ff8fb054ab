"""Convolutions on the host's cores whose weight is not packed: the image is, in a cache.

Packing the weight costs much where places are few, and zeros around the image are a pass of their
own; here all is one launch. See ``src/conv_packed.cl``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail.dtypes import float32
from dovetail_kernels.arrays import Array
from dovetail_kernels.gather import Map, Part, biased, in_pairs
from dovetail_kernels.gather_direct import read
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.shuffle import woven_half
from dovetail_kernels.source import element, ended, program
from dovetail_kernels.spread import table_of, three
from dovetail_kernels.tiles import Tile
from dovetail_kernels.vectors import vector_helpers

__all__ = ["Packed", "is_packed"]

WIDTH = 16
"""Elements of a vector."""

TILE, NARROW = Tile(8, 2, WIDTH), Tile(16, 1, WIDTH)

STEPS = 128
"""Steps of depth whose panel of columns stays in the nearest cache, beside rows of the weight."""

CACHED = 1 << 20
"""Bytes that a work item's columns, sums and rows of the weight take of its cache."""

ALIKE = 32
"""Places of a line up to which a block is packed as a whole, with masks at its edges."""

PACKING, READING, NARROWER = 1.5, 1.0, 0.3
"""What it costs to pack an element of a column, to read one of the weight from afar, and to
multiply one vector in place of two, in products of a number and a vector."""


def is_packed(made: Map, source: Array) -> bool:
    """Whether a map of ``source`` is for these kernels."""
    arrays = [source, made.filters.weight, made.out]
    if made.bias is not None:
        arrays.append(made.bias)
    return (
        made.device.is_cpu
        and made.device.vector >= 4 * WIDTH
        and all(x.dtype is float32 for x in arrays)
        and source.ndim <= 4
        and source.element_strides[-1] == 1
        and source.shape[1] > 0
        and all(part.lines.counts[0] == 1 for part in made.parts)
        and 1 < max(len(part.window) for part in made.parts) <= STEPS
        and all(not z for part in made.parts for z, _, _ in part.window)
    )


@dataclass(frozen=True)
class Block:
    """What a work item computes at a time.

    Attributes:
        images, lines: of how many images, and how many lines of each.
        rows: filters.
        wide: elements of a line of columns.
    """

    images: int
    lines: int
    rows: int
    wide: int


def _block(made: Map, shifts: int, lines: int, places: int) -> Block:
    """The block by which the units with most to do are done first."""
    best, least = None, float("inf")
    units, phases, rows = made.device.units, len(made.parts), -(-made.columns // 16) * 16
    taps = sum(len(part.window) for part in made.parts)
    shapes = [(1, n) for n in range(1, lines + 1)]
    shapes += [(n, lines) for n in range(2, made.images + 1)]
    for images, high in shapes:
        count = images * high * places
        # What is too much of the last line; and an odd number, so that lines share no cache sets.
        wide = WIDTH * (-(-(count + WIDTH - 1) // WIDTH) | 1)
        vectors = -(-count // WIDTH)
        segment = rows
        while True:
            kept = 4 * (STEPS * (wide + segment) + phases * segment * wide)
            blocks = made.groups * -(-made.images // images) * -(-lines // high)
            blocks *= -(-rows // segment)
            cost = taps * segment * (vectors + NARROWER * (vectors % 2) + READING)
            cost += PACKING * shifts * count
            cost *= -(-blocks // units) * (1.0 if kept <= CACHED else kept / CACHED)
            if cost < least:
                best, least = Block(images, high, segment, wide), cost
            if segment <= 16:
                break
            segment = -(-segment // 32) * 16
    assert best is not None
    return best


def _named(tile: Tile, prefix: str) -> dict[str, str]:
    """The macros of a tile whose rows lie ``weight_row`` apart, and whose sums ``wide``."""
    made = tile.macros("float", is_float=True, left="p{i}[o]")
    each = [(i, v) for i in range(tile.rows) for v in range(tile.vectors)]
    macros = {
        "ROWS": tile.rows,
        "SUMS": made["SUMS"],
        "PRODUCTS(left, right)": made["PRODUCTS(left, right)"],
        "POINTERS": " ".join(
            ["const global T *p0 = left + row * weight_row;"]
            + [
                f"const global T *p{i} = p{i - 1} + (row + {i} < many ? weight_row : 0);"
                for i in range(1, tile.rows)
            ]
        ),
        "GET_ALL": " ".join(f"s{i}_{v} = READ_ONE(to + {i} * wide + {v} * W);" for i, v in each),
        "PUT_ALL": " ".join(f"PUT_WIDE(to + {i} * wide + {v} * W, s{i}_{v});" for i, v in each),
    }
    return {prefix + name: str(text) for name, text in macros.items()}


def _mask(shift: tuple[int, ...], lines: int, places: int, height: int) -> np.ndarray:
    """All bits of a word for each place whose element at ``shift`` is in the image."""
    up, _, start, stop = shift
    y, x = np.arange(lines) + up, np.arange(places)
    inside = np.outer((y >= 0) & (y < height), (x >= start) & (x < stop))
    return -inside.astype(np.int32)


class Packed:
    """One :class:`Map` of ``source`` resolved: ``run(x, weight, bias, out)``."""

    def __init__(self, made: Map, source: Array) -> None:
        self.map, device = made, made.device
        parts = [part for part in made.parts if len(part.rows_at)]
        self._is_empty = not (made.images and parts and made.columns)
        if self._is_empty:
            return
        _, height, width = three(source.shape[2:], 1)
        stride = parts[0].stride
        lines = max(part.lines.counts[1] for part in parts)
        places = max(part.lines.counts[2] for part in parts)
        seen = sorted({shift[1:] for part in parts for shift in part.window})
        channels = source.shape[1] // made.groups
        span = max(1, min(channels, STEPS // len(seen)))
        span = -(-channels // -(-channels // span))
        block = _block(made, len(seen), lines, places)
        steps, phases, weight_channel = self._steps(parts, seen, channels, span, block.wide)
        shifts = []
        for y, x in seen:
            start = min(places, max(0, -(x // stride[2])))
            stop = max(start, min(places, -((x - width) // stride[2])))
            shifts.append((y, x, start, stop))
        is_alike = stride == (1, 1, 1) and source.ndim > 3 and source.element_strides[2] == places
        is_alike = is_alike and places <= ALIKE
        masks = [_mask(shift, lines, places, height) for shift in shifts] if is_alike else []
        out_step = parts[0].lines.out_steps[2]
        vector = f"float{WIDTH}"
        macros = {
            "T": "float",
            "W": WIDTH,
            "WIDE": vector,
            "MASK": f"int{WIDTH}",
            "LANES": f"((int{WIDTH})({', '.join(map(str, range(WIDTH)))}))",
            "MASKED(v, mask)": f"as_{vector}(as_int{WIDTH}(v) & (mask))",
            "READ_MASK(p)": f"vload{WIDTH}(0, p)",
            "IS_ALIKE": int(is_alike),
            "STEP": stride[2],
            "STRIDE": stride[1],
            "COLUMNS": TILE.columns,
            "READ_ONE(p)": f"vload{WIDTH}(0, p)",
            "READ_WIDE(p)": read("float", WIDTH, stride[2], 0, "(p)"),
            "PUT_WIDE(p, v)": f"STORE_{vector}(p, v)",
            "TOGETHER": 2 if in_pairs(parts) else 1,
            "OUT_STEP": out_step,
            **biased(),
            **ended(is_rectified=made.is_rectified),
            "LOW(u, v)": woven_half(vector, "(u)", "(v)", 0),
            "HIGH(u, v)": woven_half(vector, "(u)", "(v)", 1),
            **_named(TILE, ""),
            **_named(NARROW, "NARROW_"),
            **element(device, "OUT", float32),
        }
        text = program(
            device, "conv_packed", macros, (float32,), text=vector_helpers((float32,), WIDTH)
        )
        strides = source.element_strides
        last = sum(max(n - 1, 0) * s for n, s in zip(source.shape, strides, strict=True))
        self._last = np.uint64(last + 1)
        step_line = strides[2] if source.ndim > 3 else 0
        numbers: list[Any] = [
            np.uint64(v)
            for v in (
                0, 0, 0, 0, 0, *strides[:2], step_line, made.out.element_strides[0],
                made.out_column, parts[0].lines.out_steps[1], made.filters.group,
                made.filters.column, weight_channel, made.rare_bias_step,
            )
        ]  # fmt: skip
        numbers += [
            np.int32(v)
            for v in (
                made.images, made.groups, made.columns, channels, height, width, lines, places,
                len(seen), len(parts), span, block.images, block.lines, block.rows,
                block.wide,
            )
        ]  # fmt: skip
        units = made.groups * -(-made.images // block.images) * -(-lines // block.lines)
        units *= -(-made.columns // block.rows)
        size = device.workers(units, 1)
        room = block.wide * (span * len(seen) + len(parts) * block.rows)
        self._room = 4 * size[0][0] * room
        self._launch = device.launch(text, "packed", 9, numbers, size, made.label)
        rows: list[list[Any]] = [steps, shifts, phases, [*masks, [0] * WIDTH]]
        self._tables = [
            table_of(device, np.concatenate([np.ravel(row) for row in table])) for table in rows
        ]

    @staticmethod
    def _steps(
        parts: list[Part], seen: list[Any], channels: int, span: int, wide: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, ...]], int]:
        """(for each step of a span, phase by phase, where it is in the weight and in the columns;
        the phases; from channel to channel in the weight)."""
        steps: list[tuple[int, int]] = []
        phases: list[tuple[int, ...]] = []
        step = 0
        for part in parts:
            taps, counts = len(part.window), part.lines.counts
            phases.append((taps, len(steps), *counts[1:], part.offset, 0))
            if taps and channels > 1:
                step = int(part.weight_at[taps] - part.weight_at[0])
            at = [
                (int(w), seen.index(s[1:]))
                for w, s in zip(part.weight_at, part.window, strict=False)
            ]
            for channel in range(span):
                steps += [
                    (w + channel * step, (channel * len(seen) + shift) * wide) for w, shift in at
                ]
        return steps, phases, step

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any) -> None:
        """Queue it."""
        if self._is_empty:
            return
        extra, first = out.buffer, np.uint64(0)
        if bias is not None:
            extra, first = bias.buffer, offset_of(bias)
        begin = offset_of(x)
        with self.map.device.scratch(self._room) as (room,):
            buffers = (out.buffer, x.buffer, weight.buffer, *self._tables, extra, room)
            numbers = (
                (0, offset_of(out)), (1, begin), (2, offset_of(weight)), (3, first),
                (4, begin + self._last),
            )  # fmt: skip
            self._launch.with_numbers(buffers, numbers)
