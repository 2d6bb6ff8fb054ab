"""The gradient of a convolution for its weight on the host's cores, where planes are few.

A sum over all places of few elements of a window: vectors are of neighbouring places, so neither
operand is turned or packed, but for zeros around the image. See ``src/conv_padded.cl``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail_kernels.arrays import Array
from dovetail_kernels.gather_padded import Planes, suits, vector_macros
from dovetail_kernels.gather_sum import Sum
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.source import element, program
from dovetail_kernels.spread import Three, table_of
from dovetail_kernels.vectors import vector_helpers

__all__ = ["PaddedSum", "Windows", "is_padded_sum"]

SUMS = 28
"""Vectors that stay in registers beside one that is read: sums, and what they are made of."""

NEAR = 40 << 10
"""Bytes of planes and of the output's gradient that stay in the nearest cache."""

ROWS = 128
"""Elements of a filter up to which its gradient is faster so than by blocks."""


@dataclass(frozen=True)
class Windows:
    """Where windows of a convolution are in its image; ``places`` are sizes of the output."""

    kernel: Three
    stride: Three
    padding: Three
    dilation: Three
    places: Three

    def planes(self, source: Array) -> Planes:
        """All of ``source`` that they see."""
        _, y, x = ((k - 1) * d for k, d in zip(self.kernel, self.dilation, strict=True))
        return Planes(source, -self.padding[1], -self.padding[2], y, self.places[2] + x)


