"""The array type of the backend's kernels: elements of a buffer, reached by strides."""

from __future__ import annotations

import functools
import itertools
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dovetail.backend import StridedView
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import uint8

__all__ = [
    "ALL_AT_START",
    "NO_OFFSETS",
    "START",
    "Array",
    "dense_strides",
    "joined",
    "joined_offsets",
    "merged",
    "offsets",
    "offsets_at",
    "outputs_first",
    "packed",
    "part",
    "placing",
]


class Array(StridedView):
    """A :class:`StridedView` that trusts the core: one is made for each tensor, so it is cheap.

    ``offset`` and ``strides`` are in bytes.
    """

    __slots__ = ()

    def __init__(
        self,
        buffer: Any,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: DType,
    ) -> None:
        self.buffer = buffer
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.dtype = dtype


def dense_strides(shape: Sequence[int], step: int = 1) -> tuple[int, ...]:
    """Row-major strides where neighbours along the last dim are ``step`` apart."""
    strides = []
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def packed(array: StridedView, dtype: DType | None = None) -> Array:
    """A dense row-major view of an array's shape, without memory."""
    kind = dtype or array.dtype
    return Array(None, 0, array.shape, dense_strides(array.shape, kind.itemsize), kind)


def part(array: StridedView, dims: Sequence[int]) -> Array:
    """These dims of an array, the others at their first element; without memory."""
    shape = tuple(array.shape[i] for i in dims)
    return Array(None, 0, shape, tuple(array.strides[i] for i in dims), array.dtype)


def merged(array: StridedView, dim: int, count: int) -> Array | None:
    """``count`` dims of an array from ``dim`` on as one (of size 1 where there are none), without
    memory; None where they lie so that they are not."""
    shape, strides = array.shape[dim : dim + count], array.strides[dim : dim + count]
    kept = [(n, step) for n, step in zip(shape, strides, strict=True) if n != 1]
    for (_, step), (n, within) in itertools.pairwise(kept):
        if step != n * within:
            return None
    sizes = (*array.shape[:dim], math.prod(shape), *array.shape[dim + count :])
    steps = (*array.strides[:dim], kept[-1][1] if kept else 0, *array.strides[dim + count :])
    return Array(None, 0, sizes, steps, array.dtype)


START = Array(None, 0, (), (), uint8)
"""In the place of what begins where its buffer does, among :func:`offsets`."""

_STARTS = [tuple((i, bytes(8)) for i in range(count)) for count in range(24)]


def offsets(*arrays: StridedView) -> tuple[tuple[int, bytes], ...]:
    """(position, elements from the buffer's start) of each array, as a launch's numbers: kernels
    take the offsets of their arrays before all other numbers.

    Where all begin with their buffers, which most do, it is the same object in every call: a
    launch knows it again.
    """
    for a in arrays:
        if a.offset:
            return tuple(
                [
                    (i, (a.offset // a.dtype.itemsize).to_bytes(8, "little"))
                    for i, a in enumerate(arrays)
                ]
            )
    return _STARTS[len(arrays)]


def offsets_at(*places: int) -> Callable[..., tuple[tuple[int, bytes], ...]]:
    """:func:`offsets` of so many arrays, which are these numbers of the launch."""
    at_start = tuple([(i, bytes(8)) for i in places])

    def find(*arrays: StridedView) -> tuple[tuple[int, bytes], ...]:
        for a in arrays:
            if a.offset:
                return tuple(
                    [
                        (i, (a.offset // a.dtype.itemsize).to_bytes(8, "little"))
                        for i, a in zip(places, arrays, strict=True)
                    ]
                )
        return at_start

    return find


def joined(values: Sequence[Any], length: int, kind: Any) -> np.ndarray:
    """Numbers as one argument of a kernel, a vector of OpenCL C: a driver takes its time for every
    argument of a launch."""
    return np.array([*values, *[0] * (length - len(values))], kind)


NO_OFFSETS = np.zeros(8, np.uint64)
"""What a launch has for :func:`joined_offsets` before it is called."""

MET = 64
"""Offsets that :func:`placing` keeps for a launch before it forgets them."""

ALL_AT_START = ((0, bytes(64)),)
"""What :func:`joined_offsets` gives, the same object, where all arrays begin with their buffers."""


def joined_offsets(*arrays: StridedView) -> tuple[tuple[int, bytes], ...]:
    """:func:`offsets` of up to eight arrays as one argument, the first after the buffers."""
    for a in arrays:
        if a.offset:
            values = [a.offset // a.dtype.itemsize for a in arrays]
            return ((0, struct.pack("<8Q", *values, *[0] * (8 - len(values)))),)
    return ALL_AT_START


def placing(
    count: int, counter: int | None = None
) -> Callable[..., tuple[tuple[Any, ...], tuple[tuple[int, bytes], ...]]]:
    """``place(*arrays)``: (the buffers, :func:`joined_offsets`) of so many arrays, whose dtypes are
    the same at every call.

    It is written out, and knows the offsets that it has met: launches of few elements are made of
    little else.

    Args:
        counter: there is one array more, whose offset is this number of the launch.
    """
    met: dict[Any, Any] = {}
    at_start: tuple[tuple[int, bytes], ...] = ALL_AT_START

    def meet(key: tuple[int, ...], *arrays: StridedView) -> Any:
        if len(met) >= MET:
            met.clear()
        made = joined_offsets(*arrays[:count])
        if counter is not None:
            made += _single(counter, arrays[count])
        met[key] = made
        return made

    if counter is not None:
        at_start += _single(counter, START)
    place: Callable[..., Any] = _placing(count + (counter is not None))(met.get, meet, at_start)
    return place


def outputs_first(launch: Any, inputs: int, outputs: int) -> Callable[..., None]:
    """A kernel of a launch whose buffers are the outputs, then the inputs."""
    place, queue = placing(inputs + outputs), launch.with_numbers
    if outputs == 1 and inputs == 1:
        return lambda x, out: queue(*place(out, x))
    if outputs == 1 and inputs == 2:
        return lambda x, y, out: queue(*place(out, x, y))
    if outputs == 1 and inputs == 3:
        return lambda x, y, z, out: queue(*place(out, x, y, z))
    return lambda *arrays: queue(*place(*arrays[inputs:], *arrays[:inputs]))


def _single(position: int, array: StridedView) -> tuple[tuple[int, bytes], ...]:
    return ((position, (array.offset // array.dtype.itemsize).to_bytes(8, "little")),)


@functools.cache
def _placing(count: int) -> Callable[..., Any]:
    names = [f"a{i}" for i in range(count)]
    every = ", ".join(names)
    begins = " or ".join(f"{name}.offset" for name in names)
    source = (
        "def make(known, meet, at_start):\n"
        f"    def place({every}):\n"
        f"        if {begins}:\n"
        f"            key = ({', '.join(f'{name}.offset' for name in names)},)\n"
        f"            begins = known(key) or meet(key, {every})\n"
        "        else: begins = at_start\n"
        f"        return ({', '.join(f'{name}.buffer' for name in names)},), begins\n"
        "    return place\n"
    )
    space: dict[str, Any] = {}
    exec(compile(source, "<dovetail places>", "exec"), space)
    make: Callable[..., Any] = space["make"]
    return make
