"""A good device to break: opaque memory of its own, the host's kernels, two devices.

It keeps to the contract in the plainest way: integer handles, bytes behind them, nothing shared
with the caller. Fresh memory holds a pattern, so that what is read before it is written shows.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from dovetail.backend import DeviceInfo, KernelTable, OutOfMemoryError, Runtime, registry

__all__ = ["MEMORY", "PlainRuntime"]

MEMORY = 64 << 20
"""Bytes of each device: so few that running out of them can be tried."""


class PlainRuntime(Runtime):
    """Two devices of :data:`MEMORY` bytes each, whose kernels are the host's.

    Args:
        table: the kernels; None: those of the host's backend.
    """

    def __init__(self, table: KernelTable | None = None) -> None:
        self.table = table if table is not None else good_table()
        self.blocks: dict[int, tuple[np.ndarray, int]] = {}
        self.used = [0, 0]
        self.handles = itertools.count(1)

    def count(self) -> int:
        return 2

    def info(self, index: int) -> DeviceInfo:
        kinds = registry.get("cpu").runtime.info(0).dtypes
        return DeviceInfo(f"plain {index}", dtypes=kinds, memory_total=MEMORY)

    def alloc(self, nbytes: int, index: int) -> int:
        if self.used[index] + nbytes > MEMORY:
            raise OutOfMemoryError(f"plain:{index}: {self.used[index]} of {MEMORY} bytes in use")
        self.used[index] += nbytes
        handle = next(self.handles)
        self.blocks[handle] = (np.full(nbytes, 0xA5, np.uint8), index)
        return handle

    def free(self, buffer: int) -> None:
        block, index = self.blocks.pop(buffer)
        self.used[index] -= block.nbytes

    def h2d(self, buffer: int, offset: int, source: memoryview) -> None:
        self.blocks[buffer][0][offset : offset + source.nbytes] = np.frombuffer(source, np.uint8)

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        target[:] = self.blocks[buffer][0][offset : offset + target.nbytes].data

    def view(self, buffer: int, offset: int, shape: Any, strides: Any, dtype: Any) -> np.ndarray:
        if 0 in shape:
            return np.empty(shape, dtype.numpy)
        made: np.ndarray = np.ndarray(shape, dtype.numpy, self.blocks[buffer][0], offset, strides)
        return made

    def synchronize(self, index: int) -> None:
        pass

    def memory_free(self, index: int) -> int:
        return MEMORY - self.used[index]

    def kernels(self) -> KernelTable:
        return self.table


def good_table() -> KernelTable:
    """The host's kernels, to be changed at will."""
    return registry.get("cpu").table.copy()
