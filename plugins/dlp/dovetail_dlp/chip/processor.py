"""Queues, programs and memory of one device, in the device's own process.

Work is done in order within a queue, and in the order of arrival across queues unless reordering is
asked for. A queue stands still while it waits for an event.
"""

from __future__ import annotations

import marshal
import mmap
import os
import pickle
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail_dlp.chip.program import Program

__all__ = ["Processor"]


class Queue:
    """Commands of one stream, its clock (in cycles) and its first error."""

    def __init__(self) -> None:
        self.work: deque[tuple[int, tuple]] = deque()
        self.clock = 0.0
        self.error: tuple[str, str, str] | None = None


class Processor:
    """Memory of ``size`` bytes, whose first byte has address ``base``.

    Every command is ``(letter, queue, …)``; ``reply`` sends bytes to the host.
    """

    def __init__(
        self, base: int, size: int, reply: Callable[[bytes], None], status: mmap.mmap
    ) -> None:
        self.base, self.size = base, size
        # Pages come to be when they are touched, so there may be more addresses than memory.
        lazy = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        self.memory = mmap.mmap(-1, size, flags=lazy)
        self.bytes = np.frombuffer(self.memory, np.uint8)
        self.programs: dict[int, Program] = {}
        self.queues: dict[int, Queue] = {}
        self.events: dict[tuple[int, int], float] = {}
        self.reply, self.status = reply, status
        self.arrivals = 0
        self.launches = 0
        seed = os.environ.get("DOVETAIL_DLP_REORDER")
        self.random = random.Random(int(seed)) if seed else None
        self.latency = float(os.environ.get("DOVETAIL_DLP_LATENCY") or 0)
        self.faults: list[list[Any]] = []
        self.poisoned: list[int] = []
        self.broken: tuple[str, str, str] | None = None

    def take(self, batch: list[tuple]) -> None:
        """Queue commands, and do them; those that ask for a reply wait for their queue."""
        for command in batch:
            letter = command[0]
            if letter == "P":
                self.programs[command[1]] = pickle.loads(command[2])
                self.programs[command[1]].prepare()
            elif letter == "U":
                self._run(None)  # they may be queued still
                for number in command[1]:
                    del self.programs[number]
            elif letter in "LWEA":
                queue = self.queues.get(command[1])
                if queue is None:
                    queue = self.queues[command[1]] = Queue()
                queue.work.append((self.arrivals, command))
                self.arrivals += 1
            else:
                getattr(self, f"_ask_{letter}")(command)
        if self.random is None and not self.latency:
            self._run(None)

    # The order of work

    def _run(self, wanted: int | None) -> None:
        """Work until the queue ``wanted`` is empty; None: until all are."""
        while True:
            ready = [
                (q.work[0][0], n, q)
                for n, q in self.queues.items()
                if q.work and not self._is_blocked(q.work[0][1])
            ]
            if not ready or (wanted is not None and not self._has_work(wanted)):
                return
            if self.random is not None:
                _, number, queue = self.random.choice(ready)
            else:
                _, number, queue = (
                    min(ready)[:3] if len(ready) == 1 else min(ready, key=lambda r: r[0])
                )
            until = min((r[0] for r in ready if r[1] != number), default=None)
            self._work(queue, until)

    def _work(self, queue: Queue, until: int | None) -> None:
        work, single = queue.work, self.random is not None
        while work and (until is None or work[0][0] < until or single):
            command = work[0][1]
            if self._is_blocked(command):
                return
            work.popleft()
            try:
                getattr(self, f"_do_{command[0]}")(queue, command)
            except Exception as error:
                if queue.error is None:
                    queue.error = (type(error).__name__, self._name_of(command), str(error))
            if single:
                return

    def _is_blocked(self, command: tuple) -> bool:
        return command[0] == "A" and (command[2], command[3]) not in self.events

    def _has_work(self, number: int) -> bool:
        queue = self.queues.get(number)
        return queue is not None and bool(queue.work)

    def _name_of(self, command: tuple) -> str:
        return self.programs[command[2]].name if command[0] == "L" else "h2d"

    # Work of a queue: launch, write, event, await

    def _do_L(self, queue: Queue, command: tuple) -> None:
        program = self.programs[command[2]]
        self.launches += 1
        self.status[:8] = command[2].to_bytes(8, "little")
        for fault in [f for f in self.faults if f[1] <= self.launches]:
            self.faults.remove(fault)
            self._break(fault[0], program, command[3:])
        if self.broken:
            raise RuntimeError
        if self.latency:
            time.sleep(self.latency)
        if self.poisoned:
            self._check_bits(program, command[3:])
        queue.clock += program.cycles
        program.run(self.memory, self.base, command[3:])

    def _do_W(self, queue: Queue, command: tuple) -> None:
        if not self.broken:
            place = command[2] - self.base
            self.memory[place : place + len(command[3])] = command[3]

    def _do_E(self, queue: Queue, command: tuple) -> None:
        self.events[command[2], command[3]] = queue.clock

    def _do_A(self, queue: Queue, command: tuple) -> None:
        queue.clock = max(queue.clock, self.events[command[2], command[3]])

    # Questions of the host: each is answered

    def _ask_S(self, command: tuple) -> None:
        """Wait for one queue, or all (None), and tell the first error."""
        number = command[1]
        self._run(None if number == -1 else number)
        if number == -1:  # errors stay for who asks for them
            self._answer(None, None)
            return
        queues = self.queues.values() if number is None else [self.queues.get(number)]
        self._answer(self._first_error([q for q in queues if q is not None]), None)

    def _ask_R(self, command: tuple) -> None:
        """Bytes of memory, once the queue is empty."""
        self._run(command[1])
        queue = self.queues.get(command[1])
        error = self._first_error([queue] if queue else [])
        place = command[2] - self.base
        if not error and any(command[2] <= p < command[2] + command[3] for p in self.poisoned):
            self.broken = ("EccError", "d2h", "an uncorrectable bit error was read")
            error = self.broken
        self._answer(error, b"" if error else self.memory[place : place + command[3]])

    def _ask_Q(self, command: tuple) -> None:
        """Whether the queue is empty; one that waits for nobody to ask does a step."""
        if self.random is not None or self.latency:
            queue = self.queues.get(command[1])
            if queue and queue.work:
                self._work(queue, queue.work[0][0] + 1)
        self._answer(None, not self._has_work(command[1]))

    def _ask_V(self, command: tuple) -> None:
        """Whether an event has happened, and when (in cycles); waits for it where asked to."""
        key = (command[1], command[2])
        if command[3]:
            while key not in self.events and any(q.work for q in self.queues.values()):
                before = self.arrivals, [len(q.work) for q in self.queues.values()]
                self._run(command[4]) if command[4] is not None else self._run(None)
                if before == (self.arrivals, [len(q.work) for q in self.queues.values()]):
                    break
        self._answer(None, self.events.get(key))

    def _ask_I(self, command: tuple) -> None:
        """Latency (seconds), reordering (a seed), or a fault: (kind, after so many launches)."""
        _, latency, seed, fault = command
        self.latency = latency
        self.random = None if seed is None else random.Random(seed)
        if fault:
            self.faults.append([fault[0], self.launches + fault[1]])
        self._answer(None, None)

    def _first_error(self, queues: list[Queue]) -> tuple[str, str, str] | None:
        found = next((q.error for q in queues if q.error), None)
        for queue in queues:
            queue.error = None
        return self.broken or found

    def _answer(self, error: Any, value: Any) -> None:
        self.reply(marshal.dumps((error, value)))

    # Faults

    def _break(self, kind: str, program: Program, values: tuple) -> None:
        if kind == "hang":
            time.sleep(1e6)
        if kind == "lost":
            raise SystemExit(1)
        # One bit of what this launch works on turns over; ECC sees it when it is read.
        place = next(v for v in reversed(values) if isinstance(v, int) and v >= self.base)
        self.bytes[place - self.base] ^= 0x10
        self.poisoned.append(place)

    def _check_bits(self, program: Program, values: tuple) -> None:
        for address, span in program.reads(values):
            hit = [p for p in self.poisoned if address <= p < address + span]
            if hit:
                text = f"an uncorrectable bit error was read at address {hit[0]:#x}"
                self.broken = ("EccError", program.name, text)
                raise RuntimeError(text)
