"""Storages between files and devices: their bytes, their location tags, and ``map_location``.

Source of the tags and of what ``map_location`` may be: PyTorch's page ``torch.load``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.backend.loader import HOST
from dovetail.backend.state import state_of
from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.dtypes import type_name
from dovetail.errors import BackendUnavailable, CheckpointError
from dovetail.facts import UntypedStorage
from dovetail.storage import Storage

__all__ = [
    "Place", "StorageType", "TypedStorage", "bytes_to", "host_storage", "placing",
    "root_of", "storage_type",
]  # fmt: skip

Place = Callable[[UntypedStorage, str], UntypedStorage]
"""Takes a storage in host memory and its tag to the device where it shall be."""


class StorageType:
    """What ``torch.FloatStorage`` means in a file: a storage counted in elements of a dtype."""

    __slots__ = ("dtype", "name")

    def __init__(self, name: str, dtype: d.dtype) -> None:
        self.name = name
        self.dtype = dtype


class TypedStorage(UntypedStorage):
    """A storage as a file has it: counted in elements, and maybe a part of another.

    Attributes:
        dtype: of the elements.
        start: where the part begins, in bytes.
    """

    def __init__(
        self, storage: UntypedStorage, dtype: d.dtype, start: int = 0, size: int | None = None
    ) -> None:
        self._storage = storage._storage
        self.device = storage.device
        self.dtype = dtype
        self.start = start
        self._size = storage._storage.nbytes - start if size is None else size

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._size

    size = __len__ = nbytes


_TYPES = {
    f"{type_name(kind)}Storage": StorageType(type_name(kind), kind)
    for kind in (*d.ALL, d.qint8, d.quint8, d.qint32)
}
_TYPES["UntypedStorage"] = StorageType("Untyped", d.uint8)


def storage_type(name: str) -> StorageType:
    """The type behind ``FloatStorage`` and its like.

    Raises:
        CheckpointError: dovetail has no such dtype.
    """
    found = _TYPES.get(name)
    if found is None:
        raise CheckpointError(
            f"load: the file has a {name}, and dovetail has no such dtype; convert the tensor "
            "where the file was written"
        )
    return found


def root_of(storage: Storage) -> Storage:
    """The storage that owns the memory; ``Tensor.data`` has another one over it."""
    while storage.owner is not None:
        storage = storage.owner
    return storage


def bytes_to(storage: Storage, data: np.ndarray) -> None:
    """Overwrite a storage's bytes."""
    if storage.state.host_arrays:
        storage.buffer[: data.nbytes] = data
    elif storage.state.device.type != "meta":
        storage.state.write(storage, 0, data)


def host_storage(data: np.ndarray) -> UntypedStorage:
    """The storage over a flat uint8 array."""
    host = Device(HOST)
    return UntypedStorage.of(Storage(state_of(host), data, data.nbytes), host)


def placing(map_location: Any) -> Place:
    """What ``map_location`` says, as a function of a storage and its tag.

    Raises:
        TypeError: it is none of the things that PyTorch takes.
    """
    if map_location is None:
        return _restored
    if isinstance(map_location, dict):
        return lambda storage, tag: _restored(storage, map_location.get(tag, tag))
    if isinstance(map_location, (str, bytes, Device, int)):
        name = map_location.decode() if isinstance(map_location, bytes) else map_location
        target = resolve(name)
        return lambda storage, tag: storage.to(target)
    if not callable(map_location):
        raise TypeError(
            "load: map_location must be a device, a dict of locations or a function of a storage "
            f"and its location, got {type(map_location).__name__}"
        )

    def asked(storage: UntypedStorage, tag: str) -> UntypedStorage:
        answer = map_location(storage, tag)
        if answer is None:
            return _restored(storage, tag)
        if not isinstance(answer, UntypedStorage):
            raise TypeError(
                "load: the function given as map_location must return a storage or None, got "
                f"{type(answer).__name__}"
            )
        return answer

    return asked


def _restored(storage: UntypedStorage, tag: Any) -> UntypedStorage:
    """The storage on the device that its tag names."""
    if tag == HOST:
        return storage
    try:
        device = resolve(tag)
    except (BackendUnavailable, RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"load: the file has tensors of device {tag!r}, which cannot be used here ({error}); "
            f"give map_location='cpu', another device, or a dict such as {{{tag!r}: 'cpu'}}"
        ) from error
    return storage.to(device)
