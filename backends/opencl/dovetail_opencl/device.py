"""One OpenCL device in use: its context, queue, compiled programs, and what was launched last.

A signal's handler may run between any two calls of this thread, while it has the device's lock, and
use the device. So what is to be handed to the driver stays first in the list until it has been, and
who comes in between hands it over. Python looks for signals behind calls and where a loop goes on:
``for event in …`` calls the driver, and the line after it takes the launch from the list.
"""

from __future__ import annotations

import functools
import math
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import pyopencl as cl

from dovetail.backend import AcceleratorError, Forked, OutOfMemoryError, Pool
from dovetail.backend.allocator import pool_for
from dovetail.dtypes import dtype as DType
from dovetail_kernels import device, dialect, faults
from dovetail_kernels.device import Size
from dovetail_opencl import limits, settings, tuning
from dovetail_opencl.cache import ProgramCache
from dovetail_opencl.transfers import Transfers

__all__ = ["Device", "Launch"]

_NO_MEMORY = (
    cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE,
    cl.status_code.OUT_OF_RESOURCES,
    cl.status_code.OUT_OF_HOST_MEMORY,
    cl.status_code.INVALID_BUFFER_SIZE,
)
ALONE = "-Dkernel=__attribute__((intel_vec_len_hint(1)))__kernel"
"""Kernels for the host's cores have their vectors in the text; Intel's compiler would make vectors
of sixteen work items, where a work group has one, and run their loops lane by lane."""

PAIRS = "-DHAS_PAIRS"
"""Tells kernels that the processor's instructions for bfloat16 may be spelled out."""

enqueue = cl.enqueue_nd_range_kernel

_KNOWS_GROUPS = re.compile(r"\bget_(local|group|num_groups)")
"""What a text has whose kernels depend on how large a work group is."""

TOGETHER = 64
"""Launches of little work that are handed to a driver for the host's cores at once. Its threads
sleep when they have nothing to do, and to wake them costs more than such a launch."""

LITTLE = 1 << 14
"""Bytes of a copy that is as little work as such a launch."""

SEVERAL = 6
"""Launches that are worth an event that holds the queue while they are handed over."""


REFUSALS = (cl.Error, TypeError)
"""Errors of a launch that the driver would not take later either. Others, such as Ctrl-C's, come in
between, and leave it to who comes next."""


class Buffer(cl.Buffer):
    """A buffer that knows the device it is on."""

    owner: Device


