"""The caching allocator, one for every device, and the counts behind ``memory_allocated()``.

Freed blocks wait in lists by rounded size and serve the next request of that size. The counts are
the core's own, so they mean the same on every device.
"""

from __future__ import annotations

import gc
import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from dovetail.errors import OutOfMemoryError
from dovetail.late_binding import DEVICES, PLANS

__all__ = ["Pool", "empty_cache", "pool_for", "reset_peak", "rounded", "stats"]

GRAIN = 512
LARGE = 1 << 20
"""Bytes from which on blocks are rounded more finely."""


def rounded(nbytes: int) -> int:
    """The block size that serves a request: multiples of 512, then eighths of a power of two, and
    32nds from 1 MiB on, where what a block has too much is memory that others lack."""
    if nbytes <= 8 * GRAIN:
        return max(GRAIN, -(-nbytes // GRAIN) * GRAIN)
    step = 1 << ((nbytes - 1).bit_length() - (4 if nbytes <= LARGE else 6))
    return -(-nbytes // step) * step


Lender = tuple[Callable[[int], Any], Callable[[Any], None]]


def _emptied(blocks: list[Any]) -> list[Any]:
    """What was in a list, which stays."""
    found = blocks.copy()
    blocks.clear()
    return found


class Pool:
    """Blocks of one device: ``take`` a block, ``give`` it back.

    The core has one per device. A backend may have others, for memory that its kernels need only
    while they run: blocks come back at once, and an in-order device may use them again at once.

    Args:
        alloc: ``alloc(nbytes)`` gets memory from the device; raises OutOfMemoryError.
        free: gives a block back to the device.
        synchronize: waits for the device; called before freed blocks go back to it.
        label: the device's name, for messages.
        caching: False hands every block straight back to the device.
        stream: ``stream()`` tells the streams of this thread apart; None: there is one stream.
            A block serves again only on the stream that it was taken on, where the work that
            used it comes first. A tuple ``(handle, …)`` is a stream that is captured: its blocks
            stay for the graphs that :meth:`hold` the handle.

    Attributes:
        limit: bytes that it may have of the device, in use or kept; None: what there is.

    Example:
        >>> pool = Pool(bytearray, lambda block: None, lambda: None, "toy:0")
        >>> scratch, size = pool.take(1000)
        >>> len(scratch), size
        (1024, 1024)
        >>> pool.give(scratch, size)
        >>> pool.take(1000)[0] is scratch
        True
        >>> pool.stats()["reserved"]
        1024
    """

    def __init__(
        self,
        alloc: Callable[[int], Any],
        free: Callable[[Any], None],
        synchronize: Callable[[], None],
        label: str,
        *,
        caching: bool = True,
        stream: Callable[[], Hashable] | None = None,
    ) -> None:
        self._alloc, self._free, self._synchronize = alloc, free, synchronize
        self._stream = stream
        self.label = label
        self.caching = caching
        # By size and stream (None where there is one), blocks that wait. A lender knows the
        # dictionary of its size, and the list of None, so these stay.
        self._idle: dict[int, dict[Hashable, list[Any]]] = {}
        self._lenders: dict[int, Lender] = {}
        self._homes: dict[int, Hashable] = {}  # by id of a block in use, its stream
        self._users: dict[int, list[Any]] = {}  # by id of a block in use, other streams
        self._held: dict[Hashable, int] = {}  # by handle, the graphs that hold its blocks
        self._aside: dict[Hashable, list[Any]] = {}  # by handle, blocks that serve no more
        self._pending: list[tuple[list[Any], Any, int, Hashable]] = []
        self._returned: deque[tuple[Any, int]] = deque()  # given while another thread was in here
        self._lock = threading.RLock()  # a garbage collection inside may give a block back
        self.allocated = self.reserved = self.peak = self.peak_reserved = 0
        self.allocations = self.frees = self.out_of_memory = 0
        self.limit: int | None = None

    def take(self, nbytes: int) -> tuple[Any, int]:
        """A block of at least ``nbytes`` bytes, and its size.

        Raises:
            OutOfMemoryError: after the cache was emptied and garbage collected, still no room.
        """
        size = rounded(nbytes)
        return self.lender(size)[0](nbytes), size

    def lender(self, size: int) -> Lender:
        """What takes blocks of a size that :func:`rounded` made, and what gives them back:
        ``take(nbytes)`` and ``give(block)``."""
        found = self._lenders.get(size)
        if found is None:
            with self._lock:
                made = self._alike(size) if self._stream is None else self._by_stream(size)
                found = self._lenders.setdefault(size, made)
        return found

    def _alike(self, size: int) -> Lender:
        """The lender where there is one stream: every tensor comes this way, so it is short."""
        acquire, release, returned = self._lock.acquire, self._lock.release, self._returned
        idle = self._idle.setdefault(size, {}).setdefault(None, [])

        def take(nbytes: int) -> Any:
            acquire()  # a `with` would take as long again
            try:
                if returned:
                    self._take_back()
                block = idle.pop() if idle else self._fresh(size, nbytes)
                self.allocations += 1
                self.allocated = allocated = self.allocated + size
                if allocated > self.peak:
                    self.peak = allocated
                return block
            finally:
                release()

        def give(block: Any) -> None:
            if not acquire(False):
                returned.append((block, size))  # for who comes next
                return
            try:
                self.allocated -= size
                self.frees += 1
                if self.caching:
                    idle.append(block)
                else:
                    self._hand_back(block, size)
            finally:
                release()

        return take, give

    def _by_stream(self, size: int) -> Lender:
        lists = self._idle.setdefault(size, {})
        acquire, release = self._lock.acquire, self._lock.release
        stream, homes, returned = self._stream, self._homes, self._returned

        def take(nbytes: int) -> Any:
            acquire()
            try:
                if returned:
                    self._take_back()
                home = stream()  # type: ignore[misc]
                if self._pending:
                    self._settle()
                idle = lists.get(home)
                if idle:
                    block = idle.pop()
                else:
                    block = self._fresh(size, nbytes, is_captured=home.__class__ is tuple)
                homes[id(block)] = home
                self.allocations += 1
                self.allocated = allocated = self.allocated + size
                if allocated > self.peak:
                    self.peak = allocated
                return block
            finally:
                release()

        def give(block: Any) -> None:
            if not acquire(False):
                returned.append((block, size))
                return
            try:
                self.allocated -= size
                self.frees += 1
                home = homes.pop(id(block), None)
                users = self._users.pop(id(block), None) if self._users else None
                if users:
                    self._put_aside(block, size, home, users)
                else:
                    self._put_home(block, size, home)
            finally:
                release()

        return take, give

    def hold(self, handle: Hashable) -> None:
        """A graph uses blocks of streams ``(handle, …)``: they serve nobody else."""
        with self._lock:
            self._held[handle] = self._held.get(handle, 0) + 1

    def release(self, handle: Hashable) -> None:
        """One graph less; after the last one its idle blocks go back to the device."""
        with self._lock:
            left = self._held.pop(handle) - 1
            if left:
                self._held[handle] = left
                return
            for block, size in self._aside.pop(handle, ()):
                self._hand_back(block, size)
            for size, lists in list(self._idle.items()):
                for home in [h for h in lists if isinstance(h, tuple) and h[0] == handle]:
                    for block in lists.pop(home):
                        self._hand_back(block, size)

    def _hand_back(self, block: Any, size: int) -> None:
        self.reserved -= size
        self._free(block)

    def _settle(self) -> None:
        """Put blocks back that other streams are done with."""
        waiting, self._pending = self._pending, []
        for events, block, size, home in waiting:
            if all(event.query() for event in events):
                self._put_home(block, size, home)
            else:
                self._pending.append((events, block, size, home))

    def _put_home(self, block: Any, size: int, home: Hashable) -> None:
        is_captured = isinstance(home, tuple)
        # A captured one goes back to the device where its graphs are gone.
        if home[0] in self._held if is_captured else self.caching:  # type: ignore[index]
            self._idle.setdefault(size, {}).setdefault(home, []).append(block)
        else:
            self._hand_back(block, size)

    def record_stream(self, block: Any, stream: Any) -> None:
        """Have a block in use wait, when it is given back, for what ``stream`` does until then.

        Args:
            block: as :meth:`take` returned it, the same object.
            stream: has ``record_event()``, as :class:`dovetail.Stream` has.
        """
        with self._lock:
            if id(block) in self._homes:
                users = self._users.setdefault(id(block), [])
                if stream not in users:
                    users.append(stream)

    def _fresh(self, size: int, asked: int, *, is_captured: bool = False) -> Any:
        # Nothing can be waited for while a graph is captured.
        attempts = (None,) if is_captured else (self.empty_cache, self._collect, None)
        for attempt in attempts:
            try:
                self._allow(size)
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

    def _allow(self, size: int) -> None:
        if self.limit is not None and self.reserved + size > self.limit:
            raise OutOfMemoryError(f"this process may take {self.limit} bytes of the device")

    def _collect(self) -> None:
        PLANS.clear()  # plans keep the numbers that they were called with on the device
        gc.collect()
        self.empty_cache()

    def give(self, block: Any, size: int) -> None:
        """Take a block back. Waits for nothing: finalizers call this, in a thread that may hold
        what who is at work in the pool waits for."""
        self.lender(size)[1](block)

    def _take_back(self) -> None:
        returned = self._returned
        while returned:
            self.give(*returned.popleft())

    def _put_aside(self, block: Any, size: int, home: Hashable, users: list[Any]) -> None:
        """Keep a block that other streams may be at work on."""
        if isinstance(home, tuple):
            # Where other streams are in their captured work, no event tells.
            self._aside.setdefault(home[0], []).append((block, size))
        else:
            events = [user.record_event() for user in users if user.capture is None]
            self._pending.append((events, block, size, home))

    def empty_cache(self) -> None:
        """Hand every idle block back to the device, when it is done with what used them."""
        with self._lock:
            self._take_back()
            waiting, self._pending = self._pending, []
            idle = [
                (home, block, size)
                for size, lists in list(self._idle.items())
                for home in [h for h in lists if not isinstance(h, tuple)]  # others are graphs'
                for block in (_emptied(lists[None]) if home is None else lists.pop(home))
            ]
        try:
            # Without the lock, and with no block in the lists that comes back meanwhile: its work
            # may be queued after this has waited.
            self._synchronize()
        except BaseException:
            with self._lock:
                self._pending += waiting
                for home, block, size in idle:
                    self._idle[size].setdefault(home, []).append(block)
            raise
        with self._lock:
            for events, block, size, home in waiting:
                if all(event.query() for event in events):
                    self._hand_back(block, size)
                else:
                    self._pending.append((events, block, size, home))
            for _, block, size in idle:
                self._hand_back(block, size)

    def attempt(self, function: Callable[[], None]) -> bool:
        """Call ``function`` with the pool to itself, unless another thread is at work in it: for
        who holds another pool's lock, and must not wait for this one's. Whether it was called."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            function()
        finally:
            self._lock.release()
        return True

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
        with self._lock:
            self._take_back()
            return {name: getattr(self, name) for name in names}

    def reset_peak(self) -> None:
        """Start the peaks again from what is in use."""
        self.peak, self.peak_reserved = self.allocated, self.reserved

    def reset_calls(self) -> None:
        """Start the numbers of allocations, frees and refusals again from 0."""
        with self._lock:
            self.allocations = self.frees = self.out_of_memory = 0


def pool_for(device: Any) -> Pool:
    """The pool of ``device`` (a device, its name, or None for the default device)."""
    from dovetail.device import resolve

    return DEVICES.state_of(resolve(device)).pool


def stats(device: Any = None) -> dict[str, int]:
    """Memory counts of a device: allocated, reserved, peak, … in bytes.

    On a device of host arrays, tensors too small for the pool are counted at this call, by
    looking at every live tensor; the peak has in it what they take at present.
    """
    counts = pool_for(device).stats()
    small = DEVICES.small_bytes(device)
    for name in ("allocated", "reserved", "peak", "peak_reserved"):
        counts[name] += small
    return counts


def reset_peak(device: Any = None) -> None:
    """Start the peak counts of a device again from what is in use."""
    pool_for(device).reset_peak()


def empty_cache(device: Any = None) -> None:
    """Hand a device's idle blocks back to it."""
    pool_for(device).empty_cache()
