"""Worker processes that run cases, and survive what a driver does to them.

A worker collects the same cases as its parent and is told their numbers. When it dies, the case
that it was at is ``crashed``; when it is silent for too long, ``hung``; the rest goes to a new one.

Where there are several, cases of one dtype go to one as far as they can, for a backend that
compiles its kernels then compiles most of them once.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from dovetail_conformance.model import Case, Failure, Outcome, run_case

__all__ = ["LIMIT", "run_in_workers", "seldom_collected"]

LIMIT = 180.0
"""Seconds that one case may take before it counts as hung."""


def run_in_workers(
    cases: Sequence[Case],
    device: str,
    jobs: int,
    collect: Callable[..., list[Case]],
    arguments: tuple[Any, ...],
    limit: float = LIMIT,
    chunk: int = 24,
) -> Iterator[Outcome]:
    """Run cases in ``jobs`` processes; the outcomes come in the order in which they end.

    Args:
        collect: ``collect(*arguments)`` makes the list that ``cases`` are from, in a worker too.
        limit: seconds without news after which a worker is stopped.
        chunk: how many cases a worker is given at once.
    """
    numbers = {case.id: i for i, case in enumerate(collect(*arguments))}
    dtypes = list(dict.fromkeys(c.dtype for c in cases))
    # A worker that has them all takes them operator by operator: what is expected of one is kept.
    ordered = sorted(cases, key=lambda c: dtypes.index(c.dtype)) if jobs > 1 else cases
    together = [numbers[c.id] for c in ordered if not c.alone]
    alone = [numbers[c.id] for c in cases if c.alone]
    by_number = {numbers[c.id]: c for c in cases}
    for todo, count in ((together, jobs), (alone, 1)):
        if todo:
            crew = _Crew(min(count, len(todo)), device, collect, arguments, limit)
            yield from crew.run(todo, by_number, chunk)


class _Worker:
    def __init__(self, device: str, collect: Any, arguments: Any, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_work, args=(theirs, device, collect, arguments), daemon=True
        )
        with _few_threads(threads):
            self.process.start()
        theirs.close()
        self.todo: deque[int] = deque()
        self.heard = time.monotonic()
        self.is_ready = False

    def give(self, numbers: list[int]) -> None:
        self.todo.extend(numbers)
        self.heard = time.monotonic()
        self.pipe.send(numbers)

    def stop(self) -> None:
        self.pipe.close()
        if self.process.is_alive():
            self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class _Shares:
    """What is left to do, as chunks: a run of neighbours for each worker.

    Who has done its own takes from the end of the longest.
    """

    def __init__(self, numbers: Sequence[int], count: int, chunk: int) -> None:
        self._runs: list[deque[list[int]]] = []
        for i in range(count):
            run = numbers[len(numbers) * i // count : len(numbers) * (i + 1) // count]
            self._runs.append(deque(list(run[k : k + chunk]) for k in range(0, len(run), chunk)))

    @property
    def left(self) -> bool:
        return any(self._runs)

    def take(self, place: int) -> list[int]:
        if self._runs[place]:
            return self._runs[place].popleft()
        return max(self._runs, key=len).pop()

    def give_back(self, place: int, chunk: list[int]) -> None:
        self._runs[place].appendleft(chunk)


class _Crew:
    def __init__(self, count: int, device: str, collect: Any, arguments: Any, limit: float) -> None:
        self.of_a_worker = (device, collect, arguments, max(1, (os.cpu_count() or 1) // count))
        self.limit = limit
        self.workers = [_Worker(*self.of_a_worker) for _ in range(count)]

    def run(self, numbers: Sequence[int], cases: dict[int, Case], chunk: int) -> Iterator[Outcome]:
        shares = _Shares(numbers, len(self.workers), chunk)
        try:
            while shares.left or any(w.todo for w in self.workers):
                for place in range(len(self.workers)):
                    if not self.workers[place].todo and shares.left:
                        self._give(place, shares)
                yield from self._hear(shares, cases)
        finally:
            for worker in self.workers:
                worker.stop()

    def _give(self, place: int, shares: _Shares) -> None:
        worker = self.workers[place]
        chunk = shares.take(place)
        try:
            worker.give(chunk)
        except (BrokenPipeError, OSError):
            worker.todo.clear()
            shares.give_back(place, chunk)
            self._replace(worker)

    def _hear(self, shares: _Shares, cases: dict[int, Case]) -> Iterator[Outcome]:
        busy = {w.pipe: w for w in self.workers if w.todo}
        for ready in wait(list(busy), timeout=1.0):
            worker = busy[ready]  # type: ignore[index]
            try:
                outcome: Outcome | None = worker.pipe.recv()
            except (EOFError, OSError):
                worker.process.join(5)
                yield self._lost(worker, shares, cases, "crashed", _how(worker.process.exitcode))
                continue
            worker.heard = time.monotonic()
            if outcome is None:
                worker.is_ready = True
                continue
            worker.todo.popleft()
            yield outcome
        for worker in list(busy.values()):
            limit = self.limit if worker.is_ready else max(self.limit, LIMIT)
            if worker.todo and time.monotonic() - worker.heard > limit:
                text = f"no answer after {limit:.0f} s; the process was stopped"
                yield self._lost(worker, shares, cases, "hung", text)

    def _lost(
        self, worker: _Worker, shares: _Shares, cases: dict[int, Case], what: str, why: str
    ) -> Outcome:
        case = cases[worker.todo.popleft()]
        if worker.todo:
            shares.give_back(self.workers.index(worker), list(worker.todo))
            worker.todo.clear()
        self._replace(worker)
        return Outcome(
            case.id, case.level, case.check, case.op, case.dtype, case.variant, what,
            (Failure(what, why, {}),), 1,
        )  # fmt: skip

    def _replace(self, worker: _Worker) -> None:
        worker.stop()
        self.workers[self.workers.index(worker)] = _Worker(*self.of_a_worker)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the process died of {signal.Signals(-code).name} while it ran this case"
    return f"the process ended with exit code {code} while it ran this case"


class _few_threads:
    """The environment of a worker: each takes its share of the cores."""

    NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> None:
        self.old = {name: os.environ.get(name) for name in self.NAMES}
        os.environ.update({name: str(self.count) for name, v in self.old.items() if v is None})

    def __exit__(self, *error: object) -> None:
        for name, value in self.old.items():
            if value is None:
                del os.environ[name]


def seldom_collected() -> None:
    """Cases live to the end, and most plans too: garbage is looked for a tenth as often.

    They are not frozen: mistakes in the core's source are put into the functions that
    ``gc.get_objects`` finds, and live tensors are counted by it.
    """
    gc.set_threshold(10 * gc.get_threshold()[0])


def _work(
    pipe: Connection, device: str, collect: Callable[..., list[Case]], arguments: Any
) -> None:
    """The life of a worker: numbers come, outcomes go; the end of the pipe is the end.

    None goes first, when the cases are collected: from then on the time of a case counts.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops it
    cases = collect(*arguments)
    seldom_collected()
    pipe.send(None)
    while True:
        try:
            numbers = pipe.recv()
        except EOFError:
            return
        for number in numbers:
            pipe.send(run_case(cases[number], device))
