"""One CUDA device in use: memory in the order of streams, compiled programs, launches."""

from __future__ import annotations

import functools
import os
import struct
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from dovetail.backend import AcceleratorError, OutOfMemoryError, Pool
from dovetail.backend.allocator import pool_for
from dovetail_cuda import discovery
from dovetail_cuda.cache import CompileError
from dovetail_cuda.driver import Left, cuda
from dovetail_cuda.words import spelled
from dovetail_kernels import device, dialect, faults
from dovetail_kernels.device import Size

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from dovetail_cuda.graphs import Capture

__all__ = ["Buffer", "Device", "Launch"]

OPTIONS = ("-std=c++17", "-default-device", "-w")

BFLOAT16 = """
float bfloat16_to_float(ushort bits) { return as_float((uint)bits << 16); }
ushort float_to_bfloat16(float value) {
#if __CUDA_ARCH__ >= 800
    ushort bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    const uint bits = as_uint(value);
    return value != value ? 0x7fc0 : (ushort)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
#endif
}"""
"""bfloat16 in memory, rounded by the device's own instruction where it has one."""

STAGED = 1 << 20
"""Bytes up to which a write is copied aside, so that the caller need not wait for the stream."""


class Buffer:
    """Memory of a device.

    Attributes:
        ptr: its address.
        size: bytes.
        owner: its device.
        is_fixed: it is outside of the pool that frees in the order of streams.
    """

    __slots__ = ("is_fixed", "owner", "ptr", "size")

    def __init__(self, ptr: int, size: int, owner: Device, *, is_fixed: bool = False) -> None:
        self.ptr, self.size, self.owner, self.is_fixed = ptr, size, owner, is_fixed


