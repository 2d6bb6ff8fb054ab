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
from dovetail_kernels.folds import wrapping
from dovetail_kernels.gather import Map, in_pairs
from dovetail_kernels.gather_direct import read, vectors_of
from dovetail_kernels.gather_sum import Sum
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.shuffle import woven_half
from dovetail_kernels.source import converted, element, program
from dovetail_kernels.spread import SLACK, Image, Three, table_of, three
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["Planes", "PlanesSum", "is_cached"]

CACHED = 1 << 18
"""Bytes of a group's planes that stay in a near cache."""

SUMS = 12
"""Sums of vectors that stay in registers, beside what is read."""


def is_cached(device: Device, image: Image, given: int, work: DType, units: int) -> bool:
    """Whether a group's planes fit into a cache, and there are enough of them for all cores.

    Args:
        given: planes of a group.
        units: groups that are computed one by one.
    """
    few = given * image.channel * work.itemsize <= CACHED
    return device.is_cpu and few and units >= 2 * device.units


def _tile(made: Map, places: int, step: int, *, is_paired: bool) -> dict[str, Any]:
    """The macros for what is computed at a time: some vectors of places in some lines, of two
    phases where they come in pairs."""
    kind, width, count = vectors_of(made, places, step)
    vector, each = f"{kind}{width}", range(count)
    lines = range(max(1, (2 if is_paired else 4) // count))
    store = "STORE_{vector}({at}, {value});"
    if width * made.work.itemsize != 64:
        store = "vstore{width}({value}, 0, {at});"

    def sums(letter: str) -> tuple[str, str]:
        names = [(j, v, f"{letter}{j}_{v}") for j in lines for v in each]
        return (
            " ".join(f"{vector} {name} = ({vector})0;" for _, _, name in names),
            " ".join(
                f"{name} = fma(w, {read(kind, width, step, v, f'q{j} + o')}, {name});"
                for j, v, name in names
            ),
        )

    macros: dict[str, Any] = {
        "LANES": count * width,
        "LINES": len(lines),
        "STEP": step,
        "VECTOR": vector,
        "EACH_LINE": " ".join(f"LINE({j})" for j in lines),
        "IS_PAIRED": int(is_paired),
    }
    macros["TILE_CLEARED"], macros["TILE_ADDED(w, o)"] = sums("l")
    if not is_paired:
        return macros | {
            "PUT_LINE(j, to)": " ".join(f"vstore{width}(l##j##_{v}, {v}, to);" for v in each),
            "STORE_LINE(j, to, shift)": " ".join(
                store.format(
                    vector=vector, width=width, at=f"(to) + {v * width}",
                    value=f"ENDED(l##j##_{v} + shift)",
                )
                for v in each
            ),
        }  # fmt: skip
    macros["OTHER_CLEARED"], macros["OTHER_ADDED(w, o)"] = sums("m")
    pairs = (
        f"PAIR({v * width}, "
        + ", ".join(woven_half(vector, f"l##j##_{v}", f"m##j##_{v}", half) for half in (0, 1))
        + ")"
        for v in each
    )
    return macros | {
        "WIDTH": width,
        "EACH_PAIR(j)": " ".join(pairs),
        "STORE_VECTOR(to, v)": store.format(
            vector=vector, width=width, at="to", value="ENDED((v) + shift)"
        ),
        "PUT_VECTOR(to, v)": f"vstore{width}(v, 0, to);",
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
        parts = [part for part in made.parts if len(part.rows_at)]
        self._is_empty = not (made.images and parts)
        if self._is_empty:
            return
        lines = parts[0].lines
        is_paired = in_pairs(parts)
        places = max(part.lines.counts[2] for part in parts)
        macros = {
            "IS_PLANES": 1,
            **source.macros,
            **_tile(made, places, lines.x_steps[2], is_paired=is_paired),
            "IS_SAME": int(made.out.dtype is work),
            "WEIGHT_LOADED(i)": converted(weight.dtype, work, "WEIGHT_LOAD(weight, i)"),
            **made.finished(is_rare=True),
            **element(device, "WEIGHT", weight.dtype),
        }
        numbers = [
            np.uint64(v)
            for v in (
                made.images, made.groups, made.columns, len(parts), *lines.x_steps[:2],
                made.out_group, made.out.element_strides[0], *lines.out_steps, made.out_column,
                made.filters.group, made.filters.column, made.rare_bias_step,
            )
        ]  # fmt: skip
        begin = [np.uint64(0)] * 4 + [np.uint64(source.room)]
        helpers = vector_helpers((x.dtype, work), source.width)
        text = program(device, "conv_planes", macros, kinds, text=helpers)
        self._launch = device.launch(
            text, "planes", 8, [*begin, *source.numbers, *numbers], ((count,), (1,)), made.label
        )
        taps = [len(part.depth_at) for part in parts]
        phases = [
            (*part.lines.counts, n, sum(taps[:i]), part.offset)
            for i, (part, n) in enumerate(zip(parts, taps, strict=True))
        ]
        self._tables = [
            table_of(device, np.concatenate([np.ravel(row) for row in rows]))
            for rows in (
                [part.depth_at for part in parts], [part.weight_at for part in parts], phases,
            )
        ]  # fmt: skip

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any) -> None:
        """Queue it."""
        if self._is_empty:
            return
        with self.map.device.scratch(self._bytes) as (planes,):
            extra, first = out.buffer, np.uint64(0)
            if bias is not None:
                extra, first = bias.buffer, offset_of(bias)
            numbers = (
                (0, offset_of(out)), (1, offset_of(x)), (2, offset_of(weight)), (3, first),
                (4 + self._source.LIMIT, self._source.limit(x)),
            )  # fmt: skip
            buffers = (out.buffer, x.buffer, weight.buffer, *self._tables, extra, planes)
            self._launch.with_numbers(buffers, numbers)


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
        blocks = -(-rows // SUMS)
        taps = -(-rows // blocks)
        source.room += made.columns * blocks * taps * width
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
            "TAPS": taps,
            "EACH_TAP": " ".join(f"TAP({t})" for t in range(taps)),
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
