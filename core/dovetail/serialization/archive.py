"""The zip archives that checkpoints are: nothing compressed, every entry aligned.

Source: PKWARE's APPNOTE 6.3 (the layout of zip files), and PyTorch's ``caffe2/serialize``: entries
lie under one folder, and padding in an extra field ``FB`` has their data begin at a multiple of 64.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO, NamedTuple

import numpy as np

from dovetail.errors import CheckpointError
from dovetail.serialization.limits import Budget
from dovetail.serialization.source import Cursor, Source

__all__ = ["ALIGNMENT", "ArchiveReader", "ArchiveWriter", "Entry"]

ALIGNMENT = 64
FOLDER = "archive"
NO_32 = 0xFFFFFFFF
"""In a 32-bit field: the number is in the 64-bit extra field."""
NO_16 = 0xFFFF
LARGE = NO_32
"""From this number on, sizes and places are written into 64-bit fields."""

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LONGEST_COMMENT = 0xFFFF
_PART = 1 << 16
_COST = 500  # of one entry in memory


class Entry(NamedTuple):
    """One file of an archive: where its bytes are, how many, and their CRC (0: not computed)."""

    name: str
    place: int
    size: int
    crc: int


class _Listed(NamedTuple):
    """An entry as the central directory has it."""

    name: bytes
    header: int
    size: int
    crc: int


class ArchiveReader:
    """The entries of an archive, by their names below its one folder.

    Every entry is checked before any is read: not compressed, not encrypted, inside the file, not
    over another, and a name that stays in the folder.

    Raises:
        CheckpointError: it is not such an archive.
    """

    def __init__(self, source: Source, budget: Budget) -> None:
        self.source = source
        self.entries: dict[str, Entry] = {}
        directory, size, count = _find_directory(source)
        budget.spend(count * _COST)
        listed = _read_directory(source.at(directory, size), count)
        folder = ""
        end = 0
        for item in sorted(listed, key=lambda item: item.header):
            entry = _located(source, item, directory)
            if item.header < end:
                raise _damaged(f"entry {entry.name!r} lies over another")
            end = entry.place + entry.size
            first, _, name = entry.name.partition("/")
            folder = folder or first
            if not name or first != folder:
                raise _damaged(f"entry {entry.name!r} is not in the folder {folder!r}")
            if name in self.entries:
                raise _damaged(f"entry {entry.name!r} is there twice")
            self.entries[name] = entry

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def entry(self, name: str) -> Entry:
        """One entry.

        Raises:
            CheckpointError: there is none of that name.
        """
        found = self.entries.get(name)
        if found is None:
            raise _damaged(f"there is no entry {name!r}")
        return found

    def read(self, name: str, at_most: int) -> bytes:
        """The bytes of a short entry."""
        entry = self.entry(name)
        if entry.size > at_most:
            raise _damaged(f"entry {name!r} has {entry.size} bytes, at most {at_most} make sense")
        data = self.source.at(entry.place, entry.size)
        _check(entry, data)
        return data

    def cursor(self, name: str) -> Cursor:
        """The bytes of an entry from front to back."""
        entry = self.entry(name)
        end, crc = entry.place + entry.size, 0
        for place in range(entry.place, end, _PART):
            crc = zlib.crc32(self.source.at(place, min(_PART, end - place)), crc)
        _compare(entry, crc)
        return Cursor(self.source, entry.place, end)

    def into(self, name: str, array: np.ndarray) -> None:
        """Fill a flat uint8 array of the entry's size."""
        entry = self.entry(name)
        self.source.into(entry.place, array)
        _check(entry, array)


def _damaged(what: str) -> CheckpointError:
    return CheckpointError(f"load: the archive is damaged or not a checkpoint: {what}")


def _check(entry: Entry, data: bytes | np.ndarray) -> None:
    if entry.crc:
        _compare(entry, zlib.crc32(_view(data)))


def _view(data: bytes | np.ndarray) -> memoryview:
    return memoryview(data) if isinstance(data, bytes) else data.data


def _compare(entry: Entry, crc: int) -> None:
    if entry.crc not in (0, crc):
        raise _damaged(f"the bytes of entry {entry.name!r} have changed (their CRC is another)")


def _find_directory(source: Source) -> tuple[int, int, int]:
    """Place, size and number of entries of the central directory."""
    tail = min(source.size, _END.size + _LONGEST_COMMENT)
    start = source.size - tail
    data = source.at(start, tail)
    found = data.rfind(b"PK\5\6")
    if found < 0 or len(data) - found < _END.size:
        raise _damaged("its end is missing; the file is truncated")
    _, disk, first, here, count, size, place, _ = _END.unpack_from(data, found)
    end = start + found
    if NO_16 in (disk, first, here, count) or NO_32 in (size, place):
        locator = end - _LOCATOR.size
        sign, _, far, _ = _LOCATOR.unpack(source.at(locator, _LOCATOR.size))
        if sign != b"PK\6\7":
            raise _damaged("its 64-bit end is missing")
        fields = _END_64.unpack(source.at(far, _END_64.size))
        if fields[0] != b"PK\6\6":
            raise _damaged("its 64-bit end is missing")
        disk, first, here, count, size, place = fields[4:]
        end = far
    if disk or first or here != count:
        raise _damaged("it is one part of several")
    if place + size > end or count * _CENTRAL.size > size:
        raise _damaged("its directory does not fit into it")
    return place, size, count


