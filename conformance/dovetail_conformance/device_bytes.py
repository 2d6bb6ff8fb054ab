"""A device's memory without the core between: bytes straight from its runtime, and what is used."""

from __future__ import annotations

import gc
import os
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.backend.state import DeviceState, state_of
from dovetail.device_modules import DeviceModule, module_for
from dovetail.dispatch import clear_plans
from dovetail.spec import spec_of
from dovetail.storage import Storage
from dovetail.tensor import new_tensor
from dovetail_conformance.calls import host
from dovetail_conformance.model import Mismatch, Trial

__all__ = [
    "GIBIBYTE",
    "LATE",
    "Block",
    "check_bytes",
    "devices_of",
    "host_memory",
    "is_late",
    "memory_of",
    "memory_without_plans",
    "module_of",
    "options",
    "settle",
    "state",
]  # fmt: skip


def state(name: str) -> DeviceState:
    """What the core knows of a device: its runtime, its index, its pool."""
    return state_of(dt.empty((0,), dtype=dt.uint8, device=name).device)


def module_of(name: str) -> DeviceModule:
    """The module of a device's type, such as ``dovetail.loop``."""
    return module_for(dt.device(name).type)


def devices_of(name: str, count: int) -> list[str]:
    """The names of up to two devices of a type; the host has one without a number."""
    kind = dt.device(name).type
    return [name] if count < 2 else [f"{kind}:0", f"{kind}:1"]


class Block:
    """Bytes from ``Runtime.alloc``, written and read with ``h2d`` and ``d2h``; a context.

    Args:
        device: its name with its index.
        nbytes: how many.
    """

    def __init__(self, device: str, nbytes: int) -> None:
        self._state = state(device)
        self.runtime = self._state.runtime
        self.nbytes = nbytes
        self.buffer = self.runtime.alloc(nbytes, self._state.index)

    def __enter__(self) -> Block:
        return self

    def __exit__(self, *error: object) -> None:
        self.runtime.free(self.buffer)

    def write(self, values: np.ndarray, offset: int = 0) -> None:
        """Copy an array's bytes in at a byte offset; read-only arrays are passed as such."""
        flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        self.runtime.h2d(self.buffer, offset, flat.data.cast("B"))

    def read(self, offset: int = 0, nbytes: int | None = None) -> np.ndarray:
        """Bytes as uint8."""
        out = np.empty(self.nbytes - offset if nbytes is None else nbytes, np.uint8)
        self.runtime.d2h(out.data.cast("B"), self.buffer, offset)
        return out

    def tensor(
        self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, dtype: d.dtype
    ) -> Any:
        """A tensor over the block; strides and offset in elements. It must not outlive it."""
        spec = spec_of(shape, dtype, self._state.device, strides)
        return new_tensor(spec, None, Storage(self._state, self.buffer, self.nbytes), offset)


def check_bytes(
    made: np.ndarray, expected: np.ndarray, what: str, look: str, check: str = "copies"
) -> None:
    """Compare bytes.

    Raises:
        Mismatch: the first wrong byte, how many others, and ``look``: where to search.
    """
    wrong = np.flatnonzero(made != expected)
    if len(wrong):
        i = int(wrong[0])
        raise Mismatch(
            f"{what}: byte {i} must be {int(expected[i])}, got {int(made[i])}; {len(wrong)} of "
            f"{len(made)} bytes are wrong. {look}",
            check,
        )


def is_late(x: Any, expected: np.ndarray) -> bool:
    """Whether a tensor whose values were wrong is right when the device has been waited for."""
    module_of(str(x.device)).synchronize(str(x.device))
    return host(x).tobytes() == np.ascontiguousarray(expected).tobytes()


LATE = " It is right after synchronize(): must d2h wait for the kernels that write the buffer?"
"""What :func:`is_late` means to the author."""


def settle(name: str, *, again: bool = False) -> None:
    """Collect garbage and wait, so that counts of memory are of live tensors.

    Args:
        again: it was done a moment ago, so only what is new can be garbage.
    """
    gc.collect(1 if again else 2)
    module_of(name).synchronize(name)


def memory_without_plans(name: str) -> int:
    """Bytes in use by tensors; plans keep the numbers that they were called with, so they go."""
    clear_plans()
    settle(name)
    return module_of(name).memory_allocated(name)


def host_memory() -> int | None:
    """Bytes of host memory that this process holds; None where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as line:
            return int(line.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


GIBIBYTE = 1 << 30


def options(trial: Trial) -> dict[str, Any]:
    """The keywords that put a tensor on the device that is asked."""
    return {"device": trial.device}


def memory_of(name: str) -> tuple[int | None, int | None]:
    """(free, total) bytes as the device says."""
    place = state(name)
    return place.runtime.memory_free(place.index), place.info.memory_total
