"""Convolutions on the host's cores that read few planes or make few: lines with zeros around them.

Where three planes are made of 64, as in the input gradient of a network's first layer, a tile of a
product is empty for the most part, and going line by line reads everything three times; where 64
are made of three, packing windows repeats each element as often as there are elements in a window.
See ``src/conv_padded.cl``; the weight's gradient: :mod:`.gather_padded_sum`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32, float64
from dovetail_kernels.arrays import Array, joined
from dovetail_kernels.device import Device
from dovetail_kernels.folds import wrapping
from dovetail_kernels.gather import Map, Part, biased, in_pairs
from dovetail_kernels.gather_direct import FEW
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.shuffle import woven_half
from dovetail_kernels.source import element, ended, program
from dovetail_kernels.spread import AT_START, table_of, three
from dovetail_kernels.vectors import vector_helpers

__all__ = ["CACHED", "Padded", "Planes", "is_padded", "reads_few", "suits", "vector_macros"]

CACHED = 1 << 18
"""Bytes of planes that stay in a near cache."""

SUMS = 24
"""Sums of vectors that stay in registers, beside what is read."""

PACKING, KEEPING, WRITING = 4.0, 2.0, 2.0
"""What it costs to put a vector into the planes, to keep a sum in memory, and to write one, in
products of vectors."""


def suits(device: Device, source: Array, *others: Array) -> bool:
    """Whether arrays are of one dtype that vectors of 64 bytes are made of, and planes are flat."""
    is_wide = device.is_cpu and device.vector >= 64 and source.dtype in (float32, float64)
    return is_wide and source.ndim <= 4 and all(x.dtype is source.dtype for x in others)


def is_padded(made: Map, source: Array) -> bool:
    """Whether a map of ``source`` is for these kernels."""
    others = [made.filters.weight, made.out] + ([] if made.bias is None else [made.bias])
    return (
        suits(made.device, source, *others)
        and source.shape[1] > 0
        and all(part.lines.counts[0] == 1 for part in made.parts)
        and all(part.stride == (1, 1, 1) for part in made.parts)
        and any(part.window for part in _parts(made))
        and all(not z for part in made.parts for z, _, _ in part.window)
        and _planes(made, source).is_cached(1, made.work)
    )


def reads_few(made: Map, source: Array) -> bool:
    """Whether these kernels are the ones for a map to many filters: planes are few, and most places
    of the run are places of the output."""
    places = max(part.lines.counts[2] for part in made.parts)
    is_full = 4 * _planes(made, source).pitch <= 5 * places
    return source.shape[1] // made.groups <= FEW and is_full


def vector_macros(work: DType) -> dict[str, Any]:
    """The macros for vectors of 64 bytes."""
    kind, width = wrapping(work), 64 // work.itemsize
    vector, whole = f"{kind}{width}", f"{'long' if kind == 'double' else 'int'}{width}"
    return {
        "T": kind,
        "W": width,
        "WIDE": vector,
        "READ_WIDE(p)": f"vload{width}(0, p)",
        "PUT_WIDE(p, v)": f"STORE_{vector}(p, v)",
        "WHOLE": whole,
        "COUNTED": ", ".join(map(str, range(width))),
        "MASKED(v, mask)": f"as_{vector}(as_{whole}(v) & (mask))",
    }


@dataclass(frozen=True)
class Planes:
    """How planes are read.

    Attributes:
        source: what they are of, with sizes ``height`` and ``width``.
        first_y, first_x: where they begin in it.
        reach: lines more than there are places.
        pitch: elements of a line.
    """

    source: Array
    first_y: int
    first_x: int
    reach: int
    pitch: int

    def plane(self, lines: int, width: int) -> int:
        """Elements from one plane to the next: an odd number of vectors, so that planes share no
        cache sets."""
        return width * (-(-(lines + self.reach) * self.pitch // width) | 1)

    @property
    def steps(self) -> list[Any]:
        """From image to image, to the next channel, line and place."""
        strides = self.source.element_strides
        line = strides[2] if self.source.ndim > 3 else 0
        return [np.uint64(v) for v in (*strides[:2], line, strides[-1])]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers from `height` to `pitch`."""
        _, height, width = three(self.source.shape[2:], 1)
        return height, width, self.first_y, self.first_x, self.reach, self.pitch

    def is_cached(self, count: int, work: DType) -> bool:
        """Whether so many planes stay in a near cache, of one line of places at least."""
        return count * self.plane(1, 1) * work.itemsize <= CACHED

    @property
    def extent(self) -> Any:
        """Elements from the source's first to the end of its last."""
        source = self.source
        zipped = zip(source.shape, source.element_strides, strict=True)
        return np.uint64(sum(max(n - 1, 0) * s for n, s in zipped) + 1)

    def limit(self, x: Any) -> Any:
        """Where an array like the source ends in its buffer."""
        return offset_of(x) + self.extent


