"""What a program uses of ``opencl-c.h``, in place of all of it, for PoCL.

PoCL has its compiler read the declarations of all built-in functions, 0.9 MB, before each program:
most of what a small program costs. Under its guard the header is skipped, and its own text is put
before a program: the directives, and every overload of each function that the program names.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

__all__ = ["GUARDED", "POCL", "Declarations", "of_driver"]

POCL = "Portable Computing Language"
"""PoCL's name of its platform."""

GUARDED = "-D_OPENCL_H_"
"""The option that has the compiler skip the header."""

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_FUNCTION = re.compile(r"^[a-z_][^;#()]*?\b(\w+)\([^;#()]*\);\n", re.MULTILINE)
_GUARD = re.compile(r"^#(?:(?:ifndef|define) _OPENCL_H_|include .*)\n", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_]\w+")


class Declarations:
    """A header's text in parts, of which a program takes some."""

    def __init__(self, header: str) -> None:
        text = _GUARD.sub("", _COMMENT.sub("", header), 3).rstrip().removesuffix("#endif")
        self._parts: list[str] = []
        self._always: list[int] = []  # what declares no function
        self._functions: dict[str, list[int]] = defaultdict(list)
        end = 0
        for found in _FUNCTION.finditer(text):
            self._add(text[end : found.start()])
            end = found.end()
            self._functions[found[1]].append(len(self._parts))
            self._parts.append(found[0])
        self._add(text[end:])

    def _add(self, text: str) -> None:
        if text.strip():
            self._always.append(len(self._parts))
            self._parts.append(text.strip() + "\n")

    def before(self, source: str) -> str:
        """The program with what it uses before it; its lines are counted from its own first."""
        taken = list(self._always)
        for name in self._functions.keys() & set(_WORD.findall(source)):
            taken += self._functions[name]
        return "".join([*map(self._parts.__getitem__, sorted(taken)), "#line 1\n", source])


@functools.cache
def of_driver(platform: str) -> Declarations | None:
    """Those of the header that a platform's compiler reads; None where it is not known."""
    if platform != POCL:
        return None
    for library in _loaded("libpocl"):
        for folder in library.parents:
            header = folder / "share" / "pocl" / "include" / "opencl-c.h"
            if header.is_file():
                return Declarations(header.read_text(encoding="utf-8"))
    return None


def _loaded(name: str) -> Iterable[Path]:
    """The shared libraries of this process whose file begins so."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    paths = dict.fromkeys(Path(line.split(maxsplit=5)[5]) for line in lines if "/" in line)
    return (path for path in paths if path.name.startswith(name))
