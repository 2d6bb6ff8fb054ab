"""Batches read by other processes: what a worker does, and the iterator that waits for them.

The iterator hands numbered lists of indices to the workers in turn, some ahead of what is asked for
(``prefetch_factor`` per worker), and gives the batches in the order of their numbers. Batches come
back as pickles through one queue.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import pickle
import queue
import random
import traceback
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import dovetail
from dovetail.backend.loader import HOST
from dovetail.threads import get_num_threads, set_num_threads
from dovetail.utils.data.dataset import IterableDataset, warn_of_length
from dovetail.utils.data.sampler import drawn_on

if TYPE_CHECKING:
    from dovetail.utils.data.dataloader import DataLoader

__all__ = ["WorkerInfo", "WorkerIterator", "draw_seed", "get_worker_info"]

_BATCH, _END, _ERROR = range(3)
_NOTHING = object()
_REPLICAS = (
    "For multiprocessing data-loading, this could be caused by not properly configuring the "
    "IterableDataset replica at each worker. Please see "
    "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset for examples."
)
_LOOK_EVERY = 1.0
"""Seconds between two looks at whether a worker that keeps the loader waiting is alive."""


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker process knows of itself.

    Attributes:
        id: its number, from 0.
        num_workers: how many there are.
        seed: of its random numbers; another for each worker and each pass.
        dataset: its copy of the dataset.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """What a worker process knows of itself; None in the process that made the loader."""
    return _info


class _WorkerError(Exception):
    """An exception of a worker, as its type and a text that names the worker and has its trace."""

    def __init__(self, kind: type[BaseException], text: str) -> None:
        super().__init__(kind, text)
        self.kind, self.text = kind, text

    def again(self) -> BaseException:
        """The same exception in this process; RuntimeError where its type wants other arguments."""
        if issubclass(self.kind, KeyError):
            return self.kind(_Lines(self.text))
        try:
            return self.kind(self.text)
        except Exception:
            return RuntimeError(self.text)


class _Lines(str):
    """KeyError shows the repr of what it has; this one keeps its lines apart."""

    def __repr__(self) -> str:
        return str(self)


def draw_seed(generator: Any) -> int:
    """What a pass draws for its workers' random numbers, from ``generator`` or the default one."""
    return int(
        dovetail.randint(
            0, 2**63 - 1, (1,), dtype=dovetail.int64, generator=generator,
            device=drawn_on(generator),
        ).item()
    )  # fmt: skip


def _work(
    start: Callable[[], Callable[[Any], Any]], init: Callable[[int], None] | None,
    info: WorkerInfo, tasks: Any, results: Any,
) -> None:  # fmt: skip
    """The life of a worker: batches on demand, until None comes.

    Args:
        start: begins a pass; what it returns reads the batch of some indices.
        tasks: where numbers of pass and batch, and indices, come from.
        results: the same numbers, and what became of them.
    """
    global _info
    _info = info
    set_num_threads(1)  # there are as many processes as shall compute
    random.seed(info.seed)
    np.random.seed(np.random.SeedSequence([info.seed, info.id]).generate_state(4))
    dovetail.manual_seed(info.seed)
    # A device that the parent uses cannot be used after a fork: what a worker makes is in memory.
    dovetail.set_default_device(HOST)
    broken: Exception | None = None
    try:
        if init is not None:
            init(info.id)
    except Exception as error:
        broken = error
    current, fetch = -1, None
    for number, index in _asked(tasks):
        try:
            if broken is not None:
                raise broken
            if fetch is None or number[0] != current:
                current, fetch = number[0], start()
            answer = _BATCH, pickle.dumps(fetch(index), protocol=5)
        except StopIteration as error:
            is_end = isinstance(info.dataset, IterableDataset)
            answer = (_END, b"") if is_end else (_ERROR, _pickled_error(error, info.id))
        except KeyboardInterrupt:  # the parent has it too, and says so
            break
        except Exception as error:
            answer = _ERROR, _pickled_error(error, info.id)
        results.put((info.id, number, *answer))
    results.cancel_join_thread()  # nobody waits for what is left in it


def _asked(tasks: Any) -> Iterator[tuple[tuple[int, int], Any]]:
    """What the parent asks for, until it says None, is interrupted, or is no more."""
    parent: Any = multiprocessing.parent_process()
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while parent.is_alive():
            if tasks.poll(_LOOK_EVERY):
                task = tasks.recv()
                if task is None:
                    return
                yield task


def _pickled_error(error: Exception, worker: int) -> bytes:
    trace = "".join(traceback.format_exception(error))
    text = f"Caught {type(error).__name__} in DataLoader worker process {worker}.\nOriginal {trace}"
    try:
        return pickle.dumps(_WorkerError(type(error), text))
    except Exception:  # a type that is known in the worker only
        return pickle.dumps(_WorkerError(RuntimeError, text))


