"""Storage: the memory that a tensor and its views share, and the version that writes bump."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dovetail.backend.state import DeviceState

__all__ = ["Storage", "bytes_of"]


class Storage:
    """Bytes on one device.

    Attributes:
        state: the device's runtime state.
        buffer: what the runtime's ``alloc`` gave; a flat uint8 array on host-array devices.
        nbytes: how many bytes belong to the tensor.
        give: gives the buffer back to its pool; None: it belongs to somebody else.
        version: how often an in-place operation wrote here.
    """

    __slots__ = (
        "__weakref__",
        "buffer",
        "give",
        "nbytes",
        "owner",
        "state",
        "version",
        "writer",
    )

    def __init__(
        self,
        state: DeviceState,
        buffer: Any,
        nbytes: int,
        give: Callable[[Any], None] | None = None,
    ) -> None:
        self.state = state
        self.buffer = buffer
        self.nbytes = nbytes
        self.give = give
        self.owner: Storage | None = None  # who frees the memory, for a shadow
        self.version = 0
        self.writer: Any = None  # (operator, place) of the last in-place write

    def shadow(self, version: int = 0) -> Storage:
        """The same memory with a version counter of its own, as ``Tensor.data`` has it."""
        twin = Storage(self.state, self.buffer, self.nbytes)
        twin.owner = self
        twin.version = version
        return twin

    def __del__(self) -> None:
        give = self.give
        if give is not None:
            give(self.buffer)

    def data_ptr(self) -> int:
        """The address of the first byte, or the handle where the device has no addresses."""
        return self.state.runtime_address(self.buffer)


def bytes_of(storage: Storage) -> np.ndarray:
    """A storage's bytes as a flat uint8 array; its own memory where that is the host's."""
    if not storage.nbytes:
        return np.empty(0, np.uint8)
    if storage.state.host_arrays:
        return np.asarray(storage.buffer)[: storage.nbytes]
    out = np.empty(storage.nbytes, np.uint8)
    storage.state.read(storage, 0, out)
    return out