class Device(device.Device):
    """A device, and this thread's stream on it.

    Attributes:
        kind: the name of devices like it.
        default: the stream of work that is put on no other.
        stream: the pointer of this thread's current stream.
        handles: what libraries keep for the device, by name (cuBLAS, cuDNN).
        capability: the compute capability, such as (9, 0).
        arch: what that is called by the compiler, ``sm_90``.
        capturing: a graph is being captured: memory comes from outside of the streams' pool.
        capture: the graph that is.
    """

    kind = "cuda"
    is_cpu = False
    dialect = replace(
        dialect.GPU,
        name="cuda",
        spellings={("hypot", "double"): "near_hypot"},
        helpers={"bfloat16": BFLOAT16 + dialect.NEAR, "float16": dialect.NEAR},
    )
    has_double = True
    has_long_atomics = has_shuffles = True
    tensors = 24

    def __init__(self, index: int) -> None:
        patience = os.environ.get("DOVETAIL_CUDA_PATIENCE")
        super().__init__(index, device.PATIENCE if patience is None else int(patience))
        self.cuda = cuda()
        self._has_others = discovery.discover().count > 1
        self._reaches = os.environ.get("DOVETAIL_CUDA_PEER") != "0"
        self._reached: dict[int, bool] = {}
        self.cuda.use(index)
        _here.index = index
        self.default = self.cuda.default_stream(index)
        facts = self.cuda.properties(index)
        name = facts["name"]
        self.name = name.decode() if isinstance(name, bytes) else str(name)
        self.units = int(facts["multiProcessorCount"])
        self.group = min(256, int(facts["maxThreadsPerBlock"]))
        self.largest_group = int(facts["maxThreadsPerBlock"])
        self.local_memory = int(facts["sharedMemPerBlock"])
        self.capability = (int(facts["major"]), int(facts["minor"]))
        self.arch = "sm_{}{}".format(*self.capability)
        limit = os.environ.get("DOVETAIL_CUDA_MEMORY")
        self.memory_total = int(limit) if limit else int(facts["totalGlobalMem"])
        self.handles: dict[Any, Any] = {}
        self.capturing = 0
        self.capture: Capture | None = None
        self.used = 0
        # Memory has a lock of its own, under which nothing is waited for: a pool that allocates
        # holds its lock, and a thread that queues a kernel may have its garbage go to that pool.
        self._memory = threading.RLock()
        self._thread = _Thread()
        self._memory_pool = self.cuda.new_pool(index)
        self._pool = Pool(self.alloc, self.free, self._finish, self.name, stream=self._home)
        self._modules: dict[tuple[str, str], Any] = {}
        self._functions: dict[tuple[str, str, str], Any] = {}
        self._staged: deque[tuple[Any, Any]] = deque()
        self._lent: deque[tuple[Any, Any]] = deque()
        self._found: np.ndarray | None = None

    # streams

    @property
    def stream(self) -> int:
        """The pointer of the stream that this thread's work goes to."""
        return self._thread.stream

    def set_stream(self, stream: Any) -> None:
        """Send this thread's work to another stream from here on."""
        self.use()
        stream.use()
        self._thread.stream = int(stream.ptr)

    def use(self) -> None:
        """Make this the thread's current device, where another one may be."""
        # Where there are others, any library that this thread calls may have made one current.
        if _here.index != self.index or (self._has_others and self.cuda.current() != self.index):
            self.cuda.use(self.index)
            _here.index = self.index

    def leave(self) -> None:
        """In a process that was forked: there is no device, and nobody holds its locks."""
        self.cuda, _here.index, self._found = Left("cuda"), -1, None
        self.lock, self._memory = threading.RLock(), threading.RLock()

    def mark(self) -> Any:
        """An event that happens when this thread's stream gets here."""
        self.use()
        event = self.cuda.event(timing=False)
        event.record(self.cuda.current_stream())
        return event

    def wait_for(self, event: Any) -> None:
        """Have this thread's stream wait for an event, of any device."""
        self.use()
        self.cuda.current_stream().wait_event(event)

    def reach(self, other: Device) -> None:
        """Copy from another device without the host between, where the two can and
        ``DOVETAIL_CUDA_PEER`` is not 0 (on some boards such copies come out wrong)."""
        if not self._reaches:
            return
        for one, two in ((self, other), (other, self)):
            if two.index not in one._reached:
                one._reached[two.index] = one.cuda.allow_peer(
                    one.index, two.index, two._memory_pool
                )

    def part(self, others: Mapping[int, Device]) -> None:
        """Reach no other device's memory any more."""
        while self._reached:
            index, was_opened = self._reached.popitem()
            if was_opened and index in others:
                self.cuda.deny_peer(self.index, others[index]._memory_pool)

    # graphs

    @property
    def captured(self) -> Capture | None:
        """The capture that this thread's stream takes part in."""
        capture = self.capture
        if capture is None or not self.stream or not self.cuda.is_capturing(self.stream):
            return None
        return capture

    def _home(self) -> Hashable:
        """Where scratch memory serves again: on this stream, or in graphs that share memory."""
        stream = self._thread.stream
        if self.capture is None:
            return stream
        capture = self.captured
        return stream if capture is None else (capture.pool, stream)

    def _refuse(self, what: str) -> None:
        if self.captured is not None:
            raise RuntimeError(
                f"{self.name}: {what} waits for the device, which cannot be while a graph is "
                "captured; read values before the capture or after a replay, and run the work once "
                "before it is captured"
            )

    def hold(self, pool: Hashable) -> None:
        """One graph more uses memory of this name."""
        self._pool.hold(pool)

    def release(self, pool: Hashable) -> None:
        """One graph less."""
        self._pool.release(pool)

    def draw_state(self) -> Any:
        capture = self.captured
        if capture is None:
            return None
        capture.draws = True
        return capture.state

    # memory

    def alloc(self, nbytes: int) -> Buffer:
        """Memory in the order of the current stream.

        Raises:
            OutOfMemoryError: the device refuses, when what waits for its next use has been freed.
        """
        try:
            return self._allocated(nbytes)
        except OutOfMemoryError:
            if self.capturing:
                raise
            self._make_room()
            return self._allocated(nbytes)

    def _make_room(self) -> None:
        """Empty what other threads are not at work in: they may hold it and wait for this one.

        Tensors and kernels' scratch memory have a pool each, that knows of its own only.
        """
        tensors = pool_for(f"{self.kind}:{self.index}")
        tensors.attempt(tensors.empty_cache)
        if self.lock.acquire(blocking=False):
            try:
                self._pool.attempt(self._give_back)
            finally:
                self.lock.release()
        self._finish()  # memory is free when its stream gets there
        self.cuda.trim(self._memory_pool)

    def _give_back(self) -> None:
        for key in [key for key in self.handles if key[0] == "workspace"]:
            self._pool.give(*self.handles.pop(key))
        self._pool.empty_cache()

    def trim(self) -> None:
        """Hand memory that kernels keep for their next calls, and what the driver keeps of freed
        memory, back to the system; nothing while a graph is captured."""
        with self.lock:
            if self.capture is not None:
                return
            self._give_back()
        self._finish()
        self.cuda.trim(self._memory_pool)

    def _allocated(self, nbytes: int) -> Buffer:
        self.use()
        with self._memory:
            if self.used + nbytes > self.memory_total:
                raise OutOfMemoryError(self._no_memory(nbytes))
            fixed = bool(self.capturing)
            try:
                if fixed:
                    pointer = self.cuda.allocate_fixed(nbytes)
                else:
                    pointer = self.cuda.allocate(nbytes, self.stream)
            except self.cuda.error as error:
                if int(error.status) == self.cuda.out_of_memory:
                    raise OutOfMemoryError(self._no_memory(nbytes)) from error
                raise self.failed(error) from error
            self.used += nbytes
        return Buffer(pointer, nbytes, self, is_fixed=fixed)

    def _no_memory(self, nbytes: int) -> str:
        free, total = self.cuda.memory(self.index)
        return (
            f"{self.name}: asked for {nbytes} bytes, {self.used} are in use here, {free} of "
            f"{total} are free on the device"
        )

    def free(self, buffer: Buffer) -> None:
        """Give memory back; the device keeps it until what was queued on it is done."""
        with self._memory:
            if self.capture is not None:
                self.capture.freed.append(buffer)
                return
            self.use()
            self.used -= buffer.size
            if buffer.is_fixed:
                self.cuda.free_fixed(buffer.ptr)
            else:
                self.cuda.free(buffer.ptr, self.stream)

    def workspace(self, nbytes: int) -> int:
        """The address of memory for a library's next call on the current stream, and for no longer.

        It is one block for each stream, as large as the largest call: plans want all kinds of
        sizes, and a pool would keep a block of each.
        """
        key = ("workspace", self.stream)
        found = self.handles.get(key)
        if found is None or found[1] < nbytes:
            if found is not None:  # it is nobody's, also where there is no room for a larger one
                self._pool.give(*self.handles.pop(key))
            found = self.handles[key] = self._pool.take(nbytes)
        pointer: int = found[0].ptr
        return pointer

    @contextmanager
    def passing(self, nbytes: int) -> Iterator[Buffer]:
        """Memory of the tensors' pool for what is queued inside: tensors get it afterwards, in the
        stream's order."""
        tensors = pool_for(f"{self.kind}:{self.index}")
        block, size = tensors.take(nbytes)
        try:
            yield block
        finally:
            tensors.give(block, size)

    def constant(self, values: np.ndarray) -> Buffer:
        data = np.ascontiguousarray(values)
        taken = self.alloc(max(4, data.nbytes))
        made = _Constant(taken.ptr, taken.size, self, is_fixed=taken.is_fixed)
        if self.captured is None:
            self.write(made, 0, data.view(np.uint8).reshape(-1).data)
            return made
        # Who asked for it may keep it for later calls, which come before any replay.
        stream = self.cuda.stream(self.index)
        self.cuda.write(made.ptr, data.ctypes.data, data.nbytes, stream.ptr)
        stream.synchronize()
        return made

    def write(self, buffer: Any, offset: int, source: memoryview) -> None:
        """Copy bytes in; small ones are copied aside and the call returns at once."""
        data = np.frombuffer(source, np.uint8)
        self.use()
        try:
            if data.nbytes > STAGED and self.captured is None:
                # The wait is without the lock: other threads may queue meanwhile.
                self.cuda.write(buffer.ptr + offset, data.ctypes.data, data.nbytes, self.stream)
            else:
                with self.lock:
                    self._write(buffer.ptr + offset, data)
                return
        except self.cuda.errors as error:
            raise self.failed(error) from error
        self._wait()

    def _write(self, target: int, data: np.ndarray) -> None:
        capture = self.captured
        if capture is not None:  # a replay copies the same bytes again
            kept = self.cuda.pinned(max(1, data.nbytes))
            kept[: data.nbytes] = data
            capture.held.append(kept)
            self.cuda.write(target, kept.ctypes.data, data.nbytes, self.stream)
            return
        aside = self._aside(data.nbytes)
        aside[: data.nbytes] = data
        self.cuda.write(target, aside.ctypes.data, data.nbytes, self.stream)
        self._staged.append((self.mark(), aside))

    def pinned(self, nbytes: int) -> np.ndarray:
        """Page-locked memory of the host (uint8), given back with the array.

        Raises:
            OutOfMemoryError: the driver cannot lock that much.
        """
        self.use()
        try:
            memory: np.ndarray = self.cuda.pinned(nbytes)
        except self.cuda.error as error:
            if int(error.status) == self.cuda.out_of_memory:
                raise OutOfMemoryError(
                    f"{self.name}: asked for {nbytes} bytes of page-locked memory of the host, "
                    "which the system does not give"
                ) from error
            raise self.failed(error) from error
        return memory

    def write_pinned(self, buffer: Any, offset: int, source: memoryview) -> None:
        """Queue a copy of page-locked memory, which is kept until the device has read it.

        Captured, each replay reads what is there then.
        """
        data = np.frombuffer(source, np.uint8)
        self.use()
        with self.lock:
            try:
                self.cuda.write(buffer.ptr + offset, data.ctypes.data, data.nbytes, self.stream)
                capture = self.captured
                if capture is not None:
                    capture.held.append(data)
                    return
                while self._lent and self._lent[0][0].done:
                    self._lent.popleft()
                self._lent.append((self.mark(), data))
            except self.cuda.errors as error:
                raise self.failed(error) from error

    def _aside(self, nbytes: int) -> Any:
        """Page-locked memory that no copy is reading."""
        if self._staged:
            event, aside = self._staged[0]
            if len(self._staged) > 64:
                event.synchronize()
            if event.done and aside.nbytes >= nbytes:
                self._staged.popleft()
                return aside
            if len(self._staged) > 64:
                self._staged.popleft()
        return self.cuda.pinned(max(4096, 1 << (nbytes - 1).bit_length() if nbytes else 1))

    def _wait(self) -> None:
        try:
            self.cuda.current_stream().synchronize()
        except self.cuda.errors as error:
            raise self.failed(error) from error

    def read(self, target: memoryview, buffer: Buffer, offset: int) -> None:
        """Copy bytes out, when what was queued to write them is done."""
        self._refuse("reading values")
        data = np.frombuffer(target, np.uint8)
        self.use()
        try:
            self.cuda.read(data.ctypes.data, buffer.ptr + offset, data.nbytes, self.stream)
        except self.cuda.errors as error:
            raise self.failed(error) from error
        self._wait()
        self.look()

    def copy(
        self, target: Any, target_offset: int, source: Any, source_offset: int, nbytes: int
    ) -> Any:
        with self.lock:
            self.use()
            try:
                self.cuda.copy(
                    target.ptr + target_offset, source.ptr + source_offset, nbytes, self.stream
                )
            except self.cuda.errors as error:
                raise self.failed(error) from error
            self.recent.append("copy")

    def synchronize(self) -> None:
        self._finish()
        self.look()

    def _finish(self) -> None:
        self._refuse("synchronize")
        try:
            self.cuda.synchronize(self.index)
        except self.cuda.errors as error:
            raise self.failed(error) from error
        _here.index = self.index

    def failed(self, error: Exception) -> AcceleratorError:
        """The error of work that was queued, with the names of the kernels that it may be of."""
        names = ", ".join(reversed(self.recent)) or "none"
        return AcceleratorError(
            f"{self.name}: {error} (kernels queued last, latest first: {names})"
        )

    # faults

    @functools.cached_property
    def faults(self) -> Buffer:
        """Page-locked memory, which kernels write where something is wrong alone: a look is one
        read of the host's. Graphs report like all others."""
        self.use()
        memory = self.cuda.pinned(4 * faults.WORDS)
        memory[:] = 0
        self._found = memory.view(np.uint32)
        return Buffer(memory.ctypes.data, memory.nbytes, self, is_fixed=True)

    def look(self) -> None:
        """Raise what kernels reported, when they have been waited for.

        Raises:
            IndexError: one was given an index that is out of range.
            RuntimeError: one was given a value that has no result.
        """
        words = self._found
        if words is None or not words[0]:
            return
        found = faults.found(words)
        if found is not None:  # else another stream's kernel is writing it
            words[:] = 0
            raise found

    # kernels

    def launch(
        self,
        source: str,
        name: str,
        buffers: int,
        numbers: Sequence[Any],
        size: Size,
        label: str,
        options: str = "",
    ) -> Launch:
        return Launch(self, self.function(source, name, options), buffers, numbers, size, label)

    def function(self, source: str, name: str, options: str = "") -> Any:
        """A kernel of a program in OpenCL C, made once."""
        key = (source, name, options)
        with self.lock:
            found = self._functions.get(key)
            if found is None:
                module = self._module(source, options)
                found = self._functions[key] = self.cuda.function(module, name)
            return found

    def _module(self, source: str, options: str) -> Any:
        found = self._modules.get((source, options))
        if found is None:
            self.use()
            text = spelled(source)
            try:
                found = self.cuda.module(text, (*OPTIONS, *options.split()), self.arch)
            except CompileError as error:
                raise RuntimeError(
                    f"{self.name}: a kernel does not compile: {error}\n{text}"
                ) from error
            self._modules[source, options] = found
        return found


