"""A stand-in for the CUDA driver, on NumPy: the host's side of the backend without a GPU.

It keeps memory, orders and texts, and computes **nothing**: a kernel that is launched is written
down. What runs on it says that the host asks the driver for the right things. It says nothing about
results, and the conformance suite refuses to grade it.
"""

from __future__ import annotations

import ctypes
import itertools
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dovetail_cuda.driver import DefaultStream

__all__ = ["Failure", "Launched", "StandIn", "device_on"]

NAME = "stand-in, computes nothing"
OUT_OF_MEMORY = 2


class Failure(Exception):
    """An error of CUDA's, as CuPy raises them."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Launched:
    """A kernel that was queued.

    Attributes:
        words: the first 32 bits of each argument, as they were at the launch.
        buffer: the address that the first argument is.
        stream: the pointer of the stream.
    """

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    words: tuple[int, ...]
    buffer: int
    stream: int


class Stream:
    """A stream: its number, its device (None: the thread's current one), and whether it is
    captured."""

    def __init__(self, driver: StandIn, ptr: int, device: int | None) -> None:
        self.driver, self.ptr, self.device = driver, ptr, device

    def use(self) -> None:
        here = self.driver.current()
        assert self.device in (None, here), "a stream is used on its own device"
        self.driver.thread.taken[here] = self
        self.driver.note("use", self.ptr)

    def record(self, event: Event) -> None:
        event.record(self)

    def synchronize(self) -> None:
        self.driver.wait("stream", self.ptr)

    @property
    def done(self) -> bool:
        return True

    def wait_event(self, event: Any) -> None:
        where = self.driver.current() if self.device is None else self.device
        self.driver.note("wait", self.ptr, event.number, *[where] * (self.driver.devices > 1))
        if event.captured:
            self.driver.captured.add(self.ptr)


class Event:
    """An event, which happens at once unless the test holds it."""

    def __init__(self, driver: StandIn, number: int, timing: bool) -> None:
        self.driver, self.number, self.timing = driver, number, timing
        self.captured = False
        self.device = driver.current()

    def record(self, stream: Stream) -> None:
        where = self.driver.current() if stream.device is None else stream.device
        assert where == self.device, "an event is of a stream's own device"
        self.captured = stream.ptr in self.driver.captured
        self.driver.note("record", self.number, stream.ptr)

    def synchronize(self) -> None:
        self.driver.note("await", self.number)
        self.driver.held.discard(self.number)

    @property
    def done(self) -> bool:
        return self.number not in self.driver.held


class _Thread(threading.local):
    """A thread's current device, and its streams by device."""

    def __init__(self) -> None:
        self.current = 0
        self.taken: dict[int, Stream] = {}


@dataclass
class StandIn:
    """Has every method of :class:`dovetail_cuda.driver.CuPyDriver`.

    Attributes:
        total: bytes of memory.
        devices: how many there are; memory, kernels and streams are of one, the thread's current.
        compute: the compute capability.
        compiler: called with (text, options) for each new program.
        log: what was asked for, in order.
        blocks: memory by address.
        launched: kernels.
        held: numbers of events that have not happened.
        pending: errors that the next wait finds.
    """

    total: int = 1 << 30
    devices: int = 1
    compute: tuple[int, int] = (9, 0)
    compiler: Callable[[str, tuple[str, ...]], Any] | None = None
    log: list[tuple[Any, ...]] = field(default_factory=list)
    blocks: dict[int, np.ndarray] = field(default_factory=dict)
    launched: list[Launched] = field(default_factory=list)
    held: set[int] = field(default_factory=set)
    pending: list[Failure] = field(default_factory=list)
    captured: set[int] = field(default_factory=set)
    names: list[str] = field(default_factory=list)

    is_real = False
    error = Failure
    errors = (Failure,)
    out_of_memory = OUT_OF_MEMORY

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._default = Stream(self, 0, None)
        self.thread = _Thread()
        self.owners: dict[int, int] = {}
        self._fixed: set[int] = set()
        self.kept = 0
        self.graph: list[Launched] | None = None

    def note(self, *what: Any) -> None:
        """Write an order down."""
        self.log.append(what)

    def of(self, *kinds: str) -> list[tuple[Any, ...]]:
        """The orders of these kinds."""
        return [entry for entry in self.log if entry[0] in kinds]

    def wait(self, *what: Any) -> None:
        """Wait for work, whose errors show."""
        if self.captured & ({what[1]} if what[0] == "stream" else self.captured):
            raise Failure(900, "cudaErrorStreamCaptureUnsupported")
        self.note("wait for", *what)
        if self.pending:
            raise self.pending.pop(0)

    # devices

    def use(self, index: int) -> None:
        assert index < self.devices
        self.thread.current = index
        self.note("device", index)

    def current(self) -> int:
        return self.thread.current

    def allow_peer(self, index: int, other: int, pool: int) -> bool:
        assert pool == 77 + other
        self.note("allow", index, other)
        return True

    def deny_peer(self, index: int, pool: int) -> bool:
        self.note("deny", index, pool - 77)
        return True

    def _here(self, stream: int) -> None:
        """A stream is given to its own device only."""
        assert self.owners.get(stream, self.current()) == self.current(), "another device's stream"

    def properties(self, index: int) -> dict[str, Any]:
        major, minor = self.compute
        return {
            "name": NAME.encode(), "multiProcessorCount": 4, "maxThreadsPerBlock": 1024,
            "sharedMemPerBlock": 49152, "major": major, "minor": minor,
            "totalGlobalMem": self.total,
        }  # fmt: skip

    def memory(self, index: int) -> tuple[int, int]:
        self.use(index)
        return self.total - self.kept - sum(b.nbytes for b in self.blocks.values()), self.total

    def synchronize(self, index: int) -> None:
        self.use(index)
        self.wait("device", index)

    # memory

    def new_pool(self, index: int) -> int:
        return 77 + index

    def _taken(self, nbytes: int) -> int:
        used = sum(b.nbytes for b in self.blocks.values()) + self.kept
        if used + nbytes > self.total:
            raise Failure(OUT_OF_MEMORY, "cudaErrorMemoryAllocation: out of memory")
        block = np.zeros(nbytes, np.uint8)
        self.blocks[block.ctypes.data] = block
        self.owners[int(block.ctypes.data)] = self.current()
        return int(block.ctypes.data)

    def allocate(self, nbytes: int, stream: int) -> int:
        self._here(stream)
        found = self._taken(nbytes)
        self.note("allocate", nbytes, stream)
        return found

    def allocate_fixed(self, nbytes: int) -> int:
        found = self._taken(nbytes)
        self.note("allocate fixed", nbytes)
        self._fixed.add(found)
        return found

    def free(self, pointer: int, stream: int) -> None:
        assert pointer not in self._fixed
        assert stream not in self.captured
        self._here(stream)
        self.note("free", self.blocks[pointer].nbytes, stream)
        self.kept += self.blocks.pop(pointer).nbytes  # the driver's pool has it until it is trimmed

    def free_fixed(self, pointer: int) -> None:
        assert not self.captured
        self._fixed.remove(pointer)
        self.note("free fixed", self.blocks.pop(pointer).nbytes)

    def trim(self, pool: int) -> None:
        assert pool == 77 + self.current()
        self.note("trim", self.kept)
        self.kept = 0

    def pinned(self, nbytes: int) -> Any:
        self.note("pinned", nbytes)
        return np.zeros(nbytes, np.uint8)

    def _inside(self, pointer: int, nbytes: int) -> None:
        """A copy must stay inside of a block that is there."""
        assert any(
            start <= pointer and pointer + nbytes <= start + block.nbytes
            for start, block in self.blocks.items()
        ), f"{nbytes} bytes at {pointer:#x} are not inside of any block"

    def write(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self._inside(target, nbytes)
        self._here(stream)
        self.note("write", nbytes, stream)
        ctypes.memmove(target, source, nbytes)

    def read(self, target: int, source: int, nbytes: int, stream: int) -> None:
        assert stream not in self.captured
        self._inside(source, nbytes)
        self._here(stream)
        self.note("read", nbytes, stream)
        ctypes.memmove(target, source, nbytes)

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self._inside(target, nbytes)
        self._inside(source, nbytes)
        self.note("copy", nbytes, stream)
        ctypes.memmove(target, source, nbytes)

    def copy_peer(
        self, target: int, to: int, source: int, origin: int, nbytes: int, stream: int
    ) -> None:
        self._here(stream)
        assert self.current() == to
        self.note("peer", origin, to)
        ctypes.memmove(target, source, nbytes)

    # streams and events

    def stream(self, index: int, priority: int = 0) -> Stream:
        self.use(index)
        made = Stream(self, next(self._numbers), index)
        self.owners[made.ptr] = index
        self.note("stream", made.ptr, priority)
        return made

    def default_stream(self, index: int) -> Any:
        return DefaultStream(self, index, self._default)

    def current_stream(self) -> Stream:
        return self.thread.taken.get(self.current(), self._default)

    def event(self, *, timing: bool) -> Event:
        return Event(self, next(self._numbers), timing)

    def elapsed(self, start: Event, end: Event) -> float:
        return 1.5

    # graphs

    def begin_capture(self, stream: Stream) -> None:
        self.note("begin capture", stream.ptr)
        self.captured = {stream.ptr}
        self.graph = []

    def end_capture(self, stream: Stream) -> Any:
        self.note("end capture", stream.ptr)
        self.captured, graph = set(), self.graph
        self.graph = None
        if self.pending:
            raise self.pending.pop(0)
        return graph

    def is_capturing(self, stream: int) -> bool:
        return stream in self.captured

    def launch_graph(self, graph: Any, stream: Stream) -> None:
        self.note("graph", len(graph), stream.ptr)

    # kernels

    def module(self, source: str, options: tuple[str, ...], arch: str) -> Any:
        self.note("compile", len(source), arch)
        if self.compiler is not None:
            self.compiler(source, options)
        return source

    def function(self, module: Any, name: str) -> str:
        assert re.search(rf"\b{name}\b", module), f"the program has no kernel {name}"
        return name

    def launcher(
        self, name: str, grid: tuple[int, ...], block: tuple[int, ...], addresses: list[int]
    ) -> Any:
        assert all(n > 0 for n in (*grid, *block)), f"{name}: an empty launch {grid} {block}"

        def queue(stream: int) -> None:
            words = tuple(int.from_bytes(ctypes.string_at(a, 4), "little") for a in addresses)
            first = int.from_bytes(ctypes.string_at(addresses[0], 8), "little")
            assert first in self.blocks, f"{name}: its first buffer is not there"
            assert self.owners[first] == self.current(), f"{name}: on another device"
            self._here(stream)
            queued = Launched(name, tuple(grid), tuple(block), words, first, stream)
            self.note("launch", name, stream)
            (self.launched if self.graph is None else self.graph).append(queued)

        return queue


def device_on(driver: StandIn, monkeypatch: Any, name: str = "standin") -> Any:
    """Register a device of the backend's own runtime on a stand-in, under a name of its own.

    Returns:
        the backend's object of the device; ``registry.unregister(name)`` takes it out again.
    """
    import dovetail_kernels
    from dovetail.backend import Backend, registry
    from dovetail_cuda import device, discovery, runtime
    from dovetail_cuda import driver as drivers
    from dovetail_kernels.device import register

    class Runtime(runtime.CUDARuntime):
        """With the kernels of this project alone: NVIDIA's libraries need a GPU."""

        def kernels(self) -> Any:
            return dovetail_kernels.table()

    monkeypatch.setattr(drivers, "_current", driver)
    monkeypatch.setattr(runtime, "_devices", {})
    found = discovery.Discovery(driver.devices, (13, 0))
    monkeypatch.setattr(runtime, "discover", lambda: found)
    monkeypatch.setattr(discovery, "discover", lambda: found)
    monkeypatch.setattr(device.Device, "kind", name)
    monkeypatch.setattr(device._here, "index", -1)
    register(name, runtime.device_of)
    registry.register(name, Backend(Runtime(), version="0"))
    return runtime.device_of(0)
