"""The caching allocator, one for every device, and the counts behind ``memory_allocated()``.

Freed blocks wait in lists by rounded size and serve the next request of that size. The counts are
the core's own, so they mean the same on every device.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

from dovetail.errors import OutOfMemoryError

__all__ = ["Pool", "empty_cache", "pool_for", "reset_peak", "rounded", "stats"]

GRAIN = 512


def rounded(nbytes: int) -> int:
    """The block size that serves a request: multiples of 512, then eighths of a power of two."""
    if nbytes <= 8 * GRAIN:
        return max(GRAIN, -(-nbytes // GRAIN) * GRAIN)
    step = 1 << ((nbytes - 1).bit_length() - 4)
    return -(-nbytes // step) * step


class Pool:
    """Blocks of one device: ``take`` a block, ``give`` it back.

    Args:
        alloc: ``alloc(nbytes)`` gets memory from the device; raises OutOfMemoryError.
        free: gives a block back to the device.
        synchronize: waits for the device; called before freed blocks go back to it.
        label: the device's name, for messages.
        caching: False hands every block straight back to the device.
    """

    def __init__(
        self,
        alloc: Callable[[int], Any],
        free: Callable[[Any], None],
        synchronize: Callable[[], None],
        label: str,
        *,
        caching: bool = True,
    ) -> None:
        self._alloc, self._free, self._synchronize = alloc, free, synchronize
        self.label = label
        self.caching = caching
        self._idle: dict[int, list[Any]] = {}
        self._lock = threading.RLock()  # a garbage collection inside may give a block back
        self.allocated = self.reserved = self.peak = self.peak_reserved = 0
        self.allocations = self.frees = self.out_of_memory = 0

    def take(self, nbytes: int) -> tuple[Any, int]:
        """A block of at least ``nbytes`` bytes, and its size.

        Raises:
            OutOfMemoryError: after the cache was emptied and garbage collected, still no room.
        """
        size = rounded(nbytes)
        with self._lock:
            idle = self._idle.get(size)
            block = idle.pop() if idle else self._fresh(size, nbytes)
            self.allocated += size
            self.allocations += 1
            if self.allocated > self.peak:
                self.peak = self.allocated
        return block, size

    def _fresh(self, size: int, asked: int) -> Any:
        for attempt in (self.empty_cache, self._collect, None):
            try:
                block = self._alloc(size)
            except (OutOfMemoryError, MemoryError) as error:
                if attempt is None:
                    self.out_of_memory += 1
                    raise OutOfMemoryError(
                        f"{self.label}: out of memory: asked for {asked} bytes, "
                        f"{self.allocated} allocated, {self.reserved} reserved by dovetail; "
                        f"free tensors or use a smaller batch ({error})"
                    ) from error
                attempt()
                continue
            self.reserved += size
            self.peak_reserved = max(self.peak_reserved, self.reserved)
            return block
        raise AssertionError("unreachable")

    def _collect(self) -> None:
        from dovetail.dispatch import clear_plans

        clear_plans()  # plans keep the numbers that they were called with on the device
        gc.collect()
        self.empty_cache()

    def give(self, block: Any, size: int) -> None:
        """Take a block back."""
        with self._lock:
            self.allocated -= size
            self.frees += 1
            if self.caching:
                self._idle.setdefault(size, []).append(block)
            else:
                self.reserved -= size
                self._free(block)

    def empty_cache(self) -> None:
        """Hand every idle block back to the device."""
        self._synchronize()
        with self._lock:
            idle, self._idle = self._idle, {}
            for size, blocks in idle.items():
                for block in blocks:
                    self.reserved -= size
                    self._free(block)

    def stats(self) -> dict[str, int]:
        """Counts in bytes (and in calls, for the last three)."""
        names = (
            "allocated",
            "reserved",
            "peak",
            "peak_reserved",
            "allocations",
            "frees",
            "out_of_memory",
        )
        return {name: getattr(self, name) for name in names}

    def reset_peak(self) -> None:
        """Start the peaks again from what is in use."""
        self.peak, self.peak_reserved = self.allocated, self.reserved


def pool_for(device: Any) -> Pool:
    """The pool of ``device`` (a device, its name, or None for the default device)."""
    from dovetail.backend.state import state_of
    from dovetail.device import resolve

    return state_of(resolve(device)).pool


def stats(device: Any = None) -> dict[str, int]:
    """Memory counts of a device: allocated, reserved, peak, … in bytes.

    On a device of host arrays, tensors too small for the pool are counted at this call, by
    looking at every live tensor; the peak has in it what they take at present.
    """
    from dovetail.backend.state import small_bytes

    counts = pool_for(device).stats()
    small = small_bytes(device)
    for name in ("allocated", "reserved", "peak", "peak_reserved"):
        counts[name] += small
    return counts


def reset_peak(device: Any = None) -> None:
    """Start the peak counts of a device again from what is in use."""
    pool_for(device).reset_peak()


def empty_cache(device: Any = None) -> None:
    """Hand a device's idle blocks back to it."""
    pool_for(device).empty_cache()
