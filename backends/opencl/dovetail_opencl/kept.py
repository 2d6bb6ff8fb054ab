"""What PoCL keeps of its compiled programs, where a process did not come to its end.

PoCL names an entry when it is written, so two processes do not meet; but what a machine lost when
it stopped, or a disk that was full, it loads as it is, and the process that does so is ended by the
system. So a process that opens such a device leaves a mark, which it takes away at its end. Where
one is left whose process is gone, entries that have been used since are looked at, and those that
are cut off are removed; the logger ``dovetail.opencl`` says so.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["MARKS", "begin", "is_cut", "pocl_folder"]

MARKS = "dovetail-open"
"""The marks' folder in PoCL's: a file for each process, named by its number."""

_log = logging.getLogger("dovetail.opencl")

_begun: set[int] = set()
"""Processes that have left their mark: this one, and those that it came of by forking."""


def pocl_folder() -> Path:
    """Where PoCL keeps what it compiles (its documentation: ``POCL_CACHE_DIR``; its source,
    ``pocl_cache.c``, for who has no home)."""
    named = os.environ.get("POCL_CACHE_DIR")
    if named:
        return Path(named)
    home = os.environ.get("HOME")
    base = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else "/tmp")
    return Path(base) / "pocl" / "kcache"


def begin(entries: Path) -> None:
    """Mend what processes left that did not come to their end, and leave this one's mark.

    Args:
        entries: PoCL's folder, where the marks are too; without a right to write there nothing is
            done.
    """
    process = os.getpid()
    if process in _begun:
        return
    _begun.add(process)
    marks = entries / MARKS
    try:
        marks.mkdir(parents=True, exist_ok=True)
        for mark in marks.iterdir():
            if mark.name.isdecimal() and _is_gone(int(mark.name)):
                with contextlib.suppress(FileNotFoundError):  # another process was first
                    _mend(mark, entries)
        mine = marks / str(process)
        mine.touch()
    except OSError as error:
        _log.debug("%s: no mark of this process: %s", marks, error)
        return
    atexit.register(_end, mine, process)


def _end(mine: Path, process: int) -> None:
    if os.getpid() == process:
        mine.unlink(missing_ok=True)


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _mend(mark: Path, entries: Path) -> None:
    """Remove the entries that were used since a mark was made and are cut off, and the mark."""
    since = mark.stat().st_mtime
    for program in list(_used(entries, since)):
        cut = next((p for p in program.rglob("*") if p.is_file() and is_cut(p)), None)
        if cut is not None:
            shutil.rmtree(program, ignore_errors=True)
            _log.warning("%s is cut off; %s is removed and will be compiled again", cut, program)
    mark.unlink(missing_ok=True)


def _used(entries: Path, since: float) -> Iterator[Path]:
    """PoCL's folders of programs, two letters of a hash and then the others."""
    for program in entries.glob("??/*"):
        used = program / "last_accessed"
        if not used.exists() or used.stat().st_mtime >= since - 1:
            yield program


def is_cut(path: Path) -> bool:
    """Whether a library or LLVM's bitcode ends before its own contents say; of others: no.

    Sources: System V ABI, "ELF Header"; LLVM Bitcode File Format, "Magic Numbers", "Blocks".
    """
    if path.suffix not in (".so", ".bc"):
        return False
    data, size = path.read_bytes(), path.stat().st_size
    if path.suffix == ".so":
        if size < 64:
            return True
        (sections,) = struct.unpack_from("<Q", data, 0x28)
        each, count = struct.unpack_from("<HH", data, 0x3A)
        return bool(data[:4] != b"\x7fELF" or sections + each * count > size)
    if data[:4] != b"BC\xc0\xde":
        return True
    at = 4
    while at < size:  # each block: its number, its abbreviations, and its length in words
        if at + 8 > size:
            return True
        at += 8 + 4 * struct.unpack_from("<I", data, at + 4)[0]
    return at != size
