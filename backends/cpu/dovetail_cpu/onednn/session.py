"""What each thread keeps between oneDNN calls: a stream, an arena, and its recent programs.

oneDNN's memory objects hold one address at a time, so threads cannot share a program.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from dovetail_cpu.onednn.api import IN_ORDER, OneDnnError
from dovetail_cpu.onednn.library import Library, load

__all__ = ["CAPACITY", "KEPT_ARENA", "Session", "current"]

CAPACITY = 256
"""Programs kept per thread; the least recently made ones go first."""

KEPT_ARENA = 1 << 28
"""Bytes; a larger arena serves one call and is given back."""


class Session:
    """One thread's stream, arena and programs.

    Attributes:
        stream: the ``dnnl_stream_t`` handle.
        arena: the buffer that programs of this thread share; it only grows.
        plans: what was made for each combination of shapes, layouts and attributes.
        threads: on how many cores the large ones of ``plans`` run.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.stream = library.api.new("stream_create", library.engine, IN_ORDER)
        self.arena = np.empty(0, np.uint8)
        self._base = 0
        self.plans: dict[Hashable, Any] = {}
        self.threads = library.threads

    def __del__(self) -> None:
        stream = getattr(self, "stream", None)
        if stream and self.library.is_usable:
            self.library.api.stream_destroy(stream)

    def use(self, threads: int) -> int:
        """Have what follows run on ``threads`` cores; the number to give to :meth:`restore`."""
        previous = self.library.get_threads()
        if previous != threads:
            self.library.set_threads(threads)
        return previous

    def restore(self, previous: int, threads: int) -> None:
        """Undo ``use(threads)``, which gave ``previous``."""
        if previous != threads:
            self.library.set_threads(previous)

    def reserve(self, nbytes: int) -> int:
        """The address of at least ``nbytes`` bytes, aligned to a cache line."""
        if nbytes > self.arena.size:
            buffer = np.empty(nbytes + 64, np.uint8)
            skip = -buffer.ctypes.data % 64
            self.arena = buffer[skip:]
            self._base = self.arena.ctypes.data
        return self._base

    def trim(self) -> None:
        """Give back an arena that is too large to keep; called after each run."""
        if self.arena.size > KEPT_ARENA:
            self.arena, self._base = np.empty(0, np.uint8), 0

    def add(self, key: Hashable, make: Callable[..., Any], *arguments: Any) -> Any:
        """Make a plan, ``make(session, *arguments)``, and keep it in ``plans``.

        None where the library cannot do it (:class:`OneDnnError`), and that is kept as well.
        """
        plans = self.plans
        if len(plans) >= CAPACITY:
            del plans[next(iter(plans))]
        try:
            plan = make(self, *arguments)
        except OneDnnError:
            plan = None
        plans[key] = plan
        return plan


class _PerThread(threading.local):
    session: Session | None = None


_local = _PerThread()


def current() -> Session | None:
    """This thread's session; None where oneDNN is not in use."""
    session = _local.session
    library = load()
    if session is None or session.library is not library:  # the latter after a fork
        session = _local.session = None if library is None else Session(library)
    elif session is not None and session.threads != session.library.threads:
        session.plans.clear()  # primitives are made for a number of threads
        session.threads = session.library.threads
    return session