class WorkerIterator:
    """One pass, or with ``persistent_workers`` one after the other, over a loader with workers.

    Args:
        start: begins a pass in a worker.
        give: what is done here to a batch before it is given, if anything.
    """

    def __init__(
        self,
        loader: DataLoader[Any],
        start: Callable[[], Any],
        give: Callable[[Any], Any] | None = None,
    ) -> None:
        # Loaded before the fork: in Python 3.11 an import fails where garbage that is collected in
        # the middle of it imports as well (gh-91351), and a fresh child has much garbage.
        import numpy.random  # noqa: F401

        get_num_threads()

        # Not the loader, which holds this iterator where workers are persistent.
        self._sampler, self._give = loader._index_sampler, give
        self._count, self._ahead = loader.num_workers, loader.prefetch_factor or 1
        self._timeout, self._in_order = loader.timeout, loader.in_order
        self._is_persistent = loader.persistent_workers
        self._dataset, self._announced = loader.dataset, loader._announced_length
        context: Any = loader.multiprocessing_context or multiprocessing.get_context()
        seed = draw_seed(loader.generator)
        self._results = context.Queue()
        self._tasks: list[Any] = []
        self._processes: list[Any] = []
        for worker in range(self._count):
            info = WorkerInfo(worker, self._count, (seed + worker) % 2**63, loader.dataset)
            asked, ask = context.Pipe(duplex=False)
            process = context.Process(
                target=_work,
                args=(start, loader.worker_init_fn, info, asked, self._results),
                daemon=True,
            )
            process.start()
            asked.close()
            self._tasks.append(ask)
            self._processes.append(process)
        self._finish = weakref.finalize(
            self, _stop, os.getpid(), self._processes, self._tasks, self._results
        )
        self._pass = -1
        self.begin()

    def begin(self) -> None:
        """Begin a pass; what is still on its way from one before is dropped when it arrives."""
        self._pass += 1
        self._indices = iter(self._sampler)
        self._sent = self._given = 0
        self._arrived: dict[int, tuple[int, bytes]] = {}
        self._waiting: set[int] = set()
        self._is_active = [True] * self._count
        self._turn = itertools.cycle(range(self._count))
        for _ in range(self._count * self._ahead):
            self._send()

    def _send(self) -> None:
        """Hand the next indices to the next worker that has not come to its end."""
        turns = itertools.islice(self._turn, self._count)
        worker = next((w for w in turns if self._is_active[w]), None)
        index = _NOTHING if worker is None else next(self._indices, _NOTHING)
        if worker is None or index is _NOTHING:
            return
        with contextlib.suppress(OSError):  # it is dead, which is told when its batch is due
            self._tasks[worker].send(((self._pass, self._sent), index))
        self._waiting.add(self._sent)
        self._sent += 1

    def __iter__(self) -> WorkerIterator:
        return self

    def __len__(self) -> int:
        return len(self._sampler)

    def __next__(self) -> Any:
        while self._waiting or self._arrived:
            number = self._ready()
            if number is None:
                self._receive()
                continue
            kind, payload = self._arrived.pop(number)
            self._send()
            if kind == _ERROR:
                raise pickle.loads(payload).again()
            if kind == _BATCH:
                self._given += 1
                warn_of_length(self._dataset, self._announced, self._given, _REPLICAS)
                batch = pickle.loads(payload)
                return batch if self._give is None else self._give(batch)
        if not self._is_persistent:
            self._finish()
        raise StopIteration

    def _ready(self) -> int | None:
        """The number of the batch to give next, if it is here."""
        if not self._in_order:
            return next(iter(self._arrived), None)
        wanted = min((*self._waiting, *self._arrived))
        return wanted if wanted in self._arrived else None

    def _receive(self) -> None:
        """Wait for the next result of this pass.

        Raises:
            RuntimeError: none came within ``timeout``, or a worker has died.
        """
        waited = 0.0
        limit = self._timeout
        while True:
            step = min(_LOOK_EVERY, limit - waited) if limit else _LOOK_EVERY
            try:
                worker, (which, number), kind, payload = self._results.get(timeout=step)
            except queue.Empty:
                waited += step
                dead = [str(p.pid) for p in self._processes if not p.is_alive()]
                if dead:
                    self._finish()
                    raise RuntimeError(
                        f"DataLoader worker (pid(s) {', '.join(dead)}) exited unexpectedly"
                    ) from None
                if limit and waited >= limit:
                    self._finish()
                    raise RuntimeError(f"DataLoader timed out after {limit} seconds") from None
                continue
            if which != self._pass:
                continue
            if kind == _END:
                self._is_active[worker] = False
            self._waiting.discard(number)
            self._arrived[number] = kind, payload
            return


def _stop(owner: int, processes: list[Any], tasks: list[Any], results: Any) -> None:
    """Tell the workers to go, and see that they do."""
    if os.getpid() != owner:  # a fork of the process whose workers they are
        return
    for channel in tasks:
        with contextlib.suppress(OSError):
            channel.send(None)
    for process in processes:
        process.join(timeout=5)
        if process.is_alive():
            process.terminate()
            process.join()
    for channel in tasks:
        channel.close()
    results.cancel_join_thread()
    results.close()
