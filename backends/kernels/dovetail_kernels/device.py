"""What these kernels ask of a device: to compile a text, to queue a launch, memory while it runs.

A backend derives one class from :class:`Device` and registers how its devices are found; nothing
else in this package knows which backend it serves.
"""

from __future__ import annotations

import abc
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from dovetail.backend import Dialect, Pool
from dovetail.backend.allocator import rounded
from dovetail.dtypes import dtype as DType

__all__ = [
    "Device",
    "GroupTooLarge",
    "Launch",
    "Size",
    "device_of",
    "known",
    "owner_of",
    "register",
]

Made = TypeVar("Made")

Size = tuple[tuple[int, ...], tuple[int, ...]]
"""(global size, local size): all work items by dim, and those of a work group."""

PATIENCE = 256
"""Calls after which a kernel is compiled for the layout that it is called with; 0: at once.
Packing costs a small call one launch more, and compiling as much as thousands of launches."""

MUCH = 1 << 14
"""Elements for which a call counts once more."""

LEAST_GROUP = 32
"""Work items of the smallest group that kernels are made anew for."""

KEPT = 1 << 13
"""Resolved calls and texts that are kept, before all are forgotten."""


class GroupTooLarge(RuntimeError):
    """A kernel cannot be launched with so many work items in a group; ``room``: how many can be.

    See :meth:`Device.fitting`.
    """

    def __init__(self, text: str, room: int) -> None:
        super().__init__(text)
        self.room = room


class _Lowered(threading.local):
    """The largest work group while a thread makes launches that must have smaller ones."""

    group = 1 << 30


class Launch(Protocol):
    """A kernel whose numbers are known: to be called with its buffers."""

    def __call__(self, *buffers: Any) -> None:
        """Queue it."""

    def with_numbers(self, buffers: Sequence[Any], numbers: Sequence[tuple[int, Any]]) -> None:
        """Queue it with some numbers (index among them, NumPy scalar or bytes) given for this once.

        The same ones must be given at each call. Who gives the same object again says that nothing
        in it has changed.
        """


class Scratch:
    """Blocks of a pool, for as long as a ``with`` statement runs."""

    __slots__ = ("_blocks", "_pool", "_sizes")

    def __init__(self, pool: Pool, sizes: Sequence[int]) -> None:
        self._pool, self._sizes = pool, sizes
        self._blocks: list[tuple[Any, int]] = []

    def __enter__(self) -> list[Any]:
        take, blocks = self._pool.take, self._blocks
        try:
            for nbytes in self._sizes:
                blocks.append(take(max(nbytes, 4)))
        except BaseException:
            self.__exit__()
            raise
        return [block for block, _ in blocks]

    def __exit__(self, *error: object) -> None:
        for block, size in self._blocks:
            self._pool.give(block, size)


