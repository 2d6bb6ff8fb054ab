"""Files that are never half written."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

__all__ = ["MissingFolder", "opened_for_writing", "replacing"]


class MissingFolder(FileNotFoundError, RuntimeError):
    """The folder of a file that is to be written is not there."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to in place of ``path``, which it becomes in one step on success.

    A reader, or a program that is killed, sees the old file or the new one, never a part. The
    bytes are on the disk before the name is: this holds for a loss of power too.

    Raises:
        MissingFolder: there is no such folder; an OSError, and PyTorch's RuntimeError.
        OSError: the folder or the disk refuses; ``path`` is as it was.
    """
    target = Path(os.path.realpath(path))  # through a link: the link stays
    if not target.parent.is_dir():
        raise MissingFolder(f"Parent directory {target.parent} does not exist.")
    partial = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        yield partial
        with contextlib.suppress(FileNotFoundError):
            os.chmod(partial, os.stat(target).st_mode & 0o7777)
        _flush(partial, os.O_RDWR)
        os.replace(partial, target)
        if os.name == "posix":
            _flush(target.parent, os.O_RDONLY)
    finally:
        partial.unlink(missing_ok=True)


def _flush(path: Path, flags: int) -> None:
    """Have the system put a file, or the names of a folder, on the disk."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def opened_for_writing(f: Any) -> Iterator[IO[bytes]]:
    """A file object to write to: ``f`` itself, or the file at a path, replaced on success.

    Raises:
        AttributeError: neither a path nor something with ``write``.
        MissingFolder: there is no such folder.
        OSError: the file cannot be written.
    """
    if not isinstance(f, (str, os.PathLike)):
        if not hasattr(f, "write"):
            raise AttributeError(
                f"save: f must be a path or have a method write, got {type(f).__name__}"
            )
        yield f
        if hasattr(f, "flush"):
            f.flush()
    elif os.path.exists(f) and not os.path.isfile(f):  # a pipe, a terminal: nothing to replace
        with open(f, "wb") as file:
            yield file
    else:
        with replacing(f) as partial, open(partial, "xb") as file:
            yield file
            file.flush()
