"""Page-locked memory of the host: bytes that a device's driver copies by itself.

Blocks are powers of two, as PyTorch's are. One goes back to a list when the last array over it is
gone, for to lock pages takes a driver longer than most copies take.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovetail.device import device as Device

__all__ = ["PageLocked", "block", "block_of", "empty_cache"]

SMALLEST = 512
"""Bytes of the smallest block."""


class PageLocked(np.ndarray):
    """A block (uint8, 1-D), which is the last base of every array that lies in it.

    Attributes:
        reader: the device that copies it by itself.
    """

    reader: Device


_waiting: dict[tuple[Device, int], list[np.ndarray]] = {}


def block(nbytes: int, device: Device, lock: Callable[[int, int], Any]) -> PageLocked | None:
    """At least ``nbytes`` bytes for ``device``; None where it has no such memory.

    Args:
        lock: the runtime's ``pinned_memory``.

    Raises:
        OutOfMemoryError: the driver cannot lock that much.
    """
    size = max(SMALLEST, 1 << (nbytes - 1).bit_length())
    waiting = _waiting.setdefault((device, size), [])
    try:
        memory = waiting.pop()
    except IndexError:
        found = lock(size, device.index or 0)
        if found is None:
            return None
        memory = found
    # By way of ctypes: NumPy passes over a base whose own base is an array too.
    made = PageLocked((size,), np.uint8, (ctypes.c_ubyte * size).from_buffer(memory))
    made.reader = device
    weakref.finalize(made, waiting.append, memory).atexit = False
    return made


def block_of(array: Any) -> PageLocked | None:
    """The block that an array lies in."""
    while array is not None:
        if isinstance(array, PageLocked):
            return array
        array = getattr(array, "base", None)
    return None


def empty_cache() -> None:
    """Give blocks that no array lies in back to the system."""
    _waiting.clear()  # with the lists, so that no block of before comes back into use
