"""Bytes between the host's memory and a device's.

Where both are one memory, a copy costs no more than to map a buffer (figures are in
docs/decisions/opencl/devices.md), so all is copied; a small write is copied aside first, so that
the caller need not wait for what was queued before. Where a device has a memory of its own, its
copies are made from and to page-locked memory: everything written, and every large read, passes
through that in pieces, so that the host copies one piece while the device copies another.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any

import numpy as np
import pyopencl as cl

__all__ = ["PIECE", "Ring", "Transfers"]

PIECE = 1 << 20
"""Bytes of a piece, and of the largest write that is copied aside where memory is shared."""

WRITING = 8 * PIECE
"""Bytes that wait to be written at most."""

READING = 4
"""Pieces that a read has under way."""

DIRECT = 1 << 16
"""Bytes up to which a read is left to the driver: nothing could overlap."""

_LINE = 64
_MOST = 256
_log = logging.getLogger("dovetail.opencl")


def page_locked(context: Any, nbytes: int) -> np.ndarray:
    """Host memory that the device reads and writes by itself; pageable where there is no such."""
    try:
        queue = cl.CommandQueue(context)  # one of its own, so that it waits for no other work
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.ALLOC_HOST_PTR
        buffer = cl.Buffer(context, flags, nbytes)
        access = cl.map_flags.READ | cl.map_flags.WRITE
        mapped: Any = cl.enqueue_map_buffer  # which is not annotated for a dtype as NumPy spells it
        memory: np.ndarray = mapped(queue, buffer, access, 0, (nbytes,), np.uint8)[0]
    except cl.Error as error:
        _log.debug("no page-locked memory of %d bytes (%s); pageable is used", nbytes, error)
        return np.empty(nbytes, np.uint8)
    return memory


class Ring:
    """Host memory that copies to a device are queued from, given out in a circle.

    Places are numbered on from lap to lap. One serves again when the copy from it is done, which is
    waited for where the ring is full.

    Args:
        memory: uint8, (bytes,), a multiple of 64.
    """

    def __init__(self, memory: np.ndarray) -> None:
        self._memory = memory
        self._next = 0
        self._queued: deque[tuple[int, Any]] = deque()

    def write(self, queue: Any, buffer: Any, offset: int, data: np.ndarray) -> None:
        """Copy ``data`` (uint8, as long as the ring at most) aside and queue its way from there."""
        size, nbytes, queued = self._memory.nbytes, data.nbytes, self._queued
        start = self._next
        left = size - start % size
        if nbytes > left:
            start += left
        end = start + -(-nbytes // _LINE) * _LINE
        while queued and (end - queued[0][0] > size or len(queued) >= _MOST):
            queued.popleft()[1].wait()
        place = start % size
        aside = self._memory[place : place + nbytes]
        aside[:] = data
        event = cl.enqueue_copy(queue, buffer, aside, dst_offset=offset, is_blocking=False)
        queued.append((start, event))
        self._next = end


class Transfers:
    """The copies between the host and one device.

    Args:
        context: the device's.
        is_apart: the device's memory is another than the host's.
    """

    def __init__(self, context: Any, *, is_apart: bool) -> None:
        self._context, self.is_apart = context, is_apart
        self._ring: Ring | None = None
        self._is_in_ring = False
        self._landing: np.ndarray | None = None
        self._reading = threading.Lock()
        self._lent: deque[Any] = deque()

    def write(self, queue: Any, buffer: Any, offset: int, source: memoryview) -> None:
        """Copy bytes in; the device's lock is held. ``source`` may change when this returns."""
        data = np.frombuffer(source, np.uint8)
        # The ring has no place for a signal's handler that comes while another write is in it.
        if self._is_in_ring or (data.nbytes > PIECE and not self.is_apart):
            cl.enqueue_copy(queue, buffer, data, dst_offset=offset, is_blocking=True)
            return
        ring = self._ring
        if ring is None:
            ring = self._ring = Ring(self.memory(WRITING))
        self._is_in_ring = True
        try:
            for start in range(0, data.nbytes, PIECE):
                ring.write(queue, buffer, offset + start, data[start : start + PIECE])
        finally:
            self._is_in_ring = False

    def write_pinned(
        self, queue: Any, buffer: Any, offset: int, source: memoryview | bytes
    ) -> None:
        """Queue the bytes' way in; the device's lock is held. ``source`` may not change until then.

        An event holds what it copies from, and waits where it is dropped before it has happened.
        """
        data, lent = np.frombuffer(source, np.uint8), self._lent
        while lent and lent[0].command_execution_status <= cl.command_execution_status.COMPLETE:
            lent.popleft()
        event = cl.enqueue_copy(queue, buffer, data, dst_offset=offset, is_blocking=False)
        lent.append(event)

    def read(self, queue: Any, target: memoryview, buffer: Any, offset: int) -> None:
        """Copy bytes out, when what was queued to write them is done."""
        data = np.frombuffer(target, np.uint8)
        by_pieces = self.is_apart and data.nbytes > DIRECT
        # The pieces serve one thread; another need not wait for it.
        if by_pieces and self._reading.acquire(blocking=False):
            try:
                self._read_by_pieces(queue, data, buffer, offset)
            finally:
                self._reading.release()
        elif data.nbytes:
            cl.enqueue_copy(queue, data, buffer, src_offset=offset, is_blocking=True)

    def _read_by_pieces(self, queue: Any, data: np.ndarray, buffer: Any, offset: int) -> None:
        """Each piece lands in the place of the one before last, last but three and so on.

        Where an error leaves copies under way, the queue's order keeps them before the next read's.
        """
        if self._landing is None:
            self._landing = self.memory(READING * PIECE)
        landing = self._landing
        under_way: deque[tuple[Any, np.ndarray, np.ndarray]] = deque()

        def land() -> None:
            event, here, there = under_way.popleft()
            event.wait()
            there[:] = here

        for number, start in enumerate(range(0, data.nbytes, PIECE)):
            if len(under_way) == READING:
                land()
            there = data[start : start + PIECE]
            place = number % READING * PIECE
            here = landing[place : place + there.nbytes]
            event = cl.enqueue_copy(
                queue, here, buffer, src_offset=offset + start, is_blocking=False
            )
            under_way.append((event, here, there))
        while under_way:
            land()

    def memory(self, nbytes: int) -> np.ndarray:
        """Host memory that the device copies by itself, as far as its driver has such."""
        if self.is_apart:
            return page_locked(self._context, nbytes)
        return np.empty(nbytes, np.uint8)