class Device(device.Device):
    """A device with one in-order queue.

    Attributes:
        handle: PyOpenCL's device.
        cache: its compiled programs on disk.
        transfers: how bytes go between the host's memory and its own.
        waiting: launches that have not been handed to the driver, with buffers and numbers.
        used: bytes that buffers take.
        limits: what it allows a kernel.
    """

    def __init__(self, handle: Any, index: int = 0) -> None:
        super().__init__(index, settings.patience(device.PATIENCE))
        self.handle = handle
        self.context: Any = cl.Context([handle])
        self.queue: Any = cl.CommandQueue(self.context, handle)
        self._left: deque[Any] | None = None
        chosen = settings.class_of_kernels()
        self.is_cpu = chosen == "cpu" if chosen else bool(handle.type & cl.device_type.CPU)
        self.dialect = dialect.CPU if self.is_cpu else dialect.GPU
        self.units = int(handle.max_compute_units)
        self.limits = limits.of_device(handle)
        self.has_double = bool(self.limits.double)
        self.has_long_atomics = bool(self.limits.long_atomics)
        self.group = self.largest_group = min(256, self.limits.group)
        self.local_memory = self.limits.local_memory
        self.arguments = self.limits.arguments
        self._pointer = int(handle.address_bits) // 8
        self.vector = 4 * max(1, int(handle.native_vector_width_float))
        self.has_pairs = self.is_cpu and self.vector == 64 and bool(self.limits.pairs)
        exact = cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT
        is_exact = bool(handle.single_fp_config & exact)  # else a quotient may be off by 2.5 ulp
        self._options = ["-w", *["-cl-fp32-correctly-rounded-divide-sqrt"] * is_exact]
        if self.has_pairs:
            self._options.append(PAIRS)
        if self.is_cpu and "cl_intel_vec_len_hint" in handle.extensions.split():
            self._options.append(ALONE)
        self.cache = ProgramCache(self.context, handle)
        is_apart = chosen == "gpu" or not handle.host_unified_memory
        self.transfers = Transfers(self.context, is_apart=is_apart)
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
        self.faults = cl.Buffer(self.context, flags, hostbuf=np.zeros(faults.WORDS, np.uint32))
        self._programs: dict[tuple[str, str], Any] = {}
        self._kernels: dict[tuple[str, str, str], Bound] = {}
        self._handed_over = 0
        self._copying, self._writing = _Copying(self), _Writing(self)
        self.waiting: deque[Entry] = deque()
        self._gate: Any = None
        limit = settings.memory()
        self.memory_total = int(handle.global_mem_size) if limit is None else limit
        self.used = 0
        # Memory has a lock of its own, under which nothing is made or waited for: a pool that
        # allocates holds its lock, and a thread that queues a kernel may wait for that pool.
        self._counting: Any = threading.Lock()
        self._pool = Pool(self.alloc, self.free, self._finish, handle.name)

    def leave(self) -> None:
        """In a process that was forked: there is no device, and nobody holds its locks.

        What is of the driver stays, for giving it back would ask the driver too.
        """
        if self._left is None:
            self._left = deque([self.context, self.queue, self.waiting])
            gone: Any = Forked(f"opencl:{self.index}")
            self.context = self.queue = self.waiting = self.lock = self._counting = gone

    @property
    def launches(self) -> int:  # type: ignore[override]
        """Kernels queued since the start, with those that wait."""
        waiting = [entry for entry in list(self.waiting) if isinstance(entry[0], Launch)]
        return self._handed_over + len(waiting)

    # memory

    def alloc(self, nbytes: int) -> Any:
        """A buffer that exists (a driver may put off what it allocates until the first use).

        Raises:
            OutOfMemoryError: the device refuses, when what waits for its next use has been freed.
        """
        try:
            return self._allocated(nbytes)
        except OutOfMemoryError:
            # Tensors and kernels' scratch memory have a pool each, that knows of its own only. A
            # thread may be at work in the other one, and wait for this thread's.
            for pool in (self._pool, pool_for(f"opencl:{self.index}")):
                pool.attempt(pool.empty_cache)
            return self._allocated(nbytes)

    def _allocated(self, nbytes: int) -> Any:
        with self._counting:
            fits = self.used + nbytes <= self.memory_total
            if fits:
                self.used += nbytes
        if not fits:
            raise OutOfMemoryError(self._no_memory(nbytes))
        try:
            buffer = Buffer(self.context, cl.mem_flags.READ_WRITE, nbytes)
            buffer.owner = self
            if not self.is_cpu:
                cl.enqueue_fill_buffer(self.queue, buffer, np.uint8(0), 0, 1)
        except cl.Error as error:
            self._count(-nbytes)
            if error.code in _NO_MEMORY:
                raise OutOfMemoryError(self._no_memory(nbytes)) from error
            raise
        return buffer

    def _count(self, nbytes: int) -> None:
        with self._counting:
            self.used += nbytes

    def _no_memory(self, nbytes: int) -> str:
        return (
            f"{self.handle.name}: asked for {nbytes} bytes, {self.used} of {self.memory_total} are "
            f"in use; one buffer may have {self.handle.max_mem_alloc_size}"
        )

    def constant(self, values: np.ndarray) -> Any:
        """A buffer with these values, which lives as long as who holds it."""
        flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
        with self.lock:
            return cl.Buffer(self.context, flags, hostbuf=np.ascontiguousarray(values))

    def free(self, buffer: Any) -> None:
        """Give a buffer back: it is gone when no launch that waits has it, and the driver is done
        with what was queued on it."""
        if self._left is None:
            self._count(-buffer.size)
        else:
            self._left.append(buffer)

    def write(self, buffer: Any, offset: int, source: memoryview) -> None:
        """Copy bytes in; ``source`` may change when the call returns.

        Few of them wait as launches do: to be written at once, all that waits would have to be
        handed over.
        """
        if self.is_cpu and source.nbytes <= LITTLE:
            self.waiting.append((self._writing, (buffer,), (offset, source.tobytes())))
            if len(self.waiting) >= TOGETHER:
                self.flush()
            return
        with self.lock:
            self.flush()
            try:
                self.transfers.write(self.queue, buffer, offset, source)
            except cl.Error as error:
                raise self.failed(error) from error

    def pinned(self, nbytes: int) -> np.ndarray:
        """Host memory (uint8) that this device copies by itself, given back with the array."""
        return self.transfers.memory(nbytes)

    def write_pinned(self, buffer: Any, offset: int, source: memoryview) -> None:
        """Queue a copy of page-locked memory, which is kept until the device has read it."""
        with self.lock:
            self.flush()
            try:
                self.transfers.write_pinned(self.queue, buffer, offset, source)
            except cl.Error as error:
                raise self.failed(error) from error

    def read(self, target: memoryview, buffer: Any, offset: int) -> None:
        """Copy bytes out, when what was queued to write them is done.

        Raises:
            IndexError: a kernel was given an index that is out of range.
            RuntimeError: it was given a value that has no result.
        """
        looks = self._begins_look()
        self.flush()
        try:
            seen = self._look() if looks else None
            self.transfers.read(self.queue, target, buffer, offset)
        except cl.Error as error:
            raise self.failed(error) from error
        if seen is not None:
            self._judge(*seen)

    def synchronize(self) -> None:
        """Wait for everything that was queued.

        Raises:
            RuntimeError: a kernel failed, and the text names those queued last; or it was given a
                value that has no result.
            IndexError: a kernel was given an index that is out of range.
        """
        looks = self._begins_look()
        self._finish()
        if looks:
            self._judge(*self._look())

    def _finish(self) -> None:
        self.flush()
        try:
            self.queue.finish()
        except cl.Error as error:
            raise self.failed(error) from error

    def _begins_look(self) -> bool:
        """Whether to look at what kernels reported; before the launches that wait are handed over,
        for those that are queued later set :attr:`suspect` again."""
        if not self.suspect:
            return False
        self.suspect = False
        return True

    def _look(self) -> tuple[Any, np.ndarray]:
        """Queue a copy of the buffer of faults: (its event, where it goes)."""
        words = np.empty(faults.WORDS, np.uint32)
        return cl.enqueue_copy(self.queue, words, self.faults, is_blocking=False), words

    def _judge(self, event: Any, words: np.ndarray) -> None:
        event.wait()
        found = faults.found(words)
        if found is None:
            return
        with self.lock:
            cl.enqueue_copy(self.queue, self.faults, np.zeros_like(words), is_blocking=True)
        raise found

    def flush(self) -> None:
        """Hand the launches that wait to the driver.

        It begins when it has them all: its threads and this one would wait for each other's locks.
        """
        with self.lock:  # also to see an empty list: another thread may be handing it over
            waiting = self.waiting
            count = len(waiting)
            if not count:
                return
            if count >= SEVERAL and self._gate is None:
                gate = self._gate = cl.UserEvent(self.context)
                cl.enqueue_barrier(self.queue, wait_for=[gate])
            try:
                for _ in range(count):
                    if waiting:  # else a signal's handler handed them over
                        entry = waiting[0]
                        entry[0].enqueue(entry)
            except REFUSALS:
                _done(waiting, entry)
                raise
            finally:
                gate, self._gate = self._gate, None
                if gate is not None:
                    gate.set_status(cl.command_execution_status.COMPLETE)

    def failed(self, error: Exception) -> AcceleratorError:
        """The error of work that was queued, with the names of the kernels that it may be of."""
        names = ", ".join(reversed(self.recent)) or "none"
        return AcceleratorError(
            f"{self.handle.name}: {error} (kernels queued last, latest first: {names})"
        )

    def copy(
        self, target: Any, target_offset: int, source: Any, source_offset: int, nbytes: int
    ) -> Any:
        """Queue a copy of bytes on the device; returns the driver's event, if it has one."""
        numbers = (target_offset, source_offset, nbytes)
        if self.is_cpu and nbytes <= LITTLE:
            self.waiting.append((self._copying, (target, source), numbers))
            if len(self.waiting) >= TOGETHER:
                self.flush()
            return None
        with self.lock:
            self.flush()
            return self._copying.queued((target, source), numbers)

    # kernels

    def program(self, source: str, options: str = "") -> Any:
        """A compiled program; see :mod:`.cache` for what the next process has of it.

        Raises:
            RuntimeError: the driver's compiler refuses; the text has its log.
        """
        with self.lock:
            found = self._programs.get((source, options))
            if found is None:
                try:
                    text = self.limits.guard + source
                    found = self.cache.build(text, [*self._options, *options.split()])
                except cl.RuntimeError as error:
                    raise RuntimeError(
                        f"{self.handle.name}: a kernel does not compile: {error}\n{source}"
                    ) from error
                self._programs[source, options] = found
            return found

    def kernel(self, source: str, name: str, options: str = "") -> Bound:
        """A kernel of a program, made once."""
        key = (source, name, options)
        with self.lock:
            found = self._kernels.get(key)
            if found is None:
                made = cl.Kernel(self.program(source, options), name)
                found = self._kernels[key] = Bound(made, self._room(made, name))
            return found

    def _room(self, kernel: Any, name: str) -> int:
        """Work items that a group of a kernel may have.

        Raises:
            RuntimeError: not even one has the local memory.
        """
        info = cl.kernel_work_group_info
        needed = kernel.get_work_group_info(info.LOCAL_MEM_SIZE, self.handle)
        if needed > self.local_memory and not self.is_cpu:
            raise RuntimeError(
                f"{self.handle.name}: the kernel {name} must have {needed} bytes of local memory, "
                f"and there are {self.local_memory}"
            )
        most = int(kernel.get_work_group_info(info.WORK_GROUP_SIZE, self.handle))
        return min(most, self.limits.work_group, self.limits.kernel_group)

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
        taken = self._pointer * buffers + sum(number.nbytes for number in numbers)
        if taken > self.arguments:
            raise RuntimeError(
                f"{label}: the arguments of the kernel {name} must have {self.arguments} bytes or "
                f"fewer on {self.handle.name}, got {taken}"
            )
        kernel = self.kernel(source, name, options)
        asked = math.prod(size[1])
        if asked > kernel.room:
            if len(size[1]) > 1 or _KNOWS_GROUPS.search(source):
                raise device.GroupTooLarge(
                    f"{label}: a work group of the kernel {name} must have {kernel.room} work "
                    f"items or fewer on {self.handle.name}, got {asked}",
                    kernel.room,
                )
            size = size[0], (math.gcd(asked, 1 << kernel.room.bit_length() - 1),)
        return Launch(self, kernel, buffers, numbers, size, label)

    def tile(self, work: DType, candidates: Sequence[Any]) -> Any:
        return tuning.found(self, work, list(candidates))

    def faster(self, what: str, ways: Mapping[str, Callable[[], Callable[[], None]]]) -> str | None:
        return tuning.faster(self, what, ways)


