"""A cluster's shared memory during one launch: what its tasks allocate together, and their races.

The n-th buffer that a task allocates is the n-th of the other tasks too. What one of them writes
another may read after ``sync_cluster``, which divides a launch into phases; what two tasks do in
one phase happens in no order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail_dlp.machine.tile import Buffer, Tile

__all__ = ["Access", "Cluster"]


class Access(NamedTuple):
    """What a task does with shared memory.

    Attributes:
        task, phase: who, and after how many calls of ``sync_cluster``.
        what: the instruction's name.
        writes: whether it writes.
        tile: where.
        place: file and line.
    """

    task: int
    phase: int
    what: str
    writes: bool
    tile: Tile
    place: str


class Cluster:
    """Args: size: bytes of the shared memory."""

    def __init__(self, size: int) -> None:
        self.buffers: list[Buffer] = []
        self.phases: dict[int, int] = {}
        self.last_wait = ""
        self.accesses: list[Access] = []
        self._addresses = np.empty(size, np.uint8)  # never touched: places to compare

    def mistake(self) -> tuple[str, str] | None:
        """What is wrong once all tasks are known, and the line; None: nothing."""
        counts = sorted((count, task) for task, count in self.phases.items())
        (few, first), (many, last) = counts[0], counts[-1]
        if few != many:
            text = (
                "sync_cluster: all tasks of a cluster must call it equally often, got "
                f"{many} times in task {last} and {few} in task {first}, so that some wait for ever"
            )
            return text, self.last_wait
        return self._race() or self._unwritten()

    def _race(self) -> tuple[str, str] | None:
        by_phase: dict[int, list[tuple[Access, np.ndarray]]] = {}
        for one in self.accesses:
            here = self._where(one.tile)
            for other, there in by_phase.setdefault(one.phase, []):
                together = one.task != other.task and (one.writes or other.writes)
                if together and np.shares_memory(here, there):
                    does = ["reads", "writes"]
                    text = (
                        f"{one.what}: task {one.task} {does[one.writes]} shared memory that task "
                        f"{other.task} {does[other.writes]} at the same time ({other.place}); "
                        "sync_cluster() between them"
                    )
                    return text, one.place
            by_phase[one.phase].append((one, here))
        return None

    def _unwritten(self) -> tuple[str, str] | None:
        written: set[int] = set()
        for one in sorted(self.accesses, key=lambda access: access.phase):
            number = one.tile.home.number
            if one.writes:
                written.add(number)
            elif number not in written:
                text = f"{one.what}: the buffer is read before anything was written to it"
                return text, one.place
        return None

    def _where(self, tile: Tile) -> np.ndarray:
        start = tile.home.address + tile.offset
        return np.ndarray(tile.shape, tile.dtype.numpy, self._addresses, start, tile.strides)
