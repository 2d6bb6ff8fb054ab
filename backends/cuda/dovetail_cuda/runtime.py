"""The runtime: devices, memory, streams and events."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from dovetail import dtypes as d
from dovetail.backend import DeviceInfo, KernelTable, Runtime
from dovetail_cuda import graphs
from dovetail_cuda.discovery import discover
from dovetail_kernels.arrays import Array
from dovetail_kernels.device import register

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["CUDARuntime", "device_of"]

_devices: dict[int, Any] = {}
_lock = threading.Lock()


def device_of(index: int) -> Any:
    """The device number ``index``, made on first use."""
    found = _devices.get(index)
    if found is None:
        from dovetail_cuda.device import Device

        with _lock:
            found = _devices.get(index)
            if found is None:
                found = _devices[index] = Device(index)
    return found


register("cuda", device_of)


def _look() -> None:
    """Raise what kernels reported; streams and events do not say which device is theirs."""
    for device in list(_devices.values()):
        device.look()


def _forked() -> None:
    """In a child process: whatever is asked of CUDA says why it cannot be."""
    for device in _devices.values():
        device.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class CUDARuntime(Runtime):
    """All NVIDIA GPUs of the machine, in the driver's order."""

    streams = graphs = True

    def count(self) -> int:
        return discover().count

    def why_absent(self) -> str:
        return discover().reason or "there is one: count() is not 0"

    def info(self, index: int) -> DeviceInfo:
        device = device_of(index)
        major, minor = discover().driver
        return DeviceInfo(
            name=device.name,
            dtypes=d.ALL,
            memory_total=device.memory_total,
            version=f"CUDA {major}.{minor}",
            limits={
                "multi_processor_count": device.units,
                "major": device.capability[0],
                "minor": device.capability[1],
                "shared_memory_per_block": device.local_memory,
                "checks_indices": True,
                "checks_values": True,
                **({} if device.cuda.is_real else {"stand_in": True}),
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
        return int(min(device.cuda.memory(index)[0], device.memory_total - device.used))

    def copy_peer(
        self, target: Any, target_offset: int, source: Any, source_offset: int, nbytes: int
    ) -> bool:
        here, there = source.owner, target.owner
        if here is there:
            here.copy(target, target_offset, source, source_offset, nbytes)
            return True
        there.reach(here)
        # The copy is work of the target's stream: it waits for what makes the source, and who
        # writes the source next waits for it.
        made = here.mark()
        there.wait_for(made)
        there.cuda.copy_peer(
            target.ptr + target_offset, there.index, source.ptr + source_offset, here.index,
            nbytes, there.stream,
        )  # fmt: skip
        here.wait_for(there.mark())
        return True

    def kernels(self) -> KernelTable:
        from dovetail_cuda.kernels import table

        return table()

    def trim(self, index: int) -> None:
        device_of(index).trim()

    def close(self) -> None:
        for device in _devices.values():
            device.synchronize()
        for device in _devices.values():
            device.part(_devices)

    # streams and events

    def stream_new(self, index: int, priority: int = 0) -> Any:
        return device_of(index).cuda.stream(index, priority)

    def stream_default(self, index: int) -> Any:
        return device_of(index).default

    def stream_synchronize(self, stream: Any) -> None:
        stream.synchronize()
        _look()

    def stream_query(self, stream: Any) -> bool:
        return bool(stream.done)

    def stream_wait(self, stream: Any, event: Any) -> None:
        stream.wait_event(event)

    def set_stream(self, index: int, stream: Any) -> None:
        device_of(index).set_stream(stream)

    def event_new(self, index: int, timing: bool = False) -> Any:
        device = device_of(index)
        device.use()
        return device.cuda.event(timing=timing)

    def event_record(self, event: Any, stream: Any) -> None:
        stream.record(event)

    def event_query(self, event: Any) -> bool:
        return bool(event.done)

    def event_synchronize(self, event: Any) -> None:
        event.synchronize()
        _look()

    def event_elapsed(self, start: Any, end: Any) -> float:
        return float(_devices[min(_devices)].cuda.elapsed(start, end))

    # graphs

    def capture_begin(
        self, index: int, stream: Any, pool: Hashable, seed: int, offset: int
    ) -> None:
        graphs.begin(device_of(index), stream, pool, seed, offset)

    def capture_end(self, index: int, stream: Any) -> Any:
        return graphs.end(device_of(index), stream)

    def replay(self, graph: Any, stream: Any, seed: int, offset: int) -> None:
        graphs.replay(graph, stream, seed, offset)

    def graph_free(self, graph: Any) -> None:
        graphs.free(graph)
