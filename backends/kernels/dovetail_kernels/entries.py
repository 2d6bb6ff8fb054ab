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
from pathlib import Path

__all__ = ["read", "trim", "used", "write"]


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


def write(path: Path, magic: bytes, content: bytes, limit: int, log: logging.Logger) -> None:
    """Keep an entry, and no more than ``limit`` bytes with its like; ``log`` hears why not."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(handle, "wb") as file:
            file.write(magic + hashlib.sha256(content).digest() + content)
        os.replace(name, path)
        trim(path.parent, f"*{path.suffix}", limit)
    except OSError as error:
        log.debug("%s cannot be written (%s)", path, error)


def trim(folder: Path, pattern: str, limit: int) -> None:
    """Remove the entries that were not used longest, until all take ``limit`` bytes at most."""
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
