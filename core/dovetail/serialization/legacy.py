"""PyTorch's formats before 1.6: a stream of pickles with storages after them, and a tar before 0.2.

Source: ``_legacy_save`` and ``_legacy_load`` of ``torch/serialization.py``.
"""

from __future__ import annotations

import pickle
import struct
import sys
from typing import IO, Any

import numpy as np

from dovetail.errors import CheckpointError
from dovetail.serialization.pickler import Pickled
from dovetail.serialization.reading import Reading, byteswap, is_count, storage_id
from dovetail.serialization.source import Cursor
from dovetail.serialization.storages import StorageType, TypedStorage, bytes_to
from dovetail.storage import bytes_of

__all__ = ["is_tar", "load_stream", "load_tar", "save_stream"]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_SIZES = {"short": 2, "int": 4, "long": 4}
_BLOCK = 512


def save_stream(pickled: Pickled, file: IO[bytes], protocol: int) -> None:
    """Write an object in the legacy format."""
    little = sys.byteorder == "little"
    info = {"protocol_version": _PROTOCOL, "little_endian": little, "type_sizes": _SIZES}
    for part in (_MAGIC, _PROTOCOL, info):
        file.write(pickle.dumps(part, protocol))
    file.write(pickled.data)
    keys = sorted(pickled.storages)
    file.write(pickle.dumps(keys, protocol))
    for key in keys:
        saved = pickled.storages[key]
        data = bytes_of(saved.storage)
        if sys.byteorder != "little":  # unlike the archive's, these bytes have a fixed order
            data = data.copy()
            byteswap(data, saved.dtype, "little")
        file.write(struct.pack("<q", data.nbytes // saved.dtype.itemsize))
        file.write(data.data)


def load_stream(reading: Reading, place: int) -> Any:
    """The object that begins at ``place``; the file object is left behind it.

    Raises:
        CheckpointError: it is not of this format, or damaged.
    """
    source = reading.source
    cursor = Cursor(source, place)
    if source.size == place:
        raise CheckpointError("load: the file is empty")
    try:
        magic = reading.plain(cursor)
    except CheckpointError as error:
        raise CheckpointError(
            "load: the file is none that torch.save or dovetail.save wrote: neither a zip archive "
            f"nor a pickle ({error})"
        ) from error
    if magic != _MAGIC:
        raise CheckpointError("load: Invalid magic number; corrupt file?")
    version = reading.plain(cursor)
    if version != _PROTOCOL:
        raise CheckpointError(f"load: Invalid protocol version: {version!r:.40}")
    reading.plain(cursor)
    storages = _Storages(reading, source.size - place)
    made = reading.object(cursor, storages.persistent)
    keys = reading.plain(cursor)
    if not isinstance(keys, list) or storages.waiting.keys() != set(map(str, keys)):
        raise CheckpointError("load: the file is damaged: other storages follow than are wanted")
    for key in keys:
        _fill(storages.waiting[str(key)], cursor, reading)
    source.leave_at(cursor.place)
    return made


def _fill(storage: TypedStorage, cursor: Cursor, reading: Reading) -> None:
    """Read the data of a storage that tensors lie in already."""
    (numel,) = struct.unpack("<q", cursor.take(8))
    nbytes = storage.nbytes()
    if numel * storage.dtype.itemsize != nbytes:
        raise CheckpointError(
            f"load: the file is damaged: {numel} elements for a storage of {nbytes} bytes"
        )
    if not reading.to_meta:
        memory = storage._storage
        host = memory.buffer if memory.state.host_arrays else np.empty(nbytes, np.uint8)
        reading.source.into(cursor.place, host)
        byteswap(host, storage.dtype, "little")
        if host is not memory.buffer:
            bytes_to(memory, host)
    cursor.skip(nbytes)


class _Storages:
    """Storages whose data comes after the object."""

    def __init__(self, reading: Reading, most: int) -> None:
        self._reading = reading
        self._left = most
        self._parts: dict[Any, TypedStorage] = {}
        self.waiting: dict[str, TypedStorage] = {}

    def persistent(self, identity: Any) -> Any:
        """The storage, or the part of one, behind a persistent id; for a module its class."""
        reading = self._reading
        if isinstance(identity, tuple) and identity[:1] == ("module",) and reading.runs_code:
            return identity[1]
        kind, key, location, numel, view = storage_id(identity, 6)
        storage = self.waiting.get(str(key))
        if storage is None:
            nbytes = numel * kind.dtype.itemsize
            self._left -= nbytes
            if self._left < 0:
                raise CheckpointError(
                    "load: the file is truncated or damaged: its storages are larger than it is"
                )
            reading.budget.spend(800)
            made = reading.storage(nbytes, lambda data: None)
            if not reading.to_meta:
                made = reading.place(made, location)
            storage = self.waiting[str(key)] = TypedStorage(made, kind.dtype)
        return storage if view is None else self._part(storage, view)

    def _part(self, root: TypedStorage, view: Any) -> TypedStorage:
        if not isinstance(view, tuple) or len(view) != 3 or not isinstance(view[0], (str, int)):
            raise CheckpointError("load: the file is damaged: a part of a storage makes no sense")
        key, offset, size = view
        found = self._parts.get(key)
        if found is None:
            self._reading.budget.spend(300)
            found = self._parts[key] = _part_of(root, offset, size)
        return found


def _part_of(root: TypedStorage, offset: Any, size: Any) -> TypedStorage:
    """Elements ``offset`` to ``offset + size`` of a storage.

    Raises:
        CheckpointError: it has not so many.
    """
    itemsize = root.dtype.itemsize
    if not is_count(offset) or not is_count(size) or (offset + size) * itemsize > root.nbytes():
        raise CheckpointError("load: the file is damaged: a part of a storage lies outside of it")
    return TypedStorage(root, root.dtype, root.start + offset * itemsize, size * itemsize)


def is_tar(reading: Reading, place: int) -> bool:
    """Whether the file is a tar archive."""
    return reading.source.size >= place + _BLOCK and reading.source.at(257, 5) == b"ustar"


def load_tar(reading: Reading) -> Any:
    """The object in a tar archive.

    Raises:
        CheckpointError: it is not of this format, or damaged.
    """
    members = _members(reading)
    objects: dict[int, Any] = {}
    _read_storages(reading, members["storages"], objects)
    _read_tensors(reading, members["tensors"], objects)

    def persistent(identity: Any) -> Any:
        if isinstance(identity, tuple):
            if reading.runs_code and identity:
                return identity[0]
            raise CheckpointError("load: the file names a class, which weights_only=True refuses")
        found = objects.get(int(identity)) if str(identity).isdigit() else None
        if found is None:
            raise CheckpointError(f"load: the file is damaged: there is no object {identity!r:.40}")
        return found

    return reading.object(members["pickle"], persistent)


def _members(reading: Reading) -> dict[str, Cursor]:
    """The plain files of the archive, by name."""
    source, at = reading.source, 0
    found: dict[str, Cursor] = {}
    while at + _BLOCK <= source.size:
        header = source.at(at, _BLOCK)
        if not any(header):
            break
        digits = header[124:136].strip(b" \0")
        if not digits.isdigit() or header[156:157] not in b"0\0005":
            raise CheckpointError("load: the tar archive is damaged, or has other than plain files")
        size, begin = int(digits, 8), at + _BLOCK
        if begin + size > source.size:
            raise CheckpointError("load: the tar archive is truncated")
        name = header[:100].split(b"\0")[0].decode("latin-1").removeprefix("./")
        reading.budget.spend(400)
        found[name] = Cursor(source, begin, begin + size)
        at = begin + -(-size // _BLOCK) * _BLOCK
    for name in ("storages", "tensors", "pickle"):
        if name not in found:
            raise CheckpointError(f"load: the tar archive is no checkpoint: it has no {name!r}")
    return found


def _read_storages(reading: Reading, cursor: Cursor, objects: dict[int, Any]) -> None:
    for _ in range(_count(reading.plain(cursor))):
        key, location, kind = _three(reading.plain(cursor))
        (numel,) = struct.unpack("<q", cursor.take(8))
        if not (isinstance(kind, StorageType) and isinstance(location, str) and is_count(numel)):
            raise CheckpointError("load: the tar archive is damaged: a storage makes no sense")
        begin, nbytes = cursor.place, numel * kind.dtype.itemsize
        cursor.skip(nbytes)  # which finds out whether there are so many

        def fill(data: np.ndarray, begin: int = begin, kind: StorageType = kind) -> None:
            reading.source.into(begin, data)
            byteswap(data, kind.dtype, "little")

        storage = reading.storage(nbytes, fill)
        if not reading.to_meta:
            storage = reading.place(storage, location)
        objects[key] = TypedStorage(storage, kind.dtype)
    views = reading.plain(cursor)
    if not isinstance(views, list):
        raise CheckpointError("load: the tar archive is damaged: its views make no sense")
    for view in views:
        if not isinstance(view, (tuple, list)) or len(view) != 4:
            raise CheckpointError("load: the tar archive is damaged: its views make no sense")
        target, root, offset, size = view
        objects[_count(target)] = _part_of(_storage(objects, root), offset, size)


def _read_tensors(reading: Reading, cursor: Cursor, objects: dict[int, Any]) -> None:
    rebuild = reading.rebuild["_rebuild_tensor"]
    for _ in range(_count(reading.plain(cursor))):
        key, storage, _kind = _three(reading.plain(cursor))
        ndim, _ = struct.unpack("<ii", cursor.take(8))
        if not 0 <= ndim <= 64:
            raise CheckpointError(f"load: the tar archive is damaged: a tensor of {ndim} dims")
        size = struct.unpack(f"<{ndim}q", cursor.take(8 * ndim))
        stride = struct.unpack(f"<{ndim}q", cursor.take(8 * ndim))
        (offset,) = struct.unpack("<q", cursor.take(8))
        objects[key] = rebuild(_storage(objects, storage), offset, size, stride)


def _count(value: Any) -> int:
    if not is_count(value):
        raise CheckpointError("load: the tar archive is damaged: a number is missing")
    return int(value)


def _three(value: Any) -> tuple[int, Any, Any]:
    if not isinstance(value, tuple) or len(value) != 3:
        raise CheckpointError("load: the tar archive is damaged: a description is missing")
    return _count(value[0]), value[1], value[2]


def _storage(objects: dict[int, Any], key: Any) -> TypedStorage:
    found = objects.get(key) if is_count(key) else None
    if not isinstance(found, TypedStorage):
        raise CheckpointError("load: the tar archive is damaged: a storage is missing")
    return found
