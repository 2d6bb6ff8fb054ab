"""Convolutions with few filters in a group, depthwise ones above all: line by line.

A tile of a product would be empty for the most part there. See ``src/conv_direct.cl``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail_kernels.folds import wrapping
from dovetail_kernels.gather import Map
from dovetail_kernels.gather_sum import Sum
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.source import converted, element, program
from dovetail_kernels.spread import AT_START, SLACK, Image, Three, table_of
from dovetail_kernels.tiles import tile_of

__all__ = ["FEW", "Direct", "DirectSum", "read", "vectors_of"]

FEW = 8
"""Filters in a group from which on they are computed as a product."""


def vectors_of(made: Any, places: int, step: int) -> tuple[str, int, int]:
    """(type of an element, elements of a vector, vectors): what is computed of a line at a time.

    Args:
        step: how far apart neighbouring places are in the image, behind which there is slack.
    """
    kind, width = wrapping(made.work), tile_of(made.device, made.work).width
    count = min(4, -(-places // width))
    while count > 1 and count * width * step > SLACK:
        count -= 1
    while width > 2 and count * width * step > SLACK:
        width //= 2
    return kind, width, count


def _lanes(made: Any, places: int, step: int) -> dict[str, Any]:
    """The macros for what is computed at a time: up to four vectors with names, less for short
    lines; ``step`` is how far apart in the image its elements are."""
    kind, width, count = vectors_of(made, places, step)
    vector, each = f"{kind}{width}", range(count)
    loads = [read(kind, width, step, v) for v in each]
    # A comparison of vectors is made of integers as wide as their elements.
    whole = "long" if kind == "double" else "int"
    places_of = [", ".join(str(v * width + i) for i in range(width)) for v in each]
    first = [
        f"l{v} = select(l{v}, fma(vload{width}({v}, q), {loads[v]}, l{v}), "
        f"({whole}{width})({places_of[v]}) < ({whole}{width})(n));"
        for v in each
    ]
    return {
        "LANES": count * width,
        "STEP": step,
        "VECTOR": vector,
        "LANES_CLEARED": " ".join(f"{vector} l{v} = ({vector})0;" for v in each),
        "LANES_PUT(to)": " ".join(f"vstore{width}(l{v}, {v}, to);" for v in each),
        "LANES_ADDED(w, p)": " ".join(f"l{v} = fma(w, {loads[v]}, l{v});" for v in each),
        "LANES_MULTIPLIED(q, p)": " ".join(
            f"l{v} = fma(vload{width}({v}, q), {loads[v]}, l{v});" for v in each
        ),
        "LANES_MULTIPLIED_FIRST(n, q, p)": " ".join(first),
    }


def read(kind: str, width: int, step: int, number: int, pointer: str = "p") -> str:
    """Vector ``number`` of elements that are ``step`` apart from ``pointer`` on."""
    begin = number * width * step
    if step == 1:
        return f"vload{width}(0, {pointer} + {begin})"
    if step == 2:
        halves = (f"vload{width}(0, {pointer} + {begin + i * width}).even" for i in (0, 1))
        return f"({kind}{width})({', '.join(halves)})"
    each = ", ".join(f"({pointer})[{begin + i * step}]" for i in range(width))
    return f"({kind}{width})({each})"


class Direct:
    """One :class:`Map` resolved: ``run(x, weight, bias, out)``. Its image has slack behind it."""

    def __init__(self, made: Map) -> None:
        self.map, device, work = made, made.device, made.work
        weight = made.filters.weight
        self._steps = []
        self._room = device.room(made.image.nbytes) if made.image.nbytes else None
        for part in made.parts:
            if not made.images * len(part.rows_at):
                continue
            lines = part.lines
            planes, count, places = lines.counts
            step = lines.x_steps[2]
            macros = {
                "IS_DIRECT": 1,
                **_lanes(made, places, step),
                "WEIGHT_LOADED(i)": converted(weight.dtype, work, "WEIGHT_LOAD(weight, i)"),
                **made.finished(is_rare=True),
                **element(device, "WEIGHT", weight.dtype),
            }
            numbers = [
                np.uint64(v)
                for v in (
                    0, 0, 0, 0, made.images, made.groups, made.columns, planes, count, places,
                    len(part.depth_at), made.x_group, made.image.image, *lines.x_steps[:2],
                    made.out_group, made.out.element_strides[0], *lines.out_steps,
                    made.out_column, made.filters.group, made.filters.column, made.rare_bias_step,
                )
            ]  # fmt: skip
            items = made.images * made.groups * made.columns * planes * count
            work_of_one = max(1, places * len(part.depth_at))
            size = device.workers(items, max(1, 4096 // work_of_one))
            dtypes = (weight.dtype, made.out.dtype)
            text = program(device, "conv_direct", macros, dtypes)
            launch = device.launch(text, "direct", 6, numbers, size, made.label)
            tables = [table_of(device, values) for values in (part.depth_at, part.weight_at)]
            begins = tuple((i, np.uint64(v)) for i, v in enumerate((part.offset, 0, 0, 0)))
            self._steps.append((part.offset, launch, tables, begins))

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any) -> None:
        """Queue it."""
        if self._room is None:
            self._queue(*self.map.image.place(x, None), weight, bias, out)
            return
        take, give = self._room
        spread = take()
        try:
            self._queue(*self.map.image.place(x, spread), weight, bias, out)
        finally:
            give(spread)

    def _queue(self, source: Any, begin: Any, weight: Any, bias: Any, out: Any) -> None:
        extra = out if bias is None else bias
        shifted = weight.offset or out.offset or extra.offset or begin
        for offset, launch, tables, numbers in self._steps:
            if shifted:
                target = offset_of(out) + np.uint64(offset)
                first = AT_START if bias is None else offset_of(bias)
                numbers = ((0, target), (1, begin), (2, offset_of(weight)), (3, first))
            launch.with_numbers((out.buffer, source, weight.buffer, *tables, extra.buffer), numbers)


class DirectSum:
    """One :class:`Sum` resolved for such groups: ``run(grad, x, out)``.

    Args:
        grad: the gradient as an image, its lines dense, with slack behind it.
        stride: of the convolution.
        places: sizes of the gradient's planes.
    """

    def __init__(self, made: Sum, grad: Image, stride: Three, places: Three) -> None:
        self.sum, self.grad, device, work = made, grad, made.device, made.work
        x_steps = [s * n for s, n in zip(stride, made.image.steps, strict=True)]
        macros = {
            "IS_DIRECT_SUM": 1,
            "T": wrapping(work),
            **_lanes(made, places[2], x_steps[2]),
            "RESULT(v)": converted(work, made.out.dtype, "v"),
            **element(device, "OUT", made.out.dtype),
        }
        columns, rows = made.columns, len(made.rows_at)
        numbers = [
            np.uint64(v)
            for v in (
                0, 0, 0, made.images, made.groups, columns, *places, rows,
                made.x_group, made.image.image, *x_steps[:2], columns * grad.channel, grad.channel,
                grad.image, *grad.steps[:2], *made.out_steps,
            )
        ]  # fmt: skip
        size = device.workers(made.groups * columns * rows, 1)
        text = program(device, "conv_direct", macros, (made.out.dtype,))
        self._launch = device.launch(text, "direct_sum", 5, numbers, size, made.label)
        self._tables = [table_of(device, values) for values in (made.rows_at, made.out_at)]

    def __call__(self, grad: Any, x: Any, out: Any) -> None:
        """Queue it."""
        made = self.sum
        with made.device.scratch(made.image.nbytes, self.grad.nbytes) as (spread, other):
            source, begin = made.image.place(x, spread)
            right, start = self.grad.place(grad, other)
            numbers = ((0, offset_of(out)), (1, begin), (2, start))
            self._launch.with_numbers((out.buffer, source, right, *self._tables), numbers)