class Device(abc.ABC):
    """A device whose kernels are compiled from text at run time, with one queue in order.

    Attributes:
        index: its number among dovetail's devices of its kind.
        is_cpu: it works on the host's cores: kernels are written for few strong work items.
        dialect: how elementwise kernels are spelled for it.
        units: compute units.
        group: work items of a work group, a power of two.
        largest_group: those of the largest that there may be.
        tensors: how many an optimizer's step takes in one launch at most.
        arguments: bytes that a kernel's arguments may have together.
        has_shuffles: 32 neighbours of a group tell each other values without memory.
        local_memory: bytes that a work group shares at most.
        memory_total: bytes of memory that may be in use at a time.
        vector: bytes of a vector register.
        has_pairs: the processor multiplies pairs of bfloat16 (AVX-512 BF16), and the compiler
            takes its instructions.
        has_double, has_long_atomics: float64, and atomics of 64 bits.
        lock: held while a kernel's arguments are set and it is queued.
        launches: kernels queued since the start.
        patience: how often a call is served by general kernels before one is compiled for it; see
            :meth:`weight`.
        watch: called with (label, event, buffers) of all that is queued, where it is not None.
        worked: called with (label, operations) of products and convolutions, where it is not
            None: how many sums and products of numbers their definition takes.
        faults: the buffer in which kernels report indices that are out of range, and values that
            have no result (see ``faults.py``).
        suspect: a kernel that may have reported one was queued since the last look. Set after it
            is queued, so that a look that comes between is followed by another.
        recent: labels of the kernels queued last.
        kept: what :meth:`keep` keeps.
        tiles: by dtype, the shape of a matrix product's tile (see ``tiles.py``).
    """

    is_cpu: bool
    dialect: Dialect
    units: int
    has_shuffles: bool = False
    has_pairs: bool = False
    tensors: int = 8
    arguments: int = 1024  # what OpenCL 1.2 promises of any device
    local_memory: int
    memory_total: int
    vector: int = 16
    launches: int = 0
    has_double: bool
    has_long_atomics: bool
    faults: Any
    suspect: bool = False
    _pool: Pool

    def __init__(self, index: int, patience: int = PATIENCE) -> None:
        self.index = index
        self._group = self._largest_group = 256
        self._lowered = _Lowered()
        self.lock = threading.RLock()
        self.patience = patience
        self.watch: Callable[[str, Any, Sequence[Any]], None] | None = None
        self.worked: Callable[[str, int], None] | None = None
        self.recent: deque[str] = deque(maxlen=16)
        self.kept: dict[Any, Any] = {}
        self.tiles: dict[Any, Any] = {}

    @property
    def group(self) -> int:
        return min(self._group, self._lowered.group)

    @group.setter
    def group(self, value: int) -> None:
        self._group = value

    @property
    def largest_group(self) -> int:
        return min(self._largest_group, self._lowered.group)

    @largest_group.setter
    def largest_group(self, value: int) -> None:
        self._largest_group = value

    def fitting(self, make: Callable[[], Made]) -> Made:
        """What ``make()`` makes of launches; with smaller work groups where a kernel does not have
        registers for as many work items as the device allows.

        Raises:
            GroupTooLarge: a kernel has no smaller ones.
        """
        try:
            return make()
        except GroupTooLarge as error:
            smaller, before = 1 << error.room.bit_length() - 1, self._lowered.group
            if smaller < LEAST_GROUP or smaller >= self.group:
                raise
            self._lowered.group = smaller
            try:
                return self.fitting(make)
            finally:
                self._lowered.group = before

    @abc.abstractmethod
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
        """A kernel with its numbers.

        Args:
            source: the program's text.
            name: the kernel in it.
            buffers: how many buffers it takes; they are its first arguments.
            numbers: NumPy scalars, or arrays of eight, the arguments after them.
            size: work items.
            label: the operator's name, for errors.
            options: more of the compiler's.

        Raises:
            RuntimeError: the compiler refuses; the text has its log.
            GroupTooLarge: the kernel cannot have such work groups.
        """

    @abc.abstractmethod
    def constant(self, values: np.ndarray) -> Any:
        """A buffer with these values, which lives as long as who holds it."""

    @abc.abstractmethod
    def write(self, buffer: Any, offset: int, source: memoryview) -> None:
        """Copy bytes of the host in."""

    @abc.abstractmethod
    def copy(
        self, target: Any, target_offset: int, source: Any, source_offset: int, nbytes: int
    ) -> Any:
        """Queue a copy of bytes on the device; returns the driver's event, where it has one."""

    @abc.abstractmethod
    def synchronize(self) -> None:
        """Wait for everything that was queued.

        Raises:
            RuntimeError: a kernel failed; the text names those queued last.
        """

    def draw_state(self) -> Any:
        """While this thread's work is captured, to be queued again later: the buffer of two ulong
        numbers in which draws will find what the seed is combined with (exclusive or) and what is
        added to the counter. None: draws are made as they are asked for."""
        return None

    def tile(self, work: DType, candidates: Sequence[Any]) -> Any:
        """The one of ``candidates`` that products of ``work`` were measured to be fastest by; None
        where nothing was measured."""
        return None

    def faster(self, what: str, ways: Mapping[str, Callable[[], Callable[[], None]]]) -> str | None:
        """The name of the one of ``ways`` that was measured to be faster for what is called
        ``what``; None where nothing was measured.

        Args:
            ways: what makes a function to be measured; not called where nothing is to be.
        """
        return None

    @staticmethod
    def weight(count: int) -> int:
        """How much of the patience a call for so many elements takes."""
        return 1 + count // MUCH

    def keep(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make()`` made when it was first asked for under ``key``."""
        found = self.kept.get(key)
        if found is None:
            found = make()
            self.remember(key, found)
        return found

    def remember(self, key: Any, made: Any) -> None:
        """Put it in the place of what :meth:`keep` has, or would make."""
        if len(self.kept) >= KEPT:
            self.kept.clear()
        self.kept[key] = made

    def scratch(self, *sizes: int) -> Scratch:
        """Buffers for the steps of one kernel, of so many bytes each, as a context's value.

        They go back to a pool at the end of the block: the queue is in order, so who gets them next
        writes them after these steps have been done.
        """
        return Scratch(self._pool, sizes)

    def room(self, nbytes: int) -> tuple[Callable[[], Any], Callable[[Any], None]]:
        """One buffer as :meth:`scratch` gives it, for a kernel whose size is known beforehand: what
        takes it, and what gives it back."""
        size = rounded(max(nbytes, 4))
        take, give = self._pool.lender(size)
        return partial(take, size), give

    def workers(self, items: int, least: int = 4096) -> Size:
        """The size of a launch for a loop over ``items``; a work item takes ``least`` or more.

        For a GPU every item gets a work item, up to what keeps the device busy.
        """
        if self.is_cpu:
            return (max(1, min(self.units * 4, items // least)),), (1,)
        groups = max(1, min(-(-items // self.group), self.units * 64))
        return (groups * self.group,), (self.group,)


_finders: dict[str, Callable[[int], Device]] = {}


def register(kind: str, find: Callable[[int], Device]) -> None:
    """Say how the devices of a type are found: ``find(index)``."""
    _finders[kind] = find


def device_of(device: Any) -> Device:
    """What a tensor's device (with ``type`` and ``index``) stands for, in a dry run too."""
    device = getattr(device, "stands_for", device)
    return _finders[device.type](device.index)


def known(device: Any) -> Device | None:
    """What a tensor's device stands for, in a dry run too; None where it is no device of these
    backends."""
    device = getattr(device, "stands_for", device)
    return device_of(device) if device.type in _finders else None


def owner_of(buffer: Any) -> Device:
    """The device that a buffer is on; backends' buffers say it in their attribute ``owner``."""
    owner: Device = buffer.owner
    return owner
