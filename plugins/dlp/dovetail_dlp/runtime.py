"""The runtime: what the core asks of the devices, passed on to the machine."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import dovetail.dtypes as d
from dovetail.backend import DeviceInfo, KernelTable, OutOfMemoryError, Runtime
from dovetail_dlp import machine
from dovetail_dlp.machine import link, settings
from dovetail_dlp.machine.blocks import Blocks
from dovetail_dlp.machine.region import DEVICE_SHIFT, Region

__all__ = ["DTYPES", "DlpRuntime"]

DTYPES = (
    d.bool_, d.uint8, d.int8, d.int16, d.int32, d.int64, d.float16, d.bfloat16, d.float32
)  # fmt: skip
"""int64 is for indices: the vector unit takes it at half its speed, the matrix unit not at all."""

MANY = 256
"""Freed blocks that are waited for, so that they can be given out again."""


class Event:
    """A mark in a queue; each recording has a number of its own."""

    def __init__(self, index: int, number: int) -> None:
        self.index, self.number, self.count, self.queue = index, number, 0, 0


class DlpRuntime(Runtime):
    """Buffers are addresses (integers), streams and events the numbers of queues and marks."""

    streams = True

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._blocks: dict[int, Blocks] = {}
        self._freed: dict[int, list[int]] = {}

    @property
    def caching(self) -> bool:  # type: ignore[override]
        """As the settings say."""
        return bool(settings.current().caching)

    def count(self) -> int:
        """As many as the settings say; raises nothing, for a wrong setting is told by
        why_absent."""
        try:
            return settings.current().devices
        except ValueError:
            return 0

    def why_absent(self) -> str:
        """Which setting is wrong, or that it asks for none."""
        try:
            settings.current()
        except ValueError as error:
            return str(error)
        return "DOVETAIL_DLP_DEVICES is 0; set it to at least 1"

    def info(self, index: int) -> DeviceInfo:
        """The machine's sizes."""
        sizes = settings.current()
        limits = {"cores": sizes.tasks, "nram": sizes.nram, "wram": sizes.wram}
        limits["checks_indices"] = limits["checks_values"] = True
        name = f"{sizes.name}, simulated"
        return DeviceInfo(name, DTYPES, sizes.memory, machine.VERSION, limits)

    # Memory

    def _of(self, index: int) -> Blocks:
        found = self._blocks.get(index)
        if found is None:
            base = (index + 1) << DEVICE_SHIFT
            found = self._blocks[index] = Blocks(base, settings.current().memory)
            self._freed[index] = []
        return found

    def alloc(self, nbytes: int, index: int) -> int:
        """An address; waits for the device where only freed memory is left."""
        device = link.link(index)
        device.check_usable()
        with self._lock:
            blocks = self._of(index)
            if device.is_out_of_memory():
                raise OutOfMemoryError(f"dlp:{index}: no memory is given, as inject() asked")
            found = blocks.take(nbytes)
            if self._freed[index] and (found is None or len(self._freed[index]) > MANY):
                device.settle()
                self._reuse(index)
                found = found or blocks.take(nbytes)
            if found is None:
                raise OutOfMemoryError(
                    f"dlp:{index}: GDRAM must have {nbytes} bytes in one piece, has "
                    f"{blocks.free} of {blocks.size} free"
                )
        return found

    def free(self, buffer: int) -> None:
        """The memory may be in use by queued work, so it waits for the next synchronisation."""
        with self._lock:
            index = (buffer >> DEVICE_SHIFT) - 1
            if index in self._freed:
                self._freed[index].append(buffer)

    def _reuse(self, index: int) -> None:
        with self._lock:
            freed, self._freed[index] = self._freed.get(index, []), []
            for address in freed:
                self._of(index).give(address)

    def h2d(self, buffer: int, offset: int, source: memoryview) -> None:
        """Queued with a copy of the bytes."""
        link.link((buffer >> DEVICE_SHIFT) - 1).write(buffer + offset, source)

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        """Waits for this thread's queue."""
        link.link((buffer >> DEVICE_SHIFT) - 1).read(target, buffer + offset)

    def view(self, buffer: int, offset: int, shape: Any, strides: Any, dtype: d.dtype) -> Region:
        """An address with a shape."""
        return Region(buffer + offset, shape, strides, dtype)

    def memory_free(self, index: int) -> int:
        """What is not taken."""
        return self._of(index).free

    def reset(self, index: int) -> None:
        """Start the device again; what was in its memory is lost, and what is freed stays free."""
        link.link(index).reset(self._blocks.get(index))

    # Waiting, queues and events

    def synchronize(self, index: int) -> None:
        """Wait for all queues; the first error of each has its turn."""
        device = link.link(index)
        device.check_usable()
        if device.is_started:
            device.ask("S", None)
        if self._freed.get(index):
            self._reuse(index)

    def stream_new(self, index: int, priority: int = 0) -> tuple[int, int]:
        """(device, queue); all priorities are one."""
        return index, next(self._numbers)

    def stream_default(self, index: int) -> tuple[int, int]:
        """Queue 0."""
        return index, 0

    def set_stream(self, index: int, stream: tuple[int, int]) -> None:
        """Where this thread's launches go."""
        link.link(index).queue = stream[1]

    def stream_synchronize(self, stream: tuple[int, int]) -> None:
        """Wait for one queue."""
        link.link(stream[0]).ask("S", stream[1])

    def stream_query(self, stream: tuple[int, int]) -> bool:
        """Whether it is empty."""
        return bool(link.link(stream[0]).ask("Q", stream[1]))

    def stream_wait(self, stream: tuple[int, int], event: Event) -> None:
        """The queue stands until the event has happened, on another device the host does."""
        if event.index != stream[0]:
            self.event_synchronize(event)
        else:
            link.link(stream[0]).send("A", stream[1], event.number, event.count)

    def event_new(self, index: int, timing: bool = False) -> Event:
        """Events always take the device's time."""
        return Event(index, next(self._numbers))

    def event_record(self, event: Event, stream: tuple[int, int]) -> None:
        """A mark behind what is queued."""
        event.count, event.queue = event.count + 1, stream[1]
        link.link(event.index).send("E", stream[1], event.number, event.count)

    def event_query(self, event: Event) -> bool:
        """Whether the queue has come to the mark."""
        return self._time(event, False) is not None

    def event_synchronize(self, event: Event) -> None:
        """Wait for the mark."""
        self._time(event, True)

    def event_elapsed(self, start: Event, end: Event) -> float:
        """Simulated milliseconds."""
        cycles = self._time(end, True) - self._time(start, True)
        return cycles / settings.current().clock * 1e3

    def _time(self, event: Event, wait: bool) -> Any:
        return link.link(event.index).ask("V", event.number, event.count, wait, event.queue)

    # Kernels

    def kernels(self) -> KernelTable:
        """The required kernels, and those that the hardware fuses."""
        from dovetail_dlp import extend, kernels

        table = kernels.table()
        extend.entered(table)
        return table

    def close(self) -> None:
        """End the devices' processes."""
        link.close_all()