class _Constant(Buffer):
    """A buffer that gives itself back."""

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.owner.free(self)


class _Thread(threading.local):
    """What each thread chose on a device."""

    stream = 0


class _Here(threading.local):
    """The device that is this thread's current one, as far as this package knows."""

    index = -1


_here = _Here()
_address = attrgetter("ptr")


class Launch:
    """A kernel whose numbers are known: to be called with its buffers.

    All arguments lie in one place of the host's memory, which the driver reads when it queues the
    kernel: a call writes what differs there.
    """

    __slots__ = ("_given", "_numbers", "_pack", "_places", "_pointers", "_queue", "device", "label")

    def __init__(
        self, device: Device, function: Any, buffers: int, numbers: Sequence[Any], size: Size,
        label: str,
    ) -> None:  # fmt: skip
        self.device, self.label = device, label
        sizes, block = size
        grid = tuple(n // m for n, m in zip(sizes, block, strict=True))
        pointers = np.zeros(max(1, buffers), np.uint64)
        self._pointers = pointers.data
        self._pack = struct.Struct(f"{buffers}Q").pack_into
        self._given: Any = ()
        self._numbers = [np.array(number) for number in numbers]
        self._places = [a.reshape(-1).view(np.uint8).data for a in self._numbers]
        first = pointers.ctypes.data
        addresses = [first + 8 * i for i in range(buffers)]
        addresses += [a.ctypes.data for a in self._numbers]
        self._queue = device.cuda.launcher(function, grid, block, addresses)

    def __call__(self, *buffers: Any) -> None:
        self.with_numbers(buffers, ())

    def with_numbers(self, buffers: Sequence[Any], numbers: Sequence[tuple[int, Any]]) -> None:
        device = self.device
        with device.lock:
            if device._has_others or _here.index != device.index:
                device.use()
            self._pack(self._pointers, 0, *map(_address, buffers))
            if numbers is not self._given:
                for i, value in numbers:
                    self._places[i][:] = value if value.__class__ is bytes else value.tobytes()
                self._given = numbers
            try:
                self._queue(device._thread.stream)
            except device.cuda.errors as error:
                raise device.failed(error) from error
            device.launches += 1
            device.recent.append(self.label)
            if device.capture is not None:
                device.capture.held += [b for b in buffers if b.__class__ is _Constant]
            if device.watch is not None:
                device.watch(self.label, None, buffers)
