"""Where a driver's threads run: each on a core of its own.

A driver for the host's cores starts a thread for each of them, which sleep until something is
queued. Linux may wake two on one core while the thread that queued is on another, and a thread that
sleeps wakes where it was: they share a core for many calls, and the other has nothing to do.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

import pyopencl as cl

__all__ = ["devices_of"]

DRIVERS_OWN = "POCL_AFFINITY"
"""PoCL's variable for the same; where it is set, 0 or 1, threads are left as they are. (PoCL counts
cores from 0, whichever the process may use, and has all processes of one thread share one.)"""

TASKS = Path("/proc/self/task")


def devices_of(platform: Any) -> list[Any]:
    """A platform's devices. Where that starts as many threads as the process may use cores, for a
    device on the host's cores, each is kept on one of them."""
    before = _threads()
    devices: list[Any] = platform.get_devices()
    if DRIVERS_OWN not in os.environ and any(d.type & cl.device_type.CPU for d in devices):
        ours = {thread.native_id for thread in threading.enumerate()}
        started = sorted(_threads() - before - ours)
        cores = sorted(os.sched_getaffinity(0)) if started else []
        if len(started) == len(cores):
            with contextlib.suppress(OSError):  # a sandbox may forbid it: then they share cores
                for thread, core in zip(started, cores, strict=True):
                    os.sched_setaffinity(thread, {core})
    return devices


def _threads() -> set[int]:
    """Numbers of this process's threads, where the system tells them."""
    return {int(task.name) for task in TASKS.iterdir()} if TASKS.is_dir() else set()