class _Copying:
    """A copy on a device, queued as a launch is."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def enqueue(self, entry: Entry) -> None:
        """Hand it to the driver; the device's lock is held."""
        self.queued(*entry[1:])
        _done(self.device.waiting, entry)

    def queued(self, buffers: Sequence[Any], numbers: Sequence[Any]) -> Any:
        """The event of a copy: target and source; their offsets, and how many bytes."""
        device, (target, source) = self.device, buffers
        event = cl.enqueue_copy(
            device.queue, target, source,
            dst_offset=numbers[0], src_offset=numbers[1], byte_count=numbers[2],
        )  # fmt: skip
        device.recent.append("copy")
        if device.watch is not None:
            device.watch("copy", event, buffers)
        return event


class _Writing:
    """A copy of bytes of the host's, queued as a launch is."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def enqueue(self, entry: Entry) -> None:
        """Hand it to the driver: the target; its offset, and the bytes."""
        device, (offset, source) = self.device, entry[2]
        device.transfers.write_pinned(device.queue, entry[1][0], offset, source)
        _done(device.waiting, entry)


Entry = tuple["Launch | _Copying | _Writing", Sequence[Any], Any]
"""What waits, its buffers and numbers."""


def _done(waiting: deque[Entry], entry: Entry) -> None:
    """Take what was handed over from the list, unless a signal's handler has."""
    if waiting and waiting[0] is entry:
        del waiting[0]


