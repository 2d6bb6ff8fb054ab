"""Host memory: allocation by NumPy, views as ndarrays, nothing asynchronous."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import DeviceInfo, KernelTable, OutOfMemoryError, Runtime
from dovetail.dtypes import dtype

__all__ = ["CpuRuntime"]

Shape = tuple[int, ...]


class CpuRuntime(Runtime):
    """One device, ``cpu``; its arrays are NumPy arrays and may be shared with the caller."""

    host_arrays = True

    def count(self) -> int:
        return 1

    def info(self, index: int) -> DeviceInfo:
        limits = {"cores": os.cpu_count()}
        return DeviceInfo(_model(), memory_total=_memory("MemTotal"), limits=limits)

    def alloc(self, nbytes: int, index: int) -> Any:
        try:
            return np.empty(nbytes, np.uint8)
        except MemoryError as error:
            raise OutOfMemoryError(f"cpu: cannot allocate {nbytes} bytes") from error

    def free(self, buffer: Any) -> None:
        pass  # NumPy frees an array when its last reference goes

    def h2d(self, buffer: Any, offset: int, source: memoryview) -> None:
        buffer[offset : offset + len(source)] = np.frombuffer(source, np.uint8)

    def d2h(self, target: memoryview, buffer: Any, offset: int) -> None:
        np.frombuffer(target, np.uint8)[:] = buffer[offset : offset + len(target)]

    def view(self, buffer: Any, offset: int, shape: Shape, strides: Shape, dtype: dtype) -> Any:
        return np.ndarray(shape, dtype.numpy, buffer, offset, strides)

    def synchronize(self, index: int) -> None:
        pass  # every kernel has finished when it returns

    def kernels(self) -> KernelTable:
        from dovetail_cpu.kernels import table

        return table()

    def empty_maker(self, shape: Shape, dtype: dtype, index: int) -> Callable[[], Any]:
        return partial(np.empty, shape, dtype.numpy)

    def threads(self) -> int:
        from dovetail_cpu.threads import threads

        return threads()

    def set_threads(self, count: int) -> None:
        from dovetail_cpu.threads import set_threads

        set_threads(count)

    def memory_free(self, index: int) -> int | None:
        return _memory("MemAvailable")


def _memory(field: str) -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def _model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()
