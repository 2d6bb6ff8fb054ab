"""Transposing a few vectors in registers, as text."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["can_transpose", "transposed", "woven_half"]

_LANES = "0123456789abcdef"


def can_transpose(rows: int, width: int) -> bool:
    """Whether so many vectors of so many elements can be."""
    return rows & (rows - 1) == 0 and 1 < rows <= width and width & (width - 1) == 0


def transposed(names: Sequence[str], width: int, kind: str) -> tuple[str, list[str]]:
    """(statements, names of the vectors that they make): element c of vector r becomes element
    ``c * rows + r`` of all of them one after another.

    Each stage weaves the first half of the vectors into the second, element by element.
    """
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
    lanes = _LANES[half * width // 2 : (half + 1) * width // 2]
    return f"({vector})({', '.join(f'{a}.s{lane}, {b}.s{lane}' for lane in lanes)})"