@functools.cache
def numbered(count: int) -> Callable[..., tuple[Any, ...]]:
    """``pairs(*values)``: ``(0, value, 1, value, …)``, written out for so many."""
    names = [f"b{i}" for i in range(count)]
    pairs = "".join(f"{i}, {name}, " for i, name in enumerate(names))
    made: Callable[..., tuple[Any, ...]] = eval(f"lambda {', '.join(names)}: ({pairs})")
    return made


def _one_by_one(set_one: Callable[[int, Any], None]) -> Callable[[tuple[Any, ...]], None]:
    """What sets ``(position, value, …)`` by a call for each."""

    def set_all(pairs: tuple[Any, ...]) -> None:
        for i in range(0, len(pairs), 2):
            set_one(pairs[i], pairs[i + 1])

    return set_all


class Bound:
    """One kernel of a program, the launch whose numbers are set in it, those of its last call.

    Attributes:
        room: work items that a group of it may have.
    """

    __slots__ = ("given", "kernel", "room", "set_buffers", "set_number", "set_numbers", "user")

    def __init__(self, kernel: Any, room: int) -> None:
        self.kernel, self.room = kernel, room
        # PyOpenCL's public set_arg takes microseconds to find out that a number is none of its
        # own classes; its generated code calls these.
        self.set_buffers: Any = getattr(kernel, "_set_arg_multi", _one_by_one(kernel.set_arg))
        self.set_number: Any = getattr(kernel, "_set_arg_buf", kernel.set_arg)
        self.set_numbers: Any = getattr(kernel, "_set_arg_buf_multi", _one_by_one(self.set_number))
        self.user: Any = None
        self.given: Any = None