def _parts(made: Map) -> list[Part]:
    """Those that have places."""
    return [part for part in made.parts if len(part.rows_at)]


def _planes(made: Map, source: Array) -> Planes:
    """All that windows of a map see."""
    parts = _parts(made)
    ys = [y for part in parts for _, y, _ in part.window]
    xs = [x for part in parts for _, _, x in part.window]
    places = max(part.lines.counts[2] for part in parts)
    return Planes(source, min(ys), min(xs), max(ys) - min(ys), places + max(xs) - min(xs))


def _tile(rows: int, vectors: int, work: DType) -> dict[str, Any]:
    """The macros of so many filters by so many vectors of places."""
    width = 64 // work.itemsize
    vector = f"{wrapping(work)}{width}"
    across, down = range(vectors), range(rows)
    each = [(i, v) for i in down for v in across]
    lefts = [f"const {vector} x{i} = ({vector})(p{i}[o]);" for i in down]
    rights = [f"const {vector} b{v} = READ_WIDE(right + {v} * W);" for v in across]
    product = "s{i}_{v} = fma(x{i}, b{v}, s{i}_{v});"
    # The operand of which there is less waits in registers for all of the other.
    held, passing = (lefts, rights) if rows <= vectors else (rights, lefts)
    products = list(held)
    for k, load in enumerate(passing):
        pairs = [(i, k) for i in down] if passing is rights else [(k, v) for v in across]
        products.append(load)
        products += [product.format(i=i, v=v) for i, v in pairs]
    return {
        "ROWS": rows,
        "COLUMNS": vectors * width,
        "SUMS": " ".join(f"{vector} s{i}_{v} = ({vector})0;" for i, v in each),
        "POINTERS": " ".join(
            ["const global T *p0 = left + row * weight_row;"]
            + [
                f"const global T *p{i} = p{i - 1} + (row + {i} < rows ? weight_row : 0);"
                for i in down[1:]
            ]
        ),
        "PRODUCTS": " ".join(products),
        "GET_ALL": " ".join(f"s{i}_{v} = READ_WIDE(to + {i} * wide + {v} * W);" for i, v in each),
        "PUT_ALL": " ".join(f"PUT_WIDE(to + {i} * wide + {v} * W, s{i}_{v});" for i, v in each),
    }


@dataclass(frozen=True)
class Block:
    """What a work item computes at a time: ``lines`` lines of places, ``span`` planes, in tiles of
    so many vectors."""

    lines: int
    span: int
    vectors: int


