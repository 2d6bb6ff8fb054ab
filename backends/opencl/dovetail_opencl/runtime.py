"""The runtime: devices, memory and waiting."""

from __future__ import annotations

import os
import threading
from typing import Any

from dovetail import dtypes as d
from dovetail.backend import DeviceInfo, KernelTable, Runtime, forked_text
from dovetail_kernels.arrays import Array
from dovetail_kernels.device import register
from dovetail_opencl.discovery import discover

__all__ = ["OpenCLRuntime", "device_of"]

_devices: dict[int, Any] = {}
_lock = threading.Lock()
_has_left = False


def device_of(index: int) -> Any:
    """The device number ``index``, made on first use."""
    found = _devices.get(index)
    if found is None:
        if _has_left:
            raise RuntimeError(forked_text(f"opencl:{index}"))
        from dovetail_opencl.device import Device

        with _lock:
            found = _devices.get(index)
            if found is None:
                found = _devices[index] = Device(discover().devices[index], index)
    return found


register("opencl", device_of)


def _forked() -> None:
    """In a child process: a driver's threads are the parent's, if it has asked for any driver."""
    global _lock, _has_left
    _lock = threading.Lock()
    _has_left = _has_left or discover.cache_info().currsize > 0
    for device in _devices.values():
        device.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class OpenCLRuntime(Runtime):
    """All OpenCL devices of the machine; each has a context and an in-order queue of its own."""

    def count(self) -> int:
        return len(discover().devices)

    def why_absent(self) -> str:
        return discover().reason or "there is one: count() is not 0"

    def info(self, index: int) -> DeviceInfo:
        device = device_of(index)
        handle, allowed = device.handle, device.limits
        without = () if allowed.double else (d.float64, d.complex128)
        return DeviceInfo(
            name=handle.name.strip(),
            dtypes=tuple(kind for kind in d.ALL if kind not in without),
            memory_total=device.memory_total,
            version=f"{handle.platform.name}, {handle.version.strip()}, {handle.driver_version}",
            limits={
                "compute_units": handle.max_compute_units,
                "work_group": allowed.work_group,
                "local_memory": allowed.local_memory,
                "allocation": handle.max_mem_alloc_size,
                "checks_indices": True,
                "checks_values": True,
            },
        )

    def alloc(self, nbytes: int, index: int) -> Any:
        return device_of(index).alloc(nbytes)

    def free(self, buffer: Any) -> None:
        buffer.owner.free(buffer)

    def h2d(self, buffer: Any, offset: int, source: memoryview) -> None:
        buffer.owner.write(buffer, offset, source)

    def d2h(self, target: memoryview, buffer: Any, offset: int) -> None:
        buffer.owner.read(target, buffer, offset)

    def pinned_memory(self, nbytes: int, index: int) -> Any:
        return device_of(index).pinned(nbytes)

    def h2d_pinned(self, buffer: Any, offset: int, source: memoryview) -> None:
        buffer.owner.write_pinned(buffer, offset, source)

    view = staticmethod(Array)

    def synchronize(self, index: int) -> None:
        device_of(index).synchronize()

    def memory_free(self, index: int) -> int | None:
        device = device_of(index)
        return int(device.memory_total - device.used)

    def kernels(self) -> KernelTable:
        from dovetail_kernels import table

        return table()

    def close(self) -> None:
        for device in () if _has_left else _devices.values():
            device.synchronize()
