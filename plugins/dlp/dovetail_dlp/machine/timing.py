"""How long a compiled kernel takes: every task's units, one after another or beside each other.

A task issues in order. A DMA that is waited for, and every vector and matrix instruction, ends
before the next begins; a DMA that is not waited for runs beside what follows until ``sync``.
GDRAM's bandwidth is shared by the tasks that have work. At ``sync_cluster`` the tasks of a cluster
wait for the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dovetail_dlp.machine.settings import Machine

__all__ = ["Cost", "cost_of"]

UNITS = ("dma", "vector", "matrix")


@dataclass
class Cost:
    """What one launch costs.

    Attributes:
        cycles: from the launch to the end of the last task.
        nbytes: bytes moved between GDRAM and the chip.
        operations: arithmetic.
        busy: cycles that each unit works, summed over tasks.
        tasks: tasks that have work.
        timeline: (task, unit, instruction, start, end).
    """

    cycles: float
    nbytes: int = 0
    operations: int = 0
    busy: dict[str, float] = field(default_factory=dict)
    tasks: int = 0
    timeline: list[tuple[int, str, str, float, float]] = field(default_factory=list)


def cost_of(machine: Machine, tasks: list[list[Any]]) -> Cost:
    """The cost of tasks, each a list of Events in order; tasks beyond the cores wait their turn."""
    working = [(n, events) for n, events in enumerate(tasks) if events]
    at_once = max(1, min(len(working), machine.tasks))
    speed = min(machine.dma, machine.bandwidth / at_once)
    cost = Cost(machine.launch, busy=dict.fromkeys(UNITS, 0.0), tasks=len(working))
    cores = [machine.launch] * machine.tasks
    running = [(number, iter(events)) for number, events in working]
    while running:
        running = [one for one in running if _until_barrier(cost, cores, speed, *one)]
        for cluster in range(0, machine.tasks, machine.cores):
            waiting = [n for n, _ in running if cluster <= n < cluster + machine.cores]
            latest = max((cores[n] for n in waiting), default=0.0)
            for number in waiting:
                cores[number] = latest + machine.shared_latency
    cost.cycles = max(cores)
    return cost


def _until_barrier(
    cost: Cost, cores: list[float], speed: float, number: int, events: Iterator[Any]
) -> bool:
    """Add a task's events to the cost, from its core's time on; whether it then waits for its
    cluster."""
    core = number % len(cores)
    now = dma = cores[core]
    nbytes = operations = 0
    is_waiting = False
    timeline, busy = cost.timeline, cost.busy
    for unit, name, cycles, moved, is_waited, done in events:
        if unit == "dma":
            cycles += moved / speed
            start = dma if dma > now else now
            dma = start + cycles
            if is_waited:
                now = dma
            nbytes += moved
        elif unit == "sync":
            now = dma if dma > now else now
            continue
        elif unit == "barrier":
            is_waiting = True
            break
        else:
            start = now
            now += cycles
            operations += done
        busy[unit] += cycles
        timeline.append((number, unit, name, start, start + cycles))
    cores[core] = now if now > dma else dma
    cost.nbytes += nbytes
    cost.operations += operations
    return is_waiting