class Launch:
    """A kernel whose numbers are known: to be called with its buffers.

    Launches of one kernel share it, for making one costs more than queueing it.

    Args:
        device: where it runs.
        bound: the kernel.
        buffers: how many buffers it takes; they are its first arguments.
        numbers: NumPy scalars, the arguments after them.
        size: work items.
        label: the operator's name, for errors.
    """

    __slots__ = (
        "_bound", "_calls", "_global", "_is_little", "_local", "_numbered", "_numbers", "_queue",
        "device", "label",
    )  # fmt: skip

    def __init__(
        self, device: Device, bound: Bound, buffers: int, numbers: Sequence[Any], size: Size,
        label: str,
    ) -> None:  # fmt: skip
        self.device, self.label = device, label
        self._bound = bound
        self._global, self._local = size
        self._numbered = numbered(buffers)
        # A launch on the host's cores has work items as it has work (see `Device.workers`).
        self._is_little = device.is_cpu and math.prod(size[0]) < 4 * device.units
        pairs = [(i, number.tobytes()) for i, number in enumerate(numbers, buffers)]
        self._numbers = tuple(part for pair in pairs for part in pair)
        self._queue: Any = None
        self._calls: Iterator[Any]

    def __call__(self, *buffers: Any) -> None:
        """Queue it."""
        if self._is_little:
            waiting = self.device.waiting
            waiting.append((self, buffers, ()))
            if len(waiting) >= TOGETHER:
                self.device.flush()
        else:
            self.with_numbers(buffers, ())

    def with_numbers(self, buffers: Sequence[Any], numbers: Sequence[tuple[int, Any]]) -> None:
        """Queue it with some numbers (index among them, NumPy scalar or bytes) given for this once.

        The same ones must be given at each call. Who gives the same object again says that nothing
        in it has changed.
        """
        device, entry = self.device, (self, buffers, numbers)
        waiting = device.waiting
        waiting.append(entry)
        if self._is_little:
            if len(waiting) >= TOGETHER:
                device.flush()
            return
        with device.lock:
            if not waiting or waiting[0] is not entry:
                device.flush()
                return
            try:
                self.enqueue(entry)
            except REFUSALS:
                _done(waiting, entry)
                raise

    def enqueue(self, entry: Entry) -> None:
        """Hand it to the driver; the device's lock is held."""
        _, buffers, numbers = entry
        device, bound = self.device, self._bound
        if bound.user is not self:
            bound.user = bound.given = None  # whatever comes before all are set
            bound.set_numbers(self._numbers)
            bound.user = self
        bound.set_buffers(self._numbered(*buffers))
        if numbers is not bound.given:
            bound.given = None
            set_number, i = bound.set_number, len(buffers)
            for place, value in numbers:
                set_number(i + place, value if value.__class__ is bytes else value.tobytes())
            bound.given = numbers
        if self._queue is not device.queue:
            self._queue = device.queue
            given = (self._queue, bound.kernel, self._global, self._local)
            self._calls = map(enqueue, *map(repeat, given))
        waiting = device.waiting
        if not waiting or waiting[0] is not entry:  # what is set in the kernel may be another's
            bound.user = bound.given = None
            return
        for event in self._calls:  # noqa: B007 - what was called is used behind it
            del waiting[0]
            break
        device._handed_over += 1
        device.recent.append(self.label)
        if device.watch is not None:
            device.watch(self.label, event, buffers)
