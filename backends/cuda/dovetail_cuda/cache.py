"""Compiling programs with NVRTC, and keeping them on disk for the next process.

NVRTC is called here rather than by CuPy's ``RawModule``, which would have numbers below the
smallest normal one flushed to zero. An entry is a file, named by a hash of all that its content
depends on: source, options, architecture, the compiler's version. It is written beside its place
and then renamed, so that a reader sees a whole entry or none; a damaged one is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from pathlib import Path

__all__ = ["VARIABLE", "CompileError", "compiled", "cubin", "folder"]

VARIABLE = "DOVETAIL_CUDA_CACHE"
"""``0``: keep no programs on disk; else the folder for them."""

LIMIT = 256 << 20
"""Bytes of all entries together, past which those that were not used longest are removed."""

_MAGIC = b"dovetail-cuda-1\n"
_log = logging.getLogger("dovetail.cuda")


class CompileError(RuntimeError):
    """The compiler refuses a program; the text is its log."""


def folder() -> Path | None:
    """Where programs are kept: what the variable names, else ``dovetail/cuda`` in the user's cache;
    None where they are not."""
    named = os.environ.get(VARIABLE, "")
    if named == "0":
        return None
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dovetail" / "cuda"


def cubin(source: str, options: tuple[str, ...], arch: str) -> bytes:
    """Machine code for an architecture such as ``sm_90``.

    Raises:
        CompileError: the compiler refuses.
    """
    from cupy_backends.cuda.libs import nvrtc

    program = nvrtc.createProgram(source, "kernels.cu", (), ())
    try:
        nvrtc.compileProgram(program, (f"-arch={arch}", *options))
        code: bytes = nvrtc.getCUBIN(program)
        return code
    except nvrtc.NVRTCError as error:
        raise CompileError(f"{error}\n{nvrtc.getProgramLog(program)}") from error
    finally:
        nvrtc.destroyProgram(program)


def compiled(source: str, options: tuple[str, ...], arch: str) -> bytes:
    """Machine code from disk or from the compiler.

    Raises:
        CompileError: the compiler refuses.
    """
    where = folder()
    if where is None:
        return cubin(source, options, arch)
    path = where / _name(source, options, arch)
    found = _from_disk(path)
    if found is None:
        found = cubin(source, options, arch)
        _to_disk(path, found)
    return found


def _name(source: str, options: tuple[str, ...], arch: str) -> str:
    from cupy_backends.cuda.libs import nvrtc

    words = (".".join(map(str, nvrtc.getVersion())), arch, " ".join(options), source)
    return hashlib.sha256("\0".join(words).encode()).hexdigest() + ".cubin"


def _from_disk(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    head = len(_MAGIC) + 32
    code = data[head:]
    if data[:head] != _MAGIC + hashlib.sha256(code).digest():
        _log.debug("%s is damaged (%d bytes); compiled from source", path, len(data))
        return None
    with contextlib.suppress(OSError):  # a folder that cannot be written serves all the same
        os.utime(path)
    return code


def _to_disk(path: Path, code: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(code).digest() + code)
        os.replace(name, path)
    except OSError as error:
        _log.debug("%s cannot be written (%s)", path, error)
        return
    _trim(path.parent)


def _trim(where: Path) -> None:
    entries = []
    for path in where.glob("*.cubin"):
        with contextlib.suppress(FileNotFoundError):  # another process removed it
            found = path.stat()
            entries.append((found.st_mtime, found.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= LIMIT:
            return
        path.unlink(missing_ok=True)
        total -= size
