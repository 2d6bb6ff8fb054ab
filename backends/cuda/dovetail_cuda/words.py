"""OpenCL C's words in CUDA C++: the other spelling of the kernels of ``dovetail_kernels``.

Nearly everything is a macro or a type of ``words.cuh``; what a macro cannot say is rewritten here.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

__all__ = ["spelled"]

_VECTOR = re.compile(r"\((u?(?:char|short|int|long)|float|double)(2|4|8)\)\s*\(")
"""A vector made of its elements, ``(float2)(x, y)``; C++ would take the last of them."""

_LONG = re.compile(r"\b((?:0x)?[0-9a-fA-F]+)ul\b")
"""A constant of 64 bits, ``7ul``: of the type that ``ulong`` is here."""

_EVEN = re.compile(r"\.even\b")
"""A part of a vector that is a function here."""

_GLOBAL = re.compile(r"\bglobal\b")
"""What C++ pointers do not say. No macro: CUDA's own words are macros in which it stands."""

_EXTENSION = re.compile(r"^#pragma OPENCL .*$", re.MULTILINE)


@functools.cache
def _prelude() -> str:
    return (Path(__file__).parent / "words.cuh").read_text(encoding="utf-8")


def spelled(source: str) -> str:
    """A program's text in CUDA C++."""
    text = _VECTOR.sub(r"\1\2(", source)
    text = _EVEN.sub(".even()", _GLOBAL.sub("", text))
    text = _LONG.sub(r"\1ull", text)
    return _prelude() + _EXTENSION.sub("", text)
