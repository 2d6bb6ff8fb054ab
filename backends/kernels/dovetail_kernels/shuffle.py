"""Transposing a few vectors in registers, as text."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["SHUFFLED", "can_transpose", "transposed", "woven_half"]

_LANES = "0123456789abcdef"

_SHUFFLED = """
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLED_{width}(a, b, {masks}) __builtin_shufflevector(a, b, {masks})
#else
#define SHUFFLED_{width}(a, b, {masks}) shuf##fle2(a, b, (uint{width})({masks}))
#endif
"""

_SHUFFLED_KINDS = {f"{kind}{n}" for kind in ("float", "int", "uint") for n in (4, 8, 16)}

_NO_BUILTINS = """
#ifndef __has_builtin
#define __has_builtin(name) 0
#endif
"""

SHUFFLED = _NO_BUILTINS + "".join(
    _SHUFFLED.format(width=n, masks=", ".join(f"m{i}" for i in range(n))) for n in (4, 8, 16)
)
"""A vector of elements of two vectors of 32 bits, which are numbered through both. Spelled out as
elements, a compiler looks through one shuffle to the next, and makes worse ones of them. The other
function's name is in two parts, so that nobody reads its declarations who has the first one."""


def can_transpose(rows: int, width: int) -> bool:
    """Whether so many vectors of so many elements can be."""
    return rows & (rows - 1) == 0 and 1 < rows <= width and width & (width - 1) == 0


def transposed(names: Sequence[str], width: int, kind: str) -> tuple[str, list[str]]:
    """(statements, names of the vectors that they make): element c of vector r becomes element
    ``c * rows + r`` of all of them one after another.

    Each stage weaves the first half of the vectors into the second, element by element; squares of
    32 bits go another way. :data:`SHUFFLED` must stand before them (``source.program`` sees to it).
    """
    if len(names) == width and width in (8, 16) and f"{kind}{width}" in _SHUFFLED_KINDS:
        return _square(names, f"{kind}{width}")
    statements, rows, vector = [], len(names), f"{kind}{width}"
    current = list(names)
    for stage in range(rows.bit_length() - 1):
        made = []
        for i in range(rows // 2):
            a, b = current[i], current[i + rows // 2]
            for half in (0, 1):
                name = f"{names[0]}_w{stage}_{2 * i + half}"
                statements.append(f"const {vector} {name} = {woven_half(vector, a, b, half)};")
                made.append(name)
        current = made
    return " ".join(statements), current


def woven_half(vector: str, a: str, b: str, half: int) -> str:
    """The first half (0) or the second (1) of two vectors woven: a0 b0 a1 b1 ..."""
    width = int(vector.lstrip("abcdefghijklmnopqrstuvwxyz"))
    first = half * width // 2
    if vector in _SHUFFLED_KINDS:
        masks = ", ".join(f"{i}, {width + i}" for i in range(first, first + width // 2))
        return f"SHUFFLED_{width}({a}, {b}, {masks})"
    lanes = _LANES[first : first + width // 2]
    return f"({vector})({', '.join(f'{a}.s{lane}, {b}.s{lane}' for lane in lanes)})"


def _square(names: Sequence[str], vector: str) -> tuple[str, list[str]]:
    """:func:`transposed` for 8 or 16 vectors of as many elements of 32 bits.

    By what processors have an instruction for, which needs no register for its pattern: elements
    are woven within each 16 bytes, and then these change places.
    """
    width, statements = len(names), list[str]()

    def picked(a: str, b: str, elements: Sequence[int]) -> str:
        """The name of a vector of some elements, which are numbered through both."""
        name, lanes = f"{names[0]}_q{len(statements)}", ", ".join(map(str, elements))
        statements.append(f"const {vector} {name} = SHUFFLED_{width}({a}, {b}, {lanes});")
        return name

    def halves(a: str, b: str, size: int) -> list[str]:
        """The first and the second half of each 16 bytes of both, ``size`` elements in turn."""
        return [
            picked(a, b, [
                begin + half * 2 + i + j
                for quarter in range(0, width, 4)
                for i in range(0, 2, size)
                for begin in (quarter, width + quarter)
                for j in range(size)
            ])
            for half in (0, 1)
        ]  # fmt: skip

    def sorted_quarters(vectors: list[str]) -> list[str]:
        """Vector i has quarter i of all of them."""
        if len(vectors) == 1:
            return vectors
        made: list[list[str]] = []
        for odd in (0, 4):
            picks = [4 * q + odd + i for q in range(0, width // 2, 2) for i in range(4)]
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            made.append(sorted_quarters([picked(a, b, picks) for a, b in pairs]))
        return [name for pair in zip(*made, strict=True) for name in pair]

    by_column: list[list[str]] = [[] for _ in range(4)]
    for first in range(0, width, 4):
        one, two, three, four = names[first : first + 4]
        for i, (a, b) in enumerate(zip(halves(one, two, 1), halves(three, four, 1), strict=True)):
            for j, name in enumerate(halves(a, b, 2)):
                by_column[2 * i + j].append(name)
    columns = zip(*map(sorted_quarters, by_column), strict=True)
    return " ".join(statements), [name for names in columns for name in names]