class Padded:
    """One :class:`Map` of ``source`` resolved: ``run(x, weight, bias, out)``."""

    def __init__(self, made: Map, source: Array) -> None:
        self.map, device, work = made, made.device, made.work
        parts = _parts(made)
        self._is_empty = not (made.images and parts and made.columns)
        if self._is_empty:
            return
        self._width = width = 64 // work.itemsize
        lines = max(part.lines.counts[1] for part in parts)
        self._planes = planes = _planes(made, source)
        channels = source.shape[1] // made.groups
        rows = min(8, made.columns)
        taps = sum(len(part.window) for part in parts)
        block = self._block(channels, rows, taps, lines, len(parts))
        plane = planes.plane(block.lines, width)
        columns = block.vectors * width
        wide = -(-block.lines * planes.pitch // columns) * columns
        steps: list[tuple[int, int]] = []
        phases: list[tuple[int, ...]] = []
        weight_channel = 0
        for part in parts:
            count = len(part.window)
            phases.append((count, len(steps), *part.lines.counts[1:], part.offset, 0))
            if count and channels > 1:
                weight_channel = int(part.weight_at[count] - part.weight_at[0])
            at = [
                (int(w), (y - planes.first_y) * planes.pitch + x - planes.first_x)
                for w, (_, y, x) in zip(part.weight_at, part.window, strict=False)
            ]
            for c in range(block.span):
                steps += [(w + c * weight_channel, shift + c * plane) for w, shift in at]
        vector = f"{wrapping(work)}{width}"
        macros = {
            "IS_MAP": 1,
            **vector_macros(work),
            **_tile(rows, block.vectors, work),
            "TOGETHER": 2 if in_pairs(parts) else 1,
            "LOW(u, v)": woven_half(vector, "(u)", "(v)", 0),
            "HIGH(u, v)": woven_half(vector, "(u)", "(v)", 1),
            **biased(),
            **ended(is_rectified=made.is_rectified),
            **element(device, "OUT", work),
        }
        text = program(device, "conv_padded", macros, (work,), text=vector_helpers((work,), width))
        kept = rows if block.span >= channels else -(-made.columns // rows) * rows
        room = block.span * plane + columns + width
        numbers: list[Any] = [np.uint64(0)] * 5
        steps_of_all = (
            *planes.steps, made.out.element_strides[0], made.out_column,
            parts[0].lines.out_steps[1], made.filters.group, made.filters.column, weight_channel,
            made.rare_bias_step, parts[0].lines.out_steps[2],
        )  # fmt: skip
        sizes = (made.images, made.groups, made.columns, channels, *planes.sizes)
        of_block = (plane, lines, len(parts), block.span, block.lines, wide, room, kept)
        numbers += [
            joined(steps_of_all, 16, np.uint64),
            joined(sizes, 16, np.int32),
            joined(of_block, 8, np.int32),
        ]
        units = made.images * made.groups * -(-lines // block.lines)
        size = device.workers(units, 1)
        self._room = device.room(work.itemsize * size[0][0] * (room + len(parts) * kept * wide))
        self._extent = planes.extent
        # Where all begin with their buffers: a launch knows it again.
        self._usual = tuple(enumerate((*[AT_START] * 4, self._extent)))
        self._launch = device.launch(text, "padded", 7, numbers, size, made.label)
        self._tables = [table_of(device, np.ravel(np.array(rows))) for rows in (steps, phases)]

    def _block(self, channels: int, rows: int, taps: int, lines: int, phases: int) -> Block:
        """The block by which the units with most to do are done first."""
        made, planes, width = self.map, self._planes, self._width
        best, least = None, float("inf")
        most = max(1, SUMS // rows)
        tiles = -(-made.columns // rows)
        for high in range(1, lines + 1):
            places = -(-high * planes.pitch // width)
            plane = planes.plane(high, width)
            kept = plane + phases * rows * places * width
            if high > 1 and kept * made.work.itemsize > 2 * CACHED:
                break
            span = max(1, min(channels, CACHED // (plane * made.work.itemsize)))
            chunks = -(-channels // span)
            units = made.images * made.groups * -(-lines // high)
            packing = PACKING * channels * (high + planes.reach) * (planes.pitch / width + 1)
            for vectors in range(-(-most // 2), most + 1):
                count = -(-places // vectors)
                cost = tiles * count * channels * taps * (rows * vectors + 1.0)
                sums = tiles * count * rows * vectors * phases
                cost += sums * (KEEPING * (chunks - 1) + WRITING) + packing
                cost *= -(-units // made.device.units)
                if cost < least:
                    best, least = Block(high, -(-channels // chunks), vectors), cost
        assert best is not None
        return best

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any) -> None:
        """Queue it."""
        if self._is_empty:
            return
        extra = out if bias is None else bias
        numbers = self._usual
        if out.offset or x.offset or weight.offset or extra.offset:
            first = AT_START if bias is None else offset_of(bias)
            begin = offset_of(x)
            numbers = tuple(
                enumerate((offset_of(out), begin, offset_of(weight), first, begin + self._extent))
            )
        take, give = self._room
        room = take()
        try:
            buffers = (out.buffer, x.buffer, weight.buffer, *self._tables, extra.buffer, room)
            self._launch.with_numbers(buffers, numbers)
        finally:
            give(room)
