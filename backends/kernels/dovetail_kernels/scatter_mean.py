"""Means of what is brought together by index: sums and counts, line by line, in one launch."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from dovetail.backend import KernelTable
from dovetail.dtypes import bool_
from dovetail_kernels.arrays import Array, offsets
from dovetail_kernels.device import Launch, known
from dovetail_kernels.scatter import FEW, IN_ORDER, Scatter

__all__ = ["enter"]

IN_TURN = 256
"""Elements of a line that a work item of a GPU takes one after the other."""

MUCH = 1 << 22
"""Counts that there may be."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    made = partial(Mean, is_add=True)
    table.add("scatter_mean", made, when=_can_count, specialize=True)
    table.add("index_reduce", made, when=_is_mean, specialize=True)


def _is_mean(call: Any) -> bool:
    return call.attributes["reduce"] == "mean" and bool(call.input.ndim) and _can_count(call)


def _can_count(call: Any) -> bool:
    """Numbers whose sums are made in order: there are lines enough, or few elements."""
    out, device, index = call.outputs[0], known(call.outputs[0].device), call.index
    if device is None or out.dtype is bool_ or out.dtype.is_complex or not index.numel:
        return False
    dim, shape, rows = call.attributes["dim"], index.shape, index.numel
    if call.op.name == "index_reduce":
        shape = call.inputs[2].shape
    elif shape:
        rows = shape[dim]
    lines = math.prod(shape) // max(rows, 1)
    if lines * (out.shape[dim] if out.ndim else 1) > MUCH:
        return False
    are_few = out.numel + lines * rows <= FEW
    if device.is_cpu:
        return bool(lines * IN_ORDER >= device.units or are_few)
    return bool(rows <= IN_TURN and (lines >= device.units * 64 or are_few))


class Mean(Scatter):
    """One of them resolved: ``kernel(input, index, src, out)``."""

    IS_MEAN = True

    def __call__(self, x: Any, index: Any, src: Any, out: Any, bits: bytes = b"") -> None:
        """Queue it."""
        if self.is_empty:
            return
        if self.is_few and not (x.buffer is out.buffer and x.offset == out.offset):
            first = self.first or self._counting(self._first())
            counts = self.take()
            buffers = (out.buffer, src.buffer, index.buffer, self.faults, x.buffer, counts)
            first.with_numbers(buffers, offsets(out, src, index, x))
            self.give(counts)
            self.device.suspect = True
            return
        launch = self.launch
        if launch is None:
            launch = self.launch = self._counting(self.device.fitting(self._make))
        wide = self.wide
        if wide is not None:
            with self.device.scratch(wide.numel * wide.itemsize) as (block,):
                target = Array(block, 0, wide.shape, wide.strides, wide.dtype)
                self.widen(x, target)
                self._queue(launch, target, src, index)
                self.narrow(target, out)
            return
        if not (x.buffer is out.buffer and x.offset == out.offset):
            self.copy(x, out)
        self._queue(launch, out, src, index)

    def _counting(self, launch: Launch) -> Launch:
        self.take, self.give = self.device.room(4 * self.counted)
        return launch

    def _queue(self, launch: Launch, out: Any, src: Any, index: Any) -> None:
        counts = self.take()
        buffers = (out.buffer, src.buffer, index.buffer, self.faults, counts)
        launch.with_numbers(buffers, offsets(out, src, index))
        self.give(counts)
        self.device.suspect = True
