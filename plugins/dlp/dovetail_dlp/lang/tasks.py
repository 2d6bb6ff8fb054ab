"""Where a kernel runs, its on-chip memory, and how its work is split over tasks and tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

from dovetail.dtypes import dtype as DType
from dovetail_dlp.lang.operands import shape_of
from dovetail_dlp.machine.tile import Tile
from dovetail_dlp.machine.trace import now

__all__ = [
    "blocks",
    "cluster_id",
    "core_dim",
    "core_id",
    "cut",
    "each",
    "machine",
    "nram",
    "parts",
    "room",
    "scope",
    "shared",
    "task_dim",
    "task_id",
    "wram",
]

GRAIN = 4096
"""Elements below which another task is not worth its launch."""


def task_id() -> int:
    """The number of this task, from 0."""
    return now().task_id


def task_dim() -> int:
    """How many tasks the launch has."""
    return now().task_dim


def cluster_id() -> int:
    """The number of this task's cluster, from 0."""
    return now().task_id // now().machine.cores


def core_id() -> int:
    """The number of this task within its cluster, from 0."""
    return now().task_id % now().machine.cores


def core_dim() -> int:
    """How many tasks this task's cluster has."""
    return min(now().machine.cores, now().task_dim - now().task_id + core_id())


def machine() -> Any:
    """The sizes of the machine that the kernel is compiled for."""
    return now().machine


def nram(shape: Any, dtype: DType) -> Tile:
    """Neuron memory of this core, uninitialised; free at the end of the loop over tiles that it is
    in."""
    return now().allocate("nram", shape_of(shape), dtype)


def wram(shape: Any, dtype: DType) -> Tile:
    """Weight memory of this core, from which the matrix unit takes its second operand."""
    return now().allocate("wram", shape_of(shape), dtype)


def shared(shape: Any, dtype: DType) -> Tile:
    """Memory of this task's cluster: what the tasks of a cluster allocate in the same order is the
    same. Only DMA reaches it; ``sync_cluster()`` between one task's writing and another's
    reading."""
    return now().allocate("shared", shape_of(shape), dtype)


def room(*dtypes: DType, leave: int = 0) -> int:
    """How many elements fit into NRAM, if each needs one of every dtype given and ``leave`` bytes
    stay."""
    step = now().machine.alignment
    free = now().machine.nram - now()._used["nram"]
    free -= min(leave, free // 2) + step * len(dtypes)
    return max(1, free // sum(d.itemsize for d in dtypes) // step * step)


def parts(n: int, limit: int) -> Iterator[tuple[int, int]]:
    """This task's ``(start, stop)`` of ``range(n)``, none longer than ``limit``."""
    trace = now()
    least = max(-(-n // limit), min(trace.task_dim, -(-n // GRAIN)))
    # Equal parts, where there are such: the simulator does them at once.
    count = next((c for c in range(least, 2 * least + 1) if c and n % c == 0), least)
    size = -(-n // count) if count else 0
    mine = [(s, min(s + size, n)) for s in range(0, n, size)] if n else []
    yield from trace.tiles(_share(mine))


def blocks(shape: Sequence[int], limit: int) -> Iterator[tuple[slice, ...]]:
    """This task's blocks of an N-dimensional shape, none of more than ``limit`` elements."""
    trace = now()
    total = prod(shape)
    wanted = max(1, min(trace.task_dim, total // GRAIN))
    if total:
        yield from trace.tiles(_share(cut(shape, min(limit, -(-total // wanted)))))


def cut(shape: Sequence[int], limit: int) -> list[tuple[slice, ...]]:
    """All blocks of a shape, of at most ``limit`` elements, row-major."""
    sizes, left = [], max(1, limit)
    for n in reversed(tuple(shape)):
        size = min(n, left)
        if size < n:  # equal blocks, where there are such
            size = next((s for s in range(size, size // 2, -1) if n % s == 0), size)
        sizes.append(max(1, size))
        left = left // max(1, size) if size == n else 1
    sizes.reverse()
    ranges = [
        [slice(s, min(s + size, n)) for s in range(0, n, size)]
        for n, size in zip(shape, sizes, strict=True)
    ]
    return list(product(*ranges))


def each(items: Sequence[Any]) -> Iterator[Any]:
    """This task's share of ``items``; what is allocated for one of them is free after it."""
    yield from now().tiles(_share(list(items)))


def _share(items: list[Any]) -> list[Any]:
    trace = now()
    size = -(-len(items) // trace.task_dim)
    return items[trace.task_id * size : (trace.task_id + 1) * size]


def scope() -> Any:
    """``with dlp.scope():`` what is allocated inside is free afterwards, for loops within a
    tile."""
    return now().scope()
