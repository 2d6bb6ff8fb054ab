"""Convolutions with few filters in a group on the host's cores: planes in a cache.

What :mod:`.gather_direct` does in two passes over memory, zeros around the image and then the sums,
is one here: see ``src/conv_planes.cl``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import Array
from dovetail_kernels.device import Device
from dovetail_kernels.gather import Map
from dovetail_kernels.gather_direct import read, vectors_of
from dovetail_kernels.gather_sum import Sum
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.reduce import wrapping
from dovetail_kernels.source import converted, element, program
from dovetail_kernels.spread import SLACK, Image, Three, table_of, three
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["Planes", "PlanesSum", "is_cached"]

CACHED = 1 << 18
"""Bytes of a group's planes that stay in a near cache."""


def is_cached(device: Device, image: Image, given: int, work: DType, units: int) -> bool:
    """Whether a group's planes fit into a cache, and there are enough of them for all cores.

    Args:
        given: planes of a group.
        units: groups that are computed one by one.
    """
    few = given * image.channel * work.itemsize <= CACHED
    return device.is_cpu and few and units >= 2 * device.units


def _tile(made: Map, places: int, step: int) -> dict[str, Any]:
    """The macros for what is computed at a time: some vectors of places in some lines."""
    kind, width, count = vectors_of(made, places, step)
    vector, each, lines = f"{kind}{width}", range(count), range(max(1, 4 // count))
    whole = width * made.work.itemsize == 64
    store = "STORE_{vector}((to) + {at}, l##j##_{v} + shift);"
    if not whole:
        store = "vstore{width}(l##j##_{v} + shift, 0, (to) + {at});"
    return {
        "LANES": count * width,
        "LINES": len(lines),
        "STEP": step,
        "VECTOR": vector,
        "TILE_CLEARED": " ".join(f"{vector} l{j}_{v} = ({vector})0;" for j in lines for v in each),
        "TILE_ADDED(w, o)": " ".join(
            f"l{j}_{v} = fma(w, {read(kind, width, step, v, f'q{j} + o')}, l{j}_{v});"
            for j in lines
            for v in each
        ),
        "EACH_LINE": " ".join(f"LINE({j})" for j in lines),
        "PUT_LINE(j, to)": " ".join(f"vstore{width}(l##j##_{v}, {v}, to);" for v in each),
        "STORE_LINE(j, to, shift)": " ".join(
            store.format(vector=vector, width=width, at=v * width, v=v) for v in each
        ),
    }


class _Source:
    """What both kernels know of the image that is read: macros, numbers, and how much memory a
    work item has for a group's planes."""

    def __init__(
        self, device: Device, x: Array, first: Three, image: Image, given: int, work: DType
    ) -> None:
        self.width = 64 // work.itemsize
        kind, vector = wrapping(work), f"{wrapping(work)}{self.width}"
        self.room = given * image.channel + SLACK
        self.kinds = (x.dtype,)
        self.macros = {
            "T": kind,
            "W": self.width,
            "WIDE": vector,
            "PUT_WIDE(p, v)": f"STORE_{vector}(p, v)",
            "vloadW": f"vload{self.width}",
            "LOADED(i)": converted(x.dtype, work, "IN_LOAD(in, i)"),
            **element(device, "IN", x.dtype),
            **lanes(device, "IN", x.dtype, self.width, side=False),
        }
        strides = x.element_strides
        last = sum(max(n - 1, 0) * s for n, s in zip(x.shape, strides, strict=True))
        self.numbers = [np.uint64(v) for v in (given, last + 1, *strides[:2])]
        self.numbers += [np.uint64(v) for v in three(strides[2:], 0)]
        self.numbers += [
            np.int64(v) for v in (*three(x.shape[2:], 1), *image.extents, *first)
        ]  # fmt: skip

    LIMIT = 2
    """Which of the numbers, counted from `room`, is where the image ends in its buffer."""

    def limit(self, x: Any) -> Any:
        """That number for an array."""
        return offset_of(x) + self.numbers[1]


class Planes:
    """One :class:`Map` of ``x`` resolved: ``run(x, weight, bias, out)``.

    Args:
        first: places before those of ``x`` in the image.
        given: planes of a group.
    """

    def __init__(self, made: Map, x: Array, first: Three, given: int) -> None:
        self.map, device, work = made, made.device, made.work
        self._source = source = _Source(device, x, first, made.image, given, work)
        weight, units = made.filters.weight, made.images * made.groups
        count = min(units, device.units * 4)
        self._bytes = count * source.room * work.itemsize
        kinds = (x.dtype, weight.dtype, made.out.dtype)
        self._steps = []
        for part in made.parts:
            if not made.images * len(part.rows_at):
                continue
            lines = part.lines
            slices, number, places = lines.counts
            macros = {
                "IS_PLANES": 1,
                **source.macros,
                **_tile(made, places, lines.x_steps[2]),
                "IS_SAME": int(made.out.dtype is work),
                "WEIGHT_LOADED(i)": converted(weight.dtype, work, "WEIGHT_LOAD(weight, i)"),
                **made.finished(),
                **element(device, "WEIGHT", weight.dtype),
            }
            numbers = [
                np.uint64(v)
                for v in (
                    made.images, made.groups, made.columns, slices, number, places,
                    len(part.depth_at), *lines.x_steps[:2], made.out_group,
                    made.out.element_strides[0], *lines.out_steps, made.out_column,
                    made.filters.group, made.filters.column, made.bias_step,
                )
            ]  # fmt: skip
            begin = [np.uint64(0)] * 4 + [np.uint64(source.room)]
            helpers = vector_helpers((x.dtype, work), source.width)
            text = program(device, "conv_planes", macros, kinds, text=helpers)
            launch = device.launch(
                text, "planes", 7, [*begin, *source.numbers, *numbers], ((count,), (1,)), made.label
            )
            tables = [table_of(device, values) for values in (part.depth_at, part.weight_at)]
            self._steps.append((part.offset, launch, tables))

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any) -> None:
        """Queue it."""
        with self.map.device.scratch(self._bytes) as (planes,):
            extra, first = out.buffer, np.uint64(0)
            if bias is not None:
                extra, first = bias.buffer, offset_of(bias)
            limit = self._source.limit(x)
            for offset, launch, tables in self._steps:
                target = offset_of(out) + np.uint64(offset)
                numbers = (
                    (0, target), (1, offset_of(x)), (2, offset_of(weight)), (3, first),
                    (4 + self._source.LIMIT, limit),
                )  # fmt: skip
                buffers = (out.buffer, x.buffer, weight.buffer, *tables, extra, planes)
                launch.with_numbers(buffers, numbers)


class PlanesSum:
    """One :class:`Sum` resolved: ``run(grad, x, out)``.

    Args:
        x: the image's array, with ``first`` places before it in the image.
        given: planes of a group.
        stride: of the convolution.
        places: sizes of the gradient's planes.
    """

    def __init__(
        self, made: Sum, x: Array, first: Three, given: int, stride: Three, places: Three
    ) -> None:
        self.sum, device, work = made, made.device, made.work
        self._source = source = _Source(device, x, first, made.image, given, work)
        width, rows, grad = source.width, len(made.rows_at), made.grad
        source.room += made.columns * -(-rows // 8) * 8 * width
        count = min(made.groups, device.units * 4)
        self._bytes = count * source.room * work.itemsize
        x_steps = [s * n for s, n in zip(stride, made.image.steps, strict=True)]
        kind = wrapping(work)
        macros = {
            "IS_PLANES_SUM": 1,
            **source.macros,
            "STEP": x_steps[2],
            "READ_WIDE(p)": read(kind, width, x_steps[2], 0),
            "WHOLE": f"{'long' if kind == 'double' else 'int'}{width}",
            "COUNTED": ", ".join(map(str, range(width))),
            "EACH_TAP": " ".join(f"TAP({t})" for t in range(8)),
            "RESULT(v)": converted(work, made.out.dtype, "v"),
            "GRAD_LOADED(i)": converted(grad.dtype, work, "GRAD_LOAD(grad, i)"),
            **element(device, "GRAD", grad.dtype),
            **lanes(device, "GRAD", grad.dtype, width, side=False),
            **element(device, "OUT", made.out.dtype),
        }
        strides = grad.element_strides
        last = sum(max(n - 1, 0) * s for n, s in zip(grad.shape, strides, strict=True))
        self._grad_size = np.uint64(last + 1)
        numbers = [
            np.uint64(v)
            for v in (
                made.images, made.groups, made.columns, *places, rows, 0, *x_steps[:2],
                *made.grad_steps, *three(strides[2:], 0), *made.out_steps,
            )
        ]  # fmt: skip
        begin = [np.uint64(0)] * 3 + [np.uint64(source.room)]
        self._limit = len(begin) + len(source.numbers) + 7
        kinds = (x.dtype, grad.dtype, made.out.dtype)
        helpers = vector_helpers((x.dtype, grad.dtype, work), width)
        text = program(device, "conv_planes", macros, kinds, text=helpers)
        self._launch = device.launch(
            text, "planes_sum", 6, [*begin, *source.numbers, *numbers], ((count,), (1,)), made.label
        )
        self._tables = [table_of(device, values) for values in (made.rows_at, made.out_at)]

    def __call__(self, grad: Any, x: Any, out: Any) -> None:
        """Queue it."""
        with self.sum.device.scratch(self._bytes) as (planes,):
            numbers = (
                (0, offset_of(out)), (1, offset_of(x)), (2, offset_of(grad)),
                (3 + self._source.LIMIT, self._source.limit(x)),
                (self._limit, offset_of(grad) + self._grad_size),
            )  # fmt: skip
            buffers = (out.buffer, x.buffer, grad.buffer, *self._tables, planes)
            self._launch.with_numbers(buffers, numbers)