def _read_directory(data: bytes, count: int) -> list[_Listed]:
    listed = []
    at = 0
    for _ in range(count):
        if at + _CENTRAL.size > len(data):
            raise _damaged("its directory ends early")
        fields = _CENTRAL.unpack_from(data, at)
        sign, flags, method, crc, packed, size = (fields[i] for i in (0, 3, 4, 7, 8, 9))
        of_name, of_extra, of_comment, header = (fields[i] for i in (10, 11, 12, 16))
        at += _CENTRAL.size
        name = data[at : at + of_name]
        extra = data[at + of_name : at + of_name + of_extra]
        at += of_name + of_extra + of_comment
        if sign != b"PK\1\2":
            raise _damaged("its directory ends early")
        if NO_32 in (packed, size, header):
            size, packed, header = _wide(extra, size, packed, header)
        if flags & 1:
            raise _damaged(f"entry {_text(name)!r} is encrypted")
        if method or packed != size:
            raise _damaged(
                f"entry {_text(name)!r} is compressed, which checkpoints never are; unpack the "
                "archive and pack it again without compression if you trust it"
            )
        listed.append(_Listed(name, header, size, crc))
    return listed


def _wide(extra: bytes, *fields: int) -> list[int]:
    """Fields of the directory, those that did not fit taken from the 64-bit extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, n = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = iter(extra[at + 4 + 8 * i : at + 12 + 8 * i] for i in range(n // 8))
            return [int.from_bytes(next(wide, b""), "little") if f == NO_32 else f for f in fields]
        at += 4 + n
    raise _damaged("a 64-bit size is missing in its directory")


def _located(source: Source, item: _Listed, directory: int) -> Entry:
    """The entry behind one line of the directory, its own header agreeing."""
    if item.header + _LOCAL.size + len(item.name) > directory:
        raise _damaged(f"entry {_text(item.name)!r} lies outside")
    raw = source.at(item.header, _LOCAL.size + len(item.name))
    sign, *_, of_name, of_extra = _LOCAL.unpack_from(raw)
    if sign != b"PK\3\4" or of_name != len(item.name) or raw[_LOCAL.size :] != item.name:
        raise _damaged(f"entry {_text(item.name)!r} is not where the directory says")
    place = item.header + _LOCAL.size + of_name + of_extra
    if place + item.size > directory:
        raise _damaged(f"entry {_text(item.name)!r} lies outside")
    name = _text(item.name)
    if "\\" in name or "\0" in name or name.startswith("/") or ".." in name.split("/"):
        raise _damaged(f"entry {name!r} has a name that leaves its folder")
    return Entry(name, place, item.size, item.crc)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _short(number: int) -> int:
    """What goes into a 32-bit field."""
    return number if number < LARGE else NO_32


class ArchiveWriter:
    """Writes an archive from front to back; the file need not be seekable.

    Args:
        file: has ``write``.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._written = 0
        self._listed: list[_Listed] = []

    def add(self, name: str, data: bytes | np.ndarray, crc: int | None = None) -> None:
        """Write one entry.

        Args:
            name: below the folder.
            data: bytes, or a flat uint8 array.
            crc: its CRC-32, where that is known.
        """
        path = f"{FOLDER}/{name}".encode()
        size = len(data)
        if crc is None:
            crc = zlib.crc32(_view(data))
        extra = b"" if size < LARGE else struct.pack("<2H2Q", 1, 16, size, size)
        begin = self._written + _LOCAL.size + len(path) + len(extra) + 4
        extra += struct.pack("<2s", b"FB") + struct.pack("<H", -begin % ALIGNMENT)
        extra += bytes(-begin % ALIGNMENT)
        short = _short(size)
        header = _LOCAL.pack(b"PK\3\4", 45, 0, 0, 0, 0, crc, short, short, len(path), len(extra))
        self._listed.append(_Listed(path, self._written, size, crc))
        self._write(header + path + extra)
        self._write(data)

    def finish(self) -> None:
        """Write the directory."""
        place = self._written
        for name, header, size, crc in self._listed:
            wide = [size, size] * (size >= LARGE) + [header] * (header >= LARGE)
            extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
            short = _short(size)
            versions = (45, 45, 0, 0, 0, 0)
            fields = (len(name), len(extra), 0, 0, 0, 0, _short(header))
            self._write(_CENTRAL.pack(b"PK\1\2", *versions, crc, short, short, *fields))
            self._write(name + extra)
        size, count = self._written - place, len(self._listed)
        if place >= LARGE or size >= LARGE or count >= NO_16:
            end = self._written
            numbers = (count, count, size, place)
            self._write(_END_64.pack(b"PK\6\6", _END_64.size - 12, 45, 45, 0, 0, *numbers))
            self._write(_LOCATOR.pack(b"PK\6\7", 0, end, 1))
        n = min(count, NO_16)
        self._write(_END.pack(b"PK\5\6", 0, 0, n, n, _short(size), _short(place), 0))

    def _write(self, data: bytes | np.ndarray) -> None:
        view = _view(data)
        while len(view):  # an unbuffered file may take less than it is given
            n = self._file.write(view)
            n = len(view) if n is None else n
            view = view[n:]
            self._written += n