def is_padded_sum(made: Sum, source: Array, windows: Windows) -> bool:
    """Whether the gradient for a weight is for these kernels: a line of a window stays in
    registers, there is a vector at least in a line of places, and filters are enough for all
    cores."""
    kernel, work = windows.kernel, made.work
    return (
        suits(made.device, source, made.grad, made.out)
        and windows.stride == (1, 1, 1)
        and kernel[0] == windows.places[0] == 1
        and kernel[1] * kernel[2] > 1
        and kernel[2] + 1 < SUMS
        and windows.places[2] >= 64 // work.itemsize
        and made.images > 0
        and made.grad.element_strides[-1] == 1
        and made.columns * made.groups >= 2 * made.device.units
        and 0 < len(made.rows_at) <= ROWS
        and windows.planes(source).is_cached(source.shape[1] // made.groups, work)
    )


def _added_up(vector: str, width: int) -> str:
    """The sum of a vector's elements, by halves."""
    while width > 1:
        width //= 2
        vector = f"(({vector}).lo + ({vector}).hi)"
    return vector


def _sums(lines: int, across: int, filters: int, apart: int, width: int) -> dict[str, Any]:
    """The macros of so many filters, and so many lines of windows of elements ``apart``."""
    windows = [(j, k) for j in range(lines) for k in range(across)]
    each = [(f, j, k) for f in range(filters) for j, k in windows]
    grads = [(f"const WIDE g{f} = GRAD({f});", [(f, *w) for w in windows]) for f in range(filters)]
    elements = [
        (f"const WIDE e{j}_{k} = ELEMENT({j}, {k * apart});", [(f, j, k) for f in range(filters)])
        for j, k in windows
    ]
    # The operand of which there is less waits in registers for all of the other.
    held, passing = (elements, grads) if len(elements) <= len(grads) else (grads, elements)
    added = [load for load, _ in held]
    for load, sums in passing:
        added.append(load)
        added += [f"s{f}_{j}_{k} = fma(g{f}, e{j}_{k}, s{f}_{j}_{k});" for f, j, k in sums]
    return {
        "LINES": lines,
        "ACROSS": across,
        "FILTERS": filters,
        "SUMS": len(each),
        "EACH_SUM": " ".join(f"SUM(s{f}_{j}_{k}, {i})" for i, (f, j, k) in enumerate(each)),
        "EACH_FILTER": " ".join(f"FILTER({f})" for f in range(filters)),
        "EACH_LINE": " ".join(f"LINE({j})" for j in range(lines)),
        "ADDED": " ".join(added),
        "ADDED_UP(v)": _added_up("v", width),
    }


def _shape(depth: int, across: int, made: Sum) -> tuple[int, int]:
    """(lines of windows, filters) of a tile: the ones by which the work item with most to do is
    done first."""
    columns = made.columns

    def cost(shape: tuple[int, int]) -> float:
        lines, filters = shape
        bands = -(-columns // filters) * made.groups
        tiles = -(-depth // lines) * -(-bands // made.device.units)
        sums = lines * across * filters
        # Two products take as long as two loads, and an element of a window is in two lines.
        return tiles * max(sums, 2 * lines * across + filters) * (1 + 1 / sums)

    shapes = [
        (lines, filters)
        for lines in range(1, min(depth, SUMS // across) + 1)
        for filters in range(1, min(columns, SUMS // (across * lines)) + 1)
        if lines * across * filters + min(lines * across, filters) < SUMS
    ]
    return min(shapes, key=cost)


class PaddedSum:
    """One :class:`Sum` resolved: ``run(grad, x, out)``; ``source`` is the image's array."""

    def __init__(self, made: Sum, source: Array, windows: Windows) -> None:
        self.sum, device, work = made, made.device, made.work
        kernel, dilation = windows.kernel, windows.dilation
        width, across = 64 // work.itemsize, kernel[2]
        _, lines, length = windows.places
        self._planes = planes = windows.planes(source)
        channels = source.shape[1] // made.groups
        depth = channels * kernel[1]
        shape = _shape(depth, across, made)
        fits = NEAR // work.itemsize - channels * planes.reach * planes.pitch
        high = max(4, fits // (channels * planes.pitch + shape[1] * length))
        high = -(-lines // -(-lines // min(lines, high)))
        plane = planes.plane(high, width)
        macros = {
            "IS_SUM": 1,
            **vector_macros(work),
            **_sums(shape[0], across, shape[1], dilation[2], width),
            **element(device, "OUT", work),
        }
        text = program(device, "conv_padded", macros, (work,), text=vector_helpers((work,), width))
        out = made.out.element_strides
        lines_at = [
            (c * plane + k * dilation[1] * planes.pitch, made.out_at[(c * kernel[1] + k) * across])
            for c in range(channels)
            for k in range(kernel[1])
        ]
        bands = -(-made.columns // shape[1]) * made.groups
        size = device.workers(bands, 1)
        items = size[0][0]
        room = channels * plane + width
        sums = -(-bands // items) * -(-depth // shape[0]) * macros["SUMS"] * width
        self._room = work.itemsize * items * (room + sums)
        grad = made.grad.element_strides
        grad_line = grad[2] if len(grad) > 3 else 0
        numbers: list[Any] = [np.uint64(0)] * 4
        numbers += planes.steps
        numbers += [np.uint64(v) for v in (*grad[:2], grad_line, out[0], out[-1])]
        numbers += [
            np.int32(v)
            for v in (
                made.images, made.groups, made.columns, channels, *planes.sizes, plane, lines,
                length, depth, high, room, sums,
            )
        ]  # fmt: skip
        self._launch = device.launch(text, "padded_sum", 6, numbers, size, made.label)
        steps = [
            (y * grad_line + x, y * planes.pitch + x)
            for y in range(high)
            for x in range(0, length - width + 1, width)
        ]
        self._tables = [table_of(device, np.ravel(np.array(rows))) for rows in (lines_at, steps)]

    def __call__(self, grad: Any, x: Any, out: Any) -> None:
        """Queue it."""
        with self.sum.device.scratch(self._room) as (room,):
            buffers = (out.buffer, x.buffer, grad.buffer, *self._tables, room)
            numbers = (
                (0, offset_of(out)), (1, offset_of(x)), (2, offset_of(grad)),
                (3, self._planes.limit(x)),
            )  # fmt: skip
            self._launch.with_numbers(buffers, numbers)
