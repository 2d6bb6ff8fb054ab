"""Memory of the device: blocks of bytes that only copies and kernels can reach."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail.backend import DeviceInfo, KernelTable, OutOfMemoryError, Runtime
from dovetail.dtypes import dtype
from dovetail_template.kernels import table

__all__ = ["Block", "TemplateRuntime"]

DEVICES = 1
MEMORY = int(os.environ.get("TEMPLATE_MEMORY", 2 << 30))
"""Bytes that each device has."""


@dataclass(eq=False)
class Block:
    """A piece of device memory; the core hands it around and never looks inside."""

    data: np.ndarray
    index: int


class TemplateRuntime(Runtime):
    """Devices made of host memory; replace method by method with calls of your driver."""

    def __init__(self) -> None:
        self._used = [0] * DEVICES
        self._lock = threading.Lock()

    def count(self) -> int:
        """Devices present; 0 where there is no hardware, and :meth:`why_absent` tells why."""
        return DEVICES

    def info(self, index: int) -> DeviceInfo:
        """Facts for people, and the dtypes that the device can hold (here all of them)."""
        return DeviceInfo("template in NumPy", memory_total=MEMORY, version=np.__version__)

    def alloc(self, nbytes: int, index: int) -> Block:
        with self._lock:
            used = self._used[index]
            if used + nbytes > MEMORY:
                raise OutOfMemoryError(
                    f"template:{index}: must have {nbytes} bytes free, has {MEMORY - used} of "
                    f"{MEMORY}; free tensors, or set TEMPLATE_MEMORY to more"
                )
            block = Block(np.empty(nbytes, np.uint8), index)
            self._used[index] += nbytes
        return block

    def free(self, buffer: Block) -> None:
        with self._lock:
            self._used[buffer.index] -= buffer.data.nbytes
        buffer.data = np.empty(0, np.uint8)

    def h2d(self, buffer: Block, offset: int, source: memoryview) -> None:
        buffer.data[offset : offset + source.nbytes] = np.frombuffer(source, np.uint8)

    def d2h(self, target: memoryview, buffer: Block, offset: int) -> None:
        target[:] = buffer.data[offset : offset + target.nbytes].data

    def view(self, buffer: Block, offset: int, shape: Any, strides: Any, dtype: dtype) -> Any:
        return np.ndarray(shape, dtype.numpy, buffer.data, offset, strides)

    def synchronize(self, index: int) -> None:
        pass  # every kernel has finished when it returns

    def kernels(self) -> KernelTable:
        return table()

    def memory_free(self, index: int) -> int:
        return MEMORY - self._used[index]
