"""Reading and writing the zip format: ``data.pkl``, and one entry per storage."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from dovetail.errors import CheckpointError
from dovetail.serialization.archive import ArchiveReader, ArchiveWriter, Entry
from dovetail.serialization.pickler import Pickled
from dovetail.serialization.reading import Reading, byteswap, storage_id
from dovetail.serialization.storages import TypedStorage, host_storage
from dovetail.storage import bytes_of

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["load_zip", "save_zip"]

_FORMAT = b"3\n"
"""The version of the archive; PyTorch reads 1 to 10."""
_WORTH_A_THREAD = 1 << 18
"""Bytes; a CRC of fewer takes less than 0.1 ms."""


def load_zip(reading: Reading, *, mmap: bool) -> Any:
    """The object in an archive.

    Args:
        reading: the file.
        mmap: whether storages are left in the file until their pages are touched.

    Raises:
        CheckpointError: the archive is damaged, or is none of a checkpoint.
    """
    archive = ArchiveReader(reading.source, reading.budget)
    if "constants.pkl" in archive:
        raise CheckpointError(
            "load: the file is a TorchScript archive, which is a program; dovetail reads what "
            "torch.save wrote: save the module's state_dict()"
        )
    order = archive.read("byteorder", 16).decode("latin-1") if "byteorder" in archive else "little"
    if order not in ("little", "big"):
        raise CheckpointError(f"load: the file is damaged: a byte order {order!r}")
    storages = _Storages(reading, archive, order, mmap)
    return reading.object(archive.cursor("data.pkl"), storages.persistent)


class _Storages:
    """The storages of one archive, each read once."""

    def __init__(self, reading: Reading, archive: ArchiveReader, order: str, mmap: bool) -> None:
        self._reading = reading
        self._archive = archive
        self._order = order
        self._pages = archive.source.mapped() if mmap and not reading.to_meta else None
        self._loaded: dict[str, TypedStorage] = {}

    def persistent(self, identity: Any) -> TypedStorage:
        """The storage behind a persistent id."""
        kind, key, location, numel = storage_id(identity, 5)
        key = str(key)
        found = self._loaded.get(key)
        if found is not None:
            return found
        entry = self._archive.entry(f"data/{key}")
        if entry.size != numel * kind.dtype.itemsize:
            raise CheckpointError(
                f"load: the file is damaged: storage {key!r} has {entry.size} bytes, and "
                f"{numel} elements of {kind.dtype} are said to be in it"
            )

        def fill(data: np.ndarray) -> None:
            self._archive.into(f"data/{key}", data)
            byteswap(data, kind.dtype, self._order)

        self._reading.budget.spend(800)
        if self._pages is not None:
            storage = host_storage(self._mapped(entry, kind))
        else:
            storage = self._reading.storage(entry.size, fill)
        if not self._reading.to_meta:
            storage = self._reading.place(storage, location)
        self._loaded[key] = made = TypedStorage(storage, kind.dtype)
        return made

    def _mapped(self, entry: Entry, kind: Any) -> np.ndarray:
        assert self._pages is not None
        data = self._pages[entry.place : entry.place + entry.size]
        if entry.place % kind.dtype.itemsize:  # kernels want elements at their multiples
            data = data.copy()
        byteswap(data, kind.dtype, self._order)
        return data


def _summed(arrays: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, int | None]]:
    """Each with its CRC, which is computed on another thread while the one before is written.

    A CRC stands before the bytes that it is of, and takes a third of the time of writing them.
    """
    worker: ThreadPoolExecutor | None = None
    waiting: tuple[np.ndarray, Future[int] | None] | None = None
    try:
        for data in arrays:
            sum_of: Future[int] | None = None
            if data.nbytes >= _WORTH_A_THREAD:
                if worker is None:
                    from concurrent.futures import ThreadPoolExecutor

                    worker = ThreadPoolExecutor(1, "dovetail-crc")
                sum_of = worker.submit(zlib.crc32, data.data)
            if waiting is not None:
                yield waiting[0], None if waiting[1] is None else waiting[1].result()
            waiting = data, sum_of
        if waiting is not None:
            yield waiting[0], None if waiting[1] is None else waiting[1].result()
    finally:
        if worker is not None:
            worker.shutdown()


def save_zip(pickled: Pickled, file: IO[bytes], *, byteorder: bool) -> None:
    """Write an object as an archive; the storages one after the other."""
    archive = ArchiveWriter(file)
    archive.add("data.pkl", pickled.data)
    if byteorder:
        archive.add("byteorder", sys.byteorder.encode())
    storages = (bytes_of(saved.storage) for saved in pickled.storages.values())
    for key, (data, crc) in zip(pickled.storages, _summed(storages), strict=True):
        archive.add(f"data/{key}", data, crc)
    archive.add("version", _FORMAT)
    archive.finish()
