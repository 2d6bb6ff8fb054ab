"""The image that a convolution reads: in place where it can, else with zeros around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import Array
from dovetail_kernels.device import Device, Launch
from dovetail_kernels.folds import wrapping
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.source import converted, element, program
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["AT_START", "SLACK", "Image", "Three", "grid", "image_of", "table_of", "three"]

Three = tuple[int, int, int]

SLACK = 256
"""Elements behind a spread image that may be read, though nothing comes of them."""


def three(values: Sequence[int], filler: int) -> Three:
    """One to three numbers as those of three spatial dims, the last ones given."""
    made = (*(filler,) * (3 - len(values)), *values)
    return (made[0], made[1], made[2])


def grid(shape: Sequence[int], steps: Sequence[int]) -> np.ndarray:
    """Offsets of all places of a grid, row-major and flat."""
    total = np.zeros(1, np.int64)
    for n, step in zip(shape, steps, strict=True):
        total = np.add.outer(total, np.arange(n, dtype=np.int64) * step).reshape(-1)
    return total


AT_START = np.uint64(0)
"""Where an array begins that begins with its buffer."""


def table_of(device: Device, values: np.ndarray) -> Any:
    """Offsets as a buffer of 32-bit numbers, which lives as long as who holds it."""
    return device.constant(np.asarray(values if values.size else [0], np.int32))


@dataclass(frozen=True)
class Image:
    """An image as kernels read it.

    Attributes:
        image, channel: element strides.
        steps: those of the three spatial dims.
        extents: their sizes.
        nbytes: of scratch memory that it takes; 0: it is read in place.
        spreading: makes the launch that puts it there; None: it is read in place.
        reach: elements from the first of what is put there to its last, with both.
    """

    image: int
    channel: int
    steps: Three
    extents: Three
    nbytes: int
    spreading: Callable[[], Launch] | None
    reach: int = 0

    @cached_property
    def launch(self) -> Launch | None:
        """The launch that puts it there, made on first use."""
        return None if self.spreading is None else self.spreading()

    def place(self, x: Any, scratch: Any) -> tuple[Any, Any]:
        """(buffer, offset) to read from, when what puts it there is queued."""
        if self.launch is None:
            return x.buffer, offset_of(x)
        numbers = self._bounds(offset_of(x)) if x.offset else self._usual
        self.launch.with_numbers((scratch, x.buffer), numbers)
        return scratch, AT_START

    def _bounds(self, begin: Any) -> tuple[tuple[int, Any], ...]:
        return (0, begin), (1, begin + np.uint64(self.reach))

    @cached_property
    def _usual(self) -> tuple[tuple[int, Any], ...]:
        """Where what begins with its buffer begins and ends: a launch knows it again."""
        return self._bounds(AT_START)


def image_of(
    device: Device, x: Array, first: Three, extents: Three, work: DType, *, in_place: bool = True
) -> Image:
    """``x``, (N, C, *S), from ``-first`` on and of so many places, zero where there is no ``x``.

    Args:
        in_place: it need not be followed by :data:`SLACK`.
    """
    sizes = three(x.shape[2:], 1)
    strides = x.element_strides
    steps = three(strides[2:], 0)
    fits = all(e <= n for e, n in zip(extents, sizes, strict=True))
    if in_place and x.dtype is work and not any(first) and fits:
        return Image(strides[0], strides[1], steps, extents, 0, None)
    images, channels = x.shape[:2]
    lines = images * channels * extents[0] * extents[1]

    def spreading() -> Launch:
        macros = {
            "IS_SPREAD": 1,
            "IS_FLAT": int(not device.is_cpu),
            "T": wrapping(work),
            "LOADED(i)": converted(x.dtype, work, "IN_LOAD(in, i)"),
            **element(device, "IN", x.dtype),
        }
        helpers = ""
        if device.is_cpu:
            wide = 64 // work.itemsize
            helpers = vector_helpers((x.dtype, work), wide)
            macros |= {
                "W": wide,
                "WIDE": f"{macros['T']}{wide}",
                "PUT_WIDE(p, v)": f"STORE_{macros['T']}{wide}(p, v)",
                **lanes(device, "IN", x.dtype, wide, side=False),
            }
        numbers = [np.uint64(v) for v in (0, 0, lines, channels, *strides[:2], *steps)]
        numbers += [np.int64(v) for v in (*sizes, *extents, *first)]
        items = lines if device.is_cpu else lines * extents[2]
        size = device.workers(items, max(1, 4096 // max(1, extents[2])))
        text = program(device, "conv", macros, (x.dtype,), text=helpers)
        return device.launch(text, "spread", 2, numbers, size, "conv")

    plane = math.prod(extents)
    inner = (extents[1] * extents[2], extents[2], 1)
    nbytes = (images * channels * plane + SLACK) * work.itemsize
    reach = 1 + sum(max(n - 1, 0) * s for n, s in zip(x.shape, strides, strict=True))
    return Image(
        channels * plane, plane, inner, extents, nbytes, lambda: device.fitting(spreading), reach
    )
