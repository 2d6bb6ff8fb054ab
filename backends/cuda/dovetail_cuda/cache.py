"""Compiling programs with NVRTC, and keeping them on disk for the next process.

NVRTC is called here rather than by CuPy's ``RawModule``, which would have numbers below the
smallest normal one flushed to zero. An entry (see ``dovetail_kernels.entries``) is named by a hash
of all that its content depends on: source, options, architecture, the compiler's version. A damaged
one is compiled again.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from dovetail_kernels import entries

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
    return Path(named) if named else entries.user_folder("cuda")


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
    found = entries.read(path, _MAGIC, _log)
    if found is None:
        found = cubin(source, options, arch)
        entries.write(path, _MAGIC, found, LIMIT, _log)
    else:
        entries.used(path)
    return found


def _name(source: str, options: tuple[str, ...], arch: str) -> str:
    from cupy_backends.cuda.libs import nvrtc

    words = (".".join(map(str, nvrtc.getVersion())), arch, " ".join(options), source)
    return hashlib.sha256("\0".join(words).encode()).hexdigest() + ".cubin"
