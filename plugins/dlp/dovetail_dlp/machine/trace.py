"""A kernel's body, run once per task without data: the rules are checked, instructions written
down.

What a program does depends on shapes and dtypes alone, so it is compiled once and launched often.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from dovetail.dtypes import dtype as DType
from dovetail_dlp.machine.cluster import Access, Cluster
from dovetail_dlp.machine.errors import KernelError
from dovetail_dlp.machine.settings import Machine
from dovetail_dlp.machine.tile import Argument, Buffer, Tile, dense_strides

__all__ = ["Event", "Instruction", "Segment", "Trace", "active", "now"]

_MACHINERY = ("dovetail_dlp.machine.", "dovetail_dlp.lang")


class Instruction(NamedTuple):
    """One instruction: operands are tiles, numbers or Scalars; the first is written."""

    name: str
    parameters: tuple[Any, ...]
    operands: tuple[Any, ...]
    reads_out: bool = False


class Event(NamedTuple):
    """What an instruction asks of a unit.

    Attributes:
        unit: ``dma``, ``vector``, ``matrix``; ``sync`` and ``barrier`` wait for the task's DMA, and
            for its cluster.
        name: the instruction's.
        cycles: how long the unit is busy, without the bytes of a DMA.
        nbytes: bytes moved between GDRAM and the chip.
        is_waited: the task goes on when it has ended; else when ``sync`` is reached.
        operations: arithmetic done.
    """

    unit: str
    name: str
    cycles: float
    nbytes: int = 0
    is_waited: bool = True
    operations: int = 0


class Segment:
    """Instructions of one tile of a loop over tiles, or those between such loops; ``phase`` counts
    the calls of ``sync_cluster`` before them."""

    __slots__ = ("instructions", "made", "phase")

    def __init__(self, phase: int) -> None:
        self.phase = phase
        self.instructions: list[Instruction] = []
        self.made: set[int] = set()


class Trace:
    """The compilation of one kernel for one combination of shapes and dtypes."""

    def __init__(self, machine: Machine, name: str, task_dim: int) -> None:
        self.machine, self.name, self.task_dim = machine, name, task_dim
        self.task_id = self.phase = 0
        self.segments: list[Segment] = []
        self.clusters: dict[int, Cluster] = {}
        self.events: list[list[Event]] = []
        self._numbers = 0
        self._live: list[Buffer] = []
        self._used: dict[str, int] = {}
        self._depth = self._shared = 0

    # Tasks and tiles

    def begin_task(self, number: int) -> None:
        """What follows is task ``number``'s, with all of a core's memory to itself."""
        self.task_id, self.phase = number, 0
        self._used = {"nram": 0, "wram": 0, "shared": 0}
        self._live, self._depth, self._shared = [], 0, 0
        self.events.append([])
        self.segments.append(Segment(0))

    def end_task(self) -> None:
        """A task must have waited for its DMA."""
        self._check_settled(self._live)

    def end(self) -> None:
        """All tasks are there: those of a cluster must have waited for each other."""
        for cluster in self.clusters.values():
            mistake = cluster.mistake()
            if mistake:
                self.fail(*mistake)

    @property
    def cluster(self) -> Cluster:
        """That of this task.

        Raises:
            KernelError: not all tasks of the launch run at a time.
        """
        if self.task_dim > self.machine.tasks:
            self.fail(
                "shared memory and sync_cluster: a launch must have at most a task per core "
                f"({self.machine.tasks}), got {self.task_dim}"
            )
        number = self.task_id // self.machine.cores
        found = self.clusters.get(number)
        if found is None:
            first = number * self.machine.cores
            found = self.clusters[number] = Cluster(self.machine.shared)
            last = min(first + self.machine.cores, self.task_dim)
            found.phases = dict.fromkeys(range(first, last), 0)
        return found

    def tiles(self, items: Any) -> Any:
        """Iterate; each outermost item is a segment, and what it allocates is free after it."""
        for item in items:
            outermost = self._depth == 0
            if outermost:
                self.segments.append(Segment(self.phase))
            with self.scope():
                yield item
            if outermost:
                self.segments.append(Segment(self.phase))

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What is allocated inside is free afterwards."""
        used, kept = dict(self._used), len(self._live)
        self._depth += 1
        yield
        self._depth -= 1
        self._check_settled(self._live[kept:])
        for buffer in self._live[kept:]:
            buffer.is_alive = False
        del self._live[kept:]
        self._used = used

    def _check_settled(self, buffers: list[Buffer]) -> None:
        for buffer in buffers:
            if buffer.pending:
                self.fail(f"the task or tile ends before a {buffer.pending} was waited for; sync()")

    # Memory

    def allocate(self, space: str, shape: tuple[int, ...], dtype: DType) -> Tile:
        """On-chip memory for a tile.

        Raises:
            KernelError: it does not fit.
        """
        tile = Tile(None, 0, shape, dense_strides(shape, dtype.itemsize), dtype)
        step = self.machine.alignment
        nbytes = -(-tile.nbytes // step) * step
        used, size = self._used[space], getattr(self.machine, space)
        if used + nbytes > size:
            self.fail(
                f"{space}: {shape} of {dtype.name} is {nbytes} bytes, and {size - used} of {size} "
                "are left; use smaller tiles"
            )
        self._used[space] = used + nbytes
        tile.home = self._allocated_before(tile.nbytes, used) if space == "shared" else None
        if tile.home is None:
            self._numbers += 1
            tile.home = Buffer(space, used, tile.nbytes, self._numbers)
            self.segments[-1].made.add(self._numbers)
            if space == "shared":
                self.cluster.buffers.append(tile.home)
        self._live.append(tile.home)
        return tile

    def _allocated_before(self, nbytes: int, address: int) -> Buffer | None:
        """The buffer, where another task of the cluster has allocated it."""
        buffers, self._shared = self.cluster.buffers, self._shared + 1
        if self._shared > len(buffers):
            return None
        found = buffers[self._shared - 1]
        if (found.nbytes, found.address) != (nbytes, address):
            self.fail(
                f"shared: all tasks of a cluster must allocate alike, got {nbytes} bytes at "
                f"{address} in task {self.task_id} and {found.nbytes} at {found.address} before"
            )
        found.is_alive = True
        return found

    def check(self, what: str, tile: Any, spaces: tuple[str, ...], *, writes: bool = False) -> None:
        """An operand of instruction ``what``: its space, alignment, and that nothing is under
        way."""
        if not isinstance(tile, Tile):
            self.fail(f"{what}: must be given a tile, got {type(tile).__name__}")
        home = tile.home
        if home.space not in spaces:
            self.fail(f"{what}: works on {' or '.join(spaces)}, got a {tile!r}")
        if isinstance(home, Argument):
            return
        if not home.is_alive:
            self.fail(f"{what}: the buffer was freed at the end of the tile that made it")
        if (home.address + tile.offset) % self.machine.alignment and tile.size:
            self.fail(
                f"{what}: operands must start at a multiple of {self.machine.alignment} bytes, got "
                f"{home.space} address {home.address + tile.offset}"
            )
        if home.pending == "load" or (writes and home.pending):
            do = "written" if writes else "read"
            self.fail(f"{what}: the buffer is {do} before its {home.pending} has finished; sync()")
        if home.space == "shared":
            noted = Access(self.task_id, self.phase, what, writes, tile, self._place())
            self.cluster.accesses.append(noted)
        elif writes:
            home.is_written = True
        elif not home.is_written and tile.size:
            self.fail(f"{what}: the buffer is read before anything was written to it")

    def emit(
        self,
        event: Event,
        parameters: tuple[Any, ...],
        operands: tuple[Any, ...],
        reads_out: bool = False,
    ) -> None:
        """Write an instruction down; ``reads_out``: what it writes is read before."""
        self.events[-1].append(event)
        made = Instruction(event.name, parameters, operands, reads_out)
        self.segments[-1].instructions.append(made)

    def sync(self) -> None:
        """Wait for every DMA of the task."""
        for buffer in self._live:
            buffer.pending = ""
        self.events[-1].append(Event("sync", "sync", 0))

    def sync_cluster(self) -> None:
        """Wait for every DMA of the task, and for the other tasks of the cluster."""
        self.sync()
        self.phase += 1
        self.cluster.phases[self.task_id] = self.phase
        self.cluster.last_wait = self._place()
        self.events[-1].append(Event("barrier", "sync_cluster", 0))
        self.segments.append(Segment(self.phase))

    def fail(self, text: str, place: str = "") -> None:
        """Refuse the kernel, naming the line.

        Raises:
            KernelError: always.
        """
        raise KernelError(f"{self.name}: {text} ({place or self._place()})")

    def _place(self) -> str:
        """The line of the kernel that is being compiled."""
        frame: Any = sys._getframe(1)
        while frame and frame.f_globals.get("__name__", "").startswith(_MACHINERY):
            frame = frame.f_back
        return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "?"


class _Thread(threading.local):
    def __init__(self) -> None:
        self.active: list[Trace] = []


_thread = _Thread()


def active() -> list[Trace]:
    """The compilations under way in this thread, innermost last."""
    return _thread.active


def now() -> Trace:
    """The compilation under way.

    Raises:
        KernelError: the language is used outside of a kernel.
    """
    if not _thread.active:
        raise KernelError(
            "dlp: instructions work inside of a @dlp.kernel function, when it is launched"
        )
    return _thread.active[-1]
