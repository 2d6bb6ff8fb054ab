"""NVRTC, NVIDIA's compiler at run time, by ctypes: it needs neither a GPU nor a driver."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
from pathlib import Path
from typing import Any

__all__ = ["PACKAGES", "CompileError", "compiled", "library"]

PACKAGES = {13: "nvidia-cuda-nvrtc", 12: "nvidia-cuda-nvrtc-cu12"}
"""By CUDA's major version, the package that has the compiler."""


class CompileError(Exception):
    """The compiler's log."""


@functools.cache
def library(major: int) -> ctypes.CDLL | None:
    """The compiler of a version of CUDA; None where its package is not installed."""
    try:
        files = importlib.metadata.files(PACKAGES[major]) or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        path = Path(str(file.locate()))
        if file.name == f"libnvrtc.so.{major}" and path.exists():
            return ctypes.CDLL(str(path))
    return None


def compiled(nvrtc: ctypes.CDLL, text: str, options: tuple[str, ...]) -> bytes:
    """The machine code of a program, or PTX for a virtual architecture. Other threads go on.

    Raises:
        CompileError: the compiler refuses.
    """
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None)
    try:
        words = [option.encode() for option in options]
        given = (ctypes.c_char_p * len(words))(*words)
        if nvrtc.nvrtcCompileProgram(program, len(words), given):
            log = _read(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
            raise CompileError(log.decode(errors="replace"))
        if any("=compute_" in option for option in options):
            return _read(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program)
        return _read(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _read(size_of: Any, get: Any, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    size_of(program, ctypes.byref(size))
    room = ctypes.create_string_buffer(max(1, size.value))
    get(program, room)
    return room.raw[: size.value]
