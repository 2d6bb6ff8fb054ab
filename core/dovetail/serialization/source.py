"""A file that is read at places, every read checked against the file's size."""

from __future__ import annotations

import mmap
import os
from typing import IO, Any

import numpy as np

from dovetail.errors import CheckpointError

__all__ = ["Cursor", "Source"]

_WINDOW = 1 << 16
_LINE = 1 << 16


class Source:
    """The bytes of a file, or of a file object, by their places.

    Args:
        file: opened for reading in binary; has ``read``, ``seek`` and ``tell``.

    Attributes:
        size: how many bytes there are.

    Raises:
        AttributeError: it has not.
    """

    def __init__(self, file: IO[bytes]) -> None:
        for method in ("read", "seek", "tell"):
            if not hasattr(file, method):
                raise AttributeError(
                    f"load: f must be a path or have the methods read, seek and tell, got "
                    f"{type(file).__name__}, which has no {method}; read it into io.BytesIO first"
                )
        self._file = file
        start = file.tell()
        self.size = file.seek(0, os.SEEK_END)
        file.seek(start)

    def place(self) -> int:
        """Where the file object itself stands."""
        return self._file.tell()

    def at(self, place: int, n: int) -> bytes:
        """``n`` bytes from ``place`` on.

        Raises:
            CheckpointError: the file ends before.
        """
        self._check(place, n)
        self._file.seek(place)
        data = self._file.read(n)
        while len(data) < n:  # an unbuffered file may give less than it has
            more = self._file.read(n - len(data))
            if not more:
                raise _truncated(place, n, self.size)
            data += more
        return data

    def into(self, place: int, array: np.ndarray) -> None:
        """Fill a flat uint8 array with the bytes from ``place`` on.

        Raises:
            CheckpointError: the file ends before.
        """
        self._check(place, array.nbytes)
        self._file.seek(place)
        read = getattr(self._file, "readinto", None)
        done = 0
        while done < array.nbytes:
            rest = array.data[done:]
            if read is None:
                data = self._file.read(min(len(rest), 1 << 20))
                n = len(data)
                rest[:n] = data
            else:
                n = read(rest) or 0
            if not n:
                raise _truncated(place, array.nbytes, self.size)
            done += n

    def mapped(self) -> np.ndarray:
        """The whole file in memory, private: pages are read when touched, writes stay here.

        Raises:
            CheckpointError: the file is empty.
        """
        if not self.size:
            raise CheckpointError("load: the file is empty")
        pages = mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_COPY)
        return np.frombuffer(pages, np.uint8)

    def leave_at(self, place: int) -> None:
        """Put the file object's own position at ``place``."""
        self._file.seek(place)

    def _check(self, place: int, n: int) -> None:
        if place < 0 or n < 0 or place + n > self.size:
            raise _truncated(place, n, self.size)


def _truncated(place: int, n: int, size: int) -> CheckpointError:
    return CheckpointError(
        f"load: the file is truncated or damaged: {n} bytes are wanted from byte {place} on, and "
        f"it has {size}"
    )


class Cursor:
    """Reads a part of a source from front to back, as pickles are read.

    Args:
        source: where from.
        place: the first byte.
        end: the byte after the last; the source's end when left out.
    """

    __slots__ = ("_at", "_end", "_first", "_source", "_window")

    def __init__(self, source: Source, place: int = 0, end: int | None = None) -> None:
        self._source = source
        self._end = source.size if end is None else end
        self._first = place  # of the window
        self._window = b""
        self._at = 0  # in the window

    @property
    def place(self) -> int:
        """The next byte's place in the source."""
        return self._first + self._at

    def byte(self) -> int:
        """The next byte.

        Raises:
            CheckpointError: there is none.
        """
        at = self._at
        if at == len(self._window):
            self._slide(1)
            at = 0
        self._at = at + 1
        return self._window[at]

    def take(self, n: int) -> bytes:
        """The next ``n`` bytes.

        Raises:
            CheckpointError: there are fewer.
        """
        at = self._at
        if at + n <= len(self._window):
            self._at = at + n
            return self._window[at : at + n]
        place = self.place
        if place + n > self._end:
            raise _truncated(place, n, self._end)
        if n < _WINDOW:
            self._slide(n)
            self._at = n
            return self._window[:n]
        self._first, self._window, self._at = place + n, b"", 0
        return self._source.at(place, n)

    def skip(self, n: int) -> None:
        """Pass over ``n`` bytes.

        Raises:
            CheckpointError: there are fewer.
        """
        place = self.place
        if n < 0 or place + n > self._end:
            raise _truncated(place, n, self._end)
        self._first, self._window, self._at = place + n, b"", 0

    def line(self) -> bytes:
        """The bytes up to the next newline, which is passed over; at most 65,536.

        Raises:
            CheckpointError: there is no newline so near.
        """
        found = self._window.find(b"\n", self._at)
        if found < 0:
            self._slide(0)
            found = self._window.find(b"\n")
            if found < 0:
                raise CheckpointError(
                    "load: the file is damaged: a line of its pickle does not end"
                )
        line = self._window[self._at : found]
        self._at = found + 1
        return line

    def _slide(self, n: int) -> None:
        """Have the window begin here, with at least ``n`` bytes."""
        place = self.place
        there = min(_WINDOW, self._end - place)
        if there < n:
            raise _truncated(place, n, self._end)
        self._first, self._at = place, 0
        self._window = self._source.at(place, there) if there else b""

    # What Python's unpickler asks of a file.

    def read(self, n: int = -1) -> bytes:
        """The next ``n`` bytes, or as many as there are."""
        there = self._end - self.place
        return self.take(there if n < 0 else min(n, there))

    def readline(self) -> bytes:
        """The next line with its newline."""
        return self.line() + b"\n"

    def readinto(self, target: Any) -> int:
        """Fill a buffer, as far as there are bytes; returns how many were."""
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)
