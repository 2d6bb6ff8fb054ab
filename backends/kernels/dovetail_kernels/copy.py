"""Copy between any two dtypes and layouts: the kernel that packs for all others.

Dense copies of one dtype are the driver's own. Others begin with a kernel whose loops are
arguments; one that is hot is compiled for its layout, see :mod:`.elementwise`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import EXPRESSIONS, StridedView, collapse
from dovetail.dtypes import complex128, int16, int32, int64, uint8
from dovetail_kernels.arrays import Array, offsets
from dovetail_kernels.device import Device, Launch
from dovetail_kernels.source import MOST, converted, element, loop_numbers, moved, places, program

__all__ = ["Copy"]

WORDS = {1: uint8, 2: int16, 4: int32, 8: int64, 16: complex128}
"""By size in bytes, the dtype that elements are moved as."""


class Copy:
    """One copy resolved: ``kernel(input, out)``, for views like these two."""

    def __init__(self, device: Device, source: StridedView, target: StridedView) -> None:
        self.device = device
        self.source, self.target = source, target
        self.count = target.numel
        if not self.count:
            return
        loops = collapse(target, source)
        self.is_plain = source.dtype is target.dtype and loops.is_contiguous
        self.nbytes = self.count * target.itemsize
        self._calls = 0
        self._hot: Any = None
        self._launch: Launch | None = None
        self._loops = loops

    def _general(self) -> Launch:
        device, source, target = self.device, self.source.dtype, self.target.dtype
        if source is target:  # bits are kept, those of NaN too
            elements = moved("IN", "OUT", itemsize=source.itemsize)
            elements["CONVERTED(v)"] = "v"
        else:
            elements = element(device, "IN", source) | element(device, "OUT", target)
            elements["CONVERTED(v)"] = converted(source, target, "v")
        macros = {
            "IS_CPU": int(device.is_cpu),
            "HAS_LOOPS": int(len(self._loops.shape) <= MOST),
            **elements,
            **places("OUTER", self._loops, "c", ("to", "from")),
        }
        text = program(device, "copy", macros, (source, target))
        numbers = [np.uint64(0), np.uint64(0), np.uint64(self.count), *loop_numbers(self._loops)]
        return device.launch(text, "copy", 2, numbers, device.workers(self.count), "copy")

    def __call__(self, x: Any, y: Any) -> None:
        """Queue it."""
        if not self.count:
            return
        device = self.device
        if self.is_plain:
            device.copy(y.buffer, y.offset, x.buffer, x.offset, self.nbytes)
            return
        if self._hot is not None:
            self._hot(x, y)
            return
        if self._calls >= device.patience:
            from dovetail_kernels.elementwise import Elementwise

            views = [self.target, self.source]
            kind = self.source.dtype
            if kind is self.target.dtype:  # bits are kept
                kind = WORDS[kind.itemsize]
                views = [Array(None, 0, v.shape, v.strides, kind) for v in views]
            made = Elementwise(device, "copy", EXPRESSIONS["copy"], views, (), kind, 0)
            self._hot = made.kernel
            self._hot(x, y)
            return
        self._calls += device.weight(self.count)
        if self._launch is None:
            self._launch = self._general()
        self._launch.with_numbers((y.buffer, x.buffer), offsets(y, x))
