"""Minimal filtering of one dim: the matrices by which a window of three taps takes fewer products,
and their text.

``m`` neighbouring outputs are ``A @ ((G @ w) * (B @ x))``, by the theorem of Cook and Toom: outputs
and taps are polynomials that are known by their values at some points, one of which is infinity
(Winograd, Arithmetic Complexity of Computations; Lavin and Gray, arXiv:1509.09308). With stride 2
the even elements of x see two taps, which are filtered so, and the odd ones a single tap, which
takes one product for each output anyway. The gradient of such a convolution for its input is alike:
of two neighbours one is reached by two taps, and the other by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

__all__ = ["Dim", "Way", "dim_of", "macros_of"]

SIDE = 4
"""Outputs of a whole tile that windows of two or three elements reach."""

Matrix = list[list[Fraction]]

POINTS = (Fraction(0), Fraction(1), Fraction(-1), Fraction(2), Fraction(-2))
"""In the order in which they are taken; a tile with fewer outputs has the first ones and infinity,
so that transformed filters serve both."""


class Way(NamedTuple):
    """What is done along a dim.

    Attributes:
        stride: of the windows.
        phase: None, or of a gradient for the input which of two neighbours two taps reach.
    """

    stride: int
    phase: int | None = None

    @property
    def side(self) -> int:
        """Outputs of a whole tile."""
        return SIDE if self.phase is None else 2 * SIDE

    @property
    def step(self) -> int:
        """Elements of the image from tile to tile."""
        return SIDE * self.stride if self.phase is None else SIDE


@dataclass(frozen=True)
class Dim:
    """One dim of a tile.

    Attributes:
        of_image: B, ``points`` by the elements that a tile sees.
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

    @property
    def sees(self) -> int:
        """Elements that a whole tile sees."""
        return len(self.of_image[0])


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
def dim_of(outputs: int, way: Way) -> Dim:
    """The dim of a tile of so many outputs, at most ``way.side``, and windows of three."""
    if way.stride == 1:
        return _filtered(outputs, 3)
    if way.phase is not None:
        return _spread(outputs, way.phase)
    even = _filtered(outputs, 2)
    size = even.points + SIDE
    image, filter, output = _zeros(size, size), _of_two_taps(even), _zeros(outputs, size)
    for i in range(even.points):
        image[i][: 2 * even.points : 2] = even.of_image[i]
        for k in range(outputs):
            output[k][i] = even.of_output[k][i]
    for k in range(outputs):
        image[even.points + k][2 * k + 1] = output[k][even.points + k] = Fraction(1)
    return Dim(image, filter, output, (*even.seen, *range(even.points, even.points + outputs)))


def _of_two_taps(even: Dim) -> Matrix:
    """G for the first tap and the last, and the one between on its own."""
    filter = _zeros(even.points + 1, 3)
    for i in range(even.points):
        filter[i][0::2] = even.of_filter[i]
    filter[-1][1] = Fraction(1)
    return filter


def _spread(outputs: int, phase: int) -> Dim:
    """The gradient for the input of windows with stride 2."""
    twos = sum(k % 2 == phase for k in range(outputs))
    even = _filtered(max(1, twos), 2)
    size, sees = even.points + SIDE, even.points
    image, output = _zeros(size, sees), _zeros(outputs, size)
    image[:sees] = even.of_image
    for k in range(SIDE):
        image[sees + k][k + 1 - phase] = Fraction(1)
    for k in range(outputs):
        if k % 2 == phase:
            output[k][:sees] = even.of_output[k // 2]
        else:
            output[k][sees + k // 2] = Fraction(1)
    seen = (*(even.seen if twos else ()), *range(sees, sees + outputs - twos))
    return Dim(image, _of_two_taps(even), output, seen)


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
def macros_of(ways: tuple[Way, Way], rest_y: int, rest_x: int) -> dict[str, Any]:
    """The macros by which ``src/winograd.cl`` knows all this.

    Args:
        ways: of lines, and of places in them.
        rest_y, rest_x: outputs of the last tile of a column, and of a line.
    """
    side = ways[0].side
    whole_y, whole_x = (dim_of(side, way) for way in ways)
    last_y, last_x = dim_of(rest_y, ways[0]), dim_of(rest_x, ways[1])
    output_y, output_x = (
        dim.of_output + _zeros(side - len(dim.of_output), dim.points) for dim in (last_y, last_x)
    )
    return {
        "SIDE": side,
        "STEP": ways[0].step,
        "SEEN": whole_y.sees,
        "POINTS": whole_y.points,
        "FILTER_POINTS": len(whole_y.of_filter),
        "HAS_POINT_Y(i)": f"({sum(1 << i for i in last_y.seen)} >> (i) & 1)",
        "HAS_POINT_X(i)": f"({sum(1 << i for i in last_x.seen)} >> (i) & 1)",
        "IMAGE_LINE(in, a, out, b)": _line(whole_x.of_image, range(whole_x.points)),
        "IMAGE_LAST_X(in, a, out, b)": _line(last_x.of_image, last_x.seen),
        "FILTER_LINE(in, a, out, b)": _line(whole_x.of_filter, range(len(whole_x.of_filter))),
        "OUTPUT_LINE(in, a, out, b)": _line(whole_x.of_output, range(side)),
        "OUTPUT_LAST_X(in, a, out, b)": _line(output_x, range(side)),
        "IMAGE_ROWS": _rows(whole_y.of_image),
        "IMAGE_ROWS_LAST": _rows(last_y.of_image),
        "OUTPUT_ROWS": _rows(whole_y.of_output),
        "OUTPUT_ROWS_LAST": _rows(output_y),
    }
