"""Minimal filtering of one dim: the matrices by which a window of three taps takes fewer products,
and their text.

``m`` neighbouring outputs are ``A @ ((G @ w) * (B @ x))``, by the theorem of Cook and Toom: outputs
and taps are polynomials that are known by their values at some points, one of which is infinity
(Winograd, Arithmetic Complexity of Computations; Lavin and Gray, arXiv:1509.09308). With stride 2
the even elements of x see two taps, which are filtered so, and the odd ones a single tap, which
takes one product for each output anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

__all__ = ["SIDE", "Dim", "dim_of", "macros_of"]

SIDE = 4
"""Outputs of a whole tile."""

Matrix = list[list[Fraction]]

POINTS = (Fraction(0), Fraction(1), Fraction(-1), Fraction(2), Fraction(-2))
"""In the order in which they are taken; a tile with fewer outputs has the first ones and infinity,
so that transformed filters serve both."""


@dataclass(frozen=True)
class Dim:
    """One dim of a tile.

    Attributes:
        of_image: B, ``points`` by ``points``: a tile sees as many elements.
        of_filter: G, by 3; points after its last row have that row.
        of_output: A, outputs by ``points``.
        seen: numbers of the points that it has; rows and columns of others are zero.
    """

    of_image: Matrix
    of_filter: Matrix
    of_output: Matrix
    seen: tuple[int, ...]

    @property
    def points(self) -> int:
        """Points of a whole tile."""
        return len(self.of_image)


def _zeros(rows: int, columns: int) -> Matrix:
    return [[Fraction(0)] * columns for _ in range(rows)]


def _product(points: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the polynomial that is zero at these points."""
    made = [Fraction(1)]
    for a in points:
        made = [
            (made[k - 1] if k else 0) - a * (made[k] if k < len(made) else 0)
            for k in range(len(made) + 1)
        ]
    return [Fraction(c) for c in made]


def _scale(points: Sequence[Fraction], a: Fraction) -> Fraction:
    made = Fraction(1)
    for other in points:
        made *= a - other if other != a else 1
    return made


def _filtered(outputs: int, taps: int) -> Dim:
    """Stride 1: as many points as a tile of so many outputs sees elements, of those of a whole
    tile. Filters are scaled as for a whole one."""
    whole = POINTS[: SIDE + taps - 2]
    some = whole[: outputs + taps - 2]
    size = len(whole) + 1
    image, filter, output = _zeros(size, size), _zeros(size, taps), _zeros(outputs, size)
    for i, a in enumerate(whole):
        filter[i] = [a**t / _scale(whole, a) for t in range(taps)]
        if a in some:
            ratio = _scale(whole, a) / _scale(some, a)
            for k, c in enumerate(_product([other for other in some if other != a])):
                image[i][k] = c * ratio
            for k in range(outputs):
                output[k][i] = a**k
    filter[-1][-1] = output[-1][-1] = Fraction(1)
    for k, c in enumerate(_product(some)):
        image[-1][k] = c
    return Dim(image, filter, output, (*range(len(some)), size - 1))


@cache
def dim_of(outputs: int, stride: int) -> Dim:
    """The dim of a tile of so many outputs, at most :data:`SIDE`, and windows of three."""
    if stride == 1:
        return _filtered(outputs, 3)
    even = _filtered(outputs, 2)
    size = even.points + SIDE
    image, filter, output = _zeros(size, size), _zeros(even.points + 1, 3), _zeros(outputs, size)
    for i in range(even.points):
        image[i][: 2 * even.points : 2] = even.of_image[i]
        filter[i][0::2] = even.of_filter[i]
        for k in range(outputs):
            output[k][i] = even.of_output[k][i]
    filter[-1][1] = Fraction(1)
    for k in range(outputs):
        image[even.points + k][2 * k + 1] = output[k][even.points + k] = Fraction(1)
    return Dim(image, filter, output, (*even.seen, *range(even.points, even.points + outputs)))


