"""Loopback memory: bytes behind integer handles, which only kernels and copies can reach."""

from __future__ import annotations

import itertools
import os
import threading
from typing import Any

import numpy as np

from dovetail.backend import (
    DeviceInfo,
    KernelTable,
    Layout,
    OutOfMemoryError,
    Runtime,
    registry,
)
from dovetail_loopback.arrays import Array
from dovetail_loopback.kernels import forwarding_table

__all__ = ["LoopbackRuntime"]

FRESH, FREED = 0xA5, 0xDD
"""What unwritten and freed bytes hold."""

LAYOUTS = ("strided", "broadcast", "contiguous")


class LoopbackRuntime(Runtime):
    """Devices in host memory that hide it.

    Args:
        layout: what the kernels accept (DOVETAIL_LOOPBACK_LAYOUT).
        memory: bytes of each device, None for no limit (DOVETAIL_LOOPBACK_MEMORY).
        devices: how many there are (DOVETAIL_LOOPBACK_DEVICES).
        caching: let the core keep freed blocks; without, a freed block is overwritten at once, so
            that using it afterwards shows (DOVETAIL_LOOPBACK_CACHING=0|1).

    Raises:
        ValueError: a setting has no meaning.
    """

    def __init__(
        self,
        layout: Layout | None = None,
        memory: int | None = None,
        devices: int | None = None,
        caching: bool | None = None,
    ) -> None:
        chosen = layout or os.environ.get("DOVETAIL_LOOPBACK_LAYOUT") or "strided"
        if chosen not in LAYOUTS:
            raise ValueError(
                f"DOVETAIL_LOOPBACK_LAYOUT: must be one of {', '.join(LAYOUTS)}, got {chosen!r}"
            )
        self.layout: Layout = chosen  # type: ignore[assignment]
        self.memory = _number("DOVETAIL_LOOPBACK_MEMORY", memory, None)
        self.devices = _number("DOVETAIL_LOOPBACK_DEVICES", devices, 2)
        self.caching = bool(_number("DOVETAIL_LOOPBACK_CACHING", caching, 1))
        self._blocks: dict[int, tuple[np.ndarray, int]] = {}
        self._handles = itertools.count(0x1000)
        self._used: dict[int, int] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def count(self) -> int:
        """How many devices the settings say."""
        return self.devices or 0

    def why_absent(self) -> str:
        """The only way to have none."""
        return "DOVETAIL_LOOPBACK_DEVICES is 0"

    def info(self, index: int) -> DeviceInfo:
        """The cpu's dtypes, and the memory of the settings."""
        return DeviceInfo(
            name=f"loopback ({self.layout})",
            dtypes=registry.get("cpu").runtime.info(0).dtypes,
            memory_total=self.memory,
            limits={"checks_indices": True, "checks_values": True},
            version=np.__version__,
        )

    def alloc(self, nbytes: int, index: int) -> int:
        """A handle; the bytes hold a pattern, so that reading before writing shows."""
        with self._lock:
            used = self._used.get(index, 0)
            if self.memory is not None and used + nbytes > self.memory:
                raise OutOfMemoryError(
                    f"loopback device {index}: asked for {nbytes} bytes, {used} of "
                    f"{self.memory} are in use"
                )
            handle = next(self._handles)
            self._used[index] = used + nbytes
            self._blocks[handle] = (np.full(nbytes, FRESH, np.uint8), index)
        return handle

    def free(self, buffer: int) -> None:
        """Forget a handle; a second time is an error."""
        with self._lock:
            if self._is_closed:
                return
            block, index = self._blocks.pop(buffer)
            self._used[index] -= block.nbytes
            block.fill(FREED)

    def _bytes(self, buffer: int) -> tuple[np.ndarray, int]:
        assert type(buffer) is int, f"not a handle: {buffer!r}"
        return self._blocks[buffer]

    def h2d(self, buffer: int, offset: int, source: memoryview) -> None:
        """Copy bytes in."""
        block, _ = self._bytes(buffer)
        assert 0 <= offset <= offset + source.nbytes <= block.nbytes, "h2d outside the block"
        block[offset : offset + source.nbytes] = np.frombuffer(source, np.uint8)

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        """Copy bytes out."""
        block, _ = self._bytes(buffer)
        assert 0 <= offset <= offset + target.nbytes <= block.nbytes, "d2h outside the block"
        target[:] = block[offset : offset + target.nbytes].data

    def view(self, buffer: int, offset: int, shape: Any, strides: Any, dtype: Any) -> Array:
        """An array over part of a block; NumPy checks that it stays inside."""
        block, index = self._bytes(buffer)
        assert all(s >= 0 for s in strides), f"negative strides {strides}"
        if 0 in shape:
            return Array(np.empty(shape, dtype.numpy), index)
        return Array(np.ndarray(shape, dtype.numpy, block, offset, strides), index)

    def synchronize(self, index: int) -> None:
        """Nothing is ever under way."""
        assert 0 <= index < self.count()

    def kernels(self) -> KernelTable:
        """The cpu's kernels, each behind a check of what it is given."""
        return forwarding_table(registry.get("cpu").table, self.layout)

    def memory_free(self, index: int) -> int | None:
        """What the limit leaves."""
        return None if self.memory is None else self.memory - self._used.get(index, 0)

    def close(self) -> None:
        """Forget everything; handles given back later are ignored."""
        with self._lock:
            self._is_closed = True
            self._blocks.clear()


def _number(variable: str, given: int | None, default: int | None) -> int | None:
    text = os.environ.get(variable)
    if given is not None or not text:
        return default if given is None else given
    if not text.isdecimal():
        raise ValueError(f"{variable}: must be a number of at least 0, got {text!r}")
    return int(text)
