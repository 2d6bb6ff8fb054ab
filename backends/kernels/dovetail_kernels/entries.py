"""Compiled programs in a folder: each a file with a checksum, whole or not there.

A file is written beside its place and then renamed, so that a reader sees a whole entry or none,
and of two processes that write the same entry either wins.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import time
from pathlib import Path

__all__ = ["place", "read", "trim", "used", "user_folder", "write"]

BESIDE = ".new-"
"""What the name of a file that is being written begins with."""

ABANDONED = 3600.0
"""Seconds after which nobody is at such a file: who was has been killed."""


def user_folder(name: str) -> Path | None:
    """``dovetail/NAME`` in the user's cache; None where the user has no home.

    Source: XDG Base Directory Specification, for which a relative path counts as none.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    except RuntimeError:  # a number for a user, without a name, as in containers
        return None
    return base / "dovetail" / name


def read(path: Path, magic: bytes, log: logging.Logger) -> bytes | None:
    """What was written, or None where there is nothing whole; ``log`` hears why."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.debug("%s cannot be read (%s); compiled from source", path, error)
        return None
    head = len(magic) + 32
    content = data[head:]
    if data[:head] != magic + hashlib.sha256(content).digest():
        log.debug("%s is damaged (%d bytes); compiled from source", path, len(data))
        return None
    return content


def used(path: Path) -> None:
    """Note that an entry served, so that it is not the next to go."""
    with contextlib.suppress(OSError):  # a folder that cannot be written serves all the same
        os.utime(path)


def place(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=BESIDE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:  # a full disk, or a program that is interrupted
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def write(path: Path, magic: bytes, content: bytes, limit: int, log: logging.Logger) -> None:
    """Keep an entry, and no more than ``limit`` bytes with its like; ``log`` hears why not."""
    try:
        place(path, magic + hashlib.sha256(content).digest() + content)
        trim(path.parent, f"*{path.suffix}", limit)
    except OSError as error:
        log.debug("%s cannot be written (%s)", path, error)


def trim(folder: Path, pattern: str, limit: int) -> None:
    """Remove the entries that were not used longest, until all take ``limit`` bytes at most; and
    what was never written to its end."""
    for path in folder.glob(f"{BESIDE}*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - ABANDONED:
                path.unlink()
    entries = []
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # another process removed it
            found = path.stat()
            entries.append((found.st_mtime, found.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= size