def _sum(row: Sequence[Fraction]) -> str:
    """A row times x0, x1, ..."""
    terms = sorted(((k, c) for k, c in enumerate(row) if c), key=lambda term: term[1] != 1)
    text = ""
    for k, c in terms:
        if not text:
            text = f"x{k}" if c == 1 else f"(T){float(c)!r} * x{k}"
        elif abs(c) == 1:
            text = f"{text} {'+' if c > 0 else '-'} x{k}"
        else:
            text = f"fma((T){float(c)!r}, x{k}, {text})"
    return text or "(VECTOR)0"


def _count(row: Sequence[Fraction]) -> int:
    return sum(c != 0 for c in row)


def _line(matrix: Matrix, rows: Sequence[int]) -> str:
    """Statements for some rows of ``out = matrix @ in``, whose elements are ``a`` and ``b`` apart;
    neighbours that differ in the sign of some terms share what they have in common."""
    used = [k for k in range(len(matrix[0])) if any(matrix[i][k] for i in rows)]
    text = [f"const VECTOR x{k} = (in)[{k} * (a)];" for k in used]
    left = list(rows)
    while left:
        i = left.pop(0)
        if left:
            pairs = list(zip(matrix[i], matrix[left[0]], strict=True))
            same = [(p + q) / 2 for p, q in pairs]
            other = [(p - q) / 2 for p, q in pairs]
            if _count(same) + _count(other) + 2 < _count(matrix[i]) + _count(matrix[left[0]]):
                text.append(f"const VECTOR e{i} = {_sum(same)}, o{i} = {_sum(other)};")
                text.append(f"(out)[{i} * (b)] = e{i} + o{i};")
                text.append(f"(out)[{left.pop(0)} * (b)] = e{i} - o{i};")
                continue
        text.append(f"(out)[{i} * (b)] = {_sum(matrix[i])};")
    return "{ " + " ".join(text) + " }"


def _rows(matrix: Matrix) -> str:
    """A matrix as an initializer."""
    rows = (", ".join(f"(T){float(c)!r}" for c in row) for row in matrix)
    return "{ " + ", ".join(f"{{ {row} }}" for row in rows) + " }"


@cache
def macros_of(stride: int, rest_y: int, rest_x: int) -> dict[str, Any]:
    """The macros by which ``src/winograd.cl`` knows all this.

    Args:
        rest_y, rest_x: outputs of the last tile of a column, and of a line.
    """
    whole, last_y, last_x = (dim_of(n, stride) for n in (SIDE, rest_y, rest_x))
    output_y, output_x = (
        dim.of_output + _zeros(SIDE - len(dim.of_output), whole.points) for dim in (last_y, last_x)
    )
    return {
        "SIDE": SIDE,
        "POINTS": whole.points,
        "FILTER_POINTS": len(whole.of_filter),
        "HAS_POINT_Y(i)": f"({sum(1 << i for i in last_y.seen)} >> (i) & 1)",
        "HAS_POINT_X(i)": f"({sum(1 << i for i in last_x.seen)} >> (i) & 1)",
        "IMAGE_LINE(in, a, out, b)": _line(whole.of_image, range(whole.points)),
        "IMAGE_LAST_X(in, a, out, b)": _line(last_x.of_image, last_x.seen),
        "FILTER_LINE(in, a, out, b)": _line(whole.of_filter, range(len(whole.of_filter))),
        "OUTPUT_LINE(in, a, out, b)": _line(whole.of_output, range(SIDE)),
        "OUTPUT_LAST_X(in, a, out, b)": _line(output_x, range(SIDE)),
        "IMAGE_ROWS": _rows(whole.of_image),
        "IMAGE_ROWS_LAST": _rows(last_y.of_image),
        "FILTER_ROWS": _rows(whole.of_filter),
        "OUTPUT_ROWS": _rows(whole.of_output),
        "OUTPUT_ROWS_LAST": _rows(output_y),
    }
