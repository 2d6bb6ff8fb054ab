"""How a reduction goes through memory: in what steps, and which elements are folded side by side.

The host's cores should read memory in its order, and in vectors. The lanes of a vector are elements
of an outer loop: neighbours, or lines that are turned in registers, four elements of each at once.
Two steps are made where the first inner loop is the farthest apart and the others are kept for the
second one, or where narrow rows of a matrix are seen as fewer wide ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from dovetail.backend import Loops
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.arrays import dense_strides, joined
from dovetail_kernels.device import Device
from dovetail_kernels.folds import accumulated
from dovetail_kernels.vectors import lanes

__all__ = [
    "COLUMNS",
    "WIDE",
    "Split",
    "Ways",
    "aligned",
    "is_by_columns",
    "is_dense",
    "side_macros",
    "split_of",
    "whole",
]

COLUMNS = 64
"""Neighbouring outer elements that are worth no thought of others."""

ALIGNED = 64
"""Elements that parts begin at a multiple of, so that no vector lies in two lines of a cache."""

WIDE = 4096
"""Bytes of what is kept of neighbouring outer elements: it stays in the nearest cache."""

NEAR = 1 << 10
"""Bytes of neighbouring outer elements that a work item reads at once, at least: of less, what a
processor fetches beforehand is mostly another's."""

LANES = 16
"""Rows that are seen as one are as many as make vectors of so many lanes, at least."""

USED = 0.6
"""Of the lanes of vectors, how many must be used for lines to be turned."""

BLOCK = 128
"""Elements of a small block: as many vectors stay in the nearest cache."""

LARGE = 1 << 16
"""Elements of a run that are a part: work items should have equally many."""

MUCH = 1 << 12
"""Elements of a reduction that is worth more than one way."""

AGAIN = 1 << 18
"""Elements of a reduction of rows of :data:`COLUMNS` and more that is worth a second launch."""

TURNED = 1 << 15
"""Bytes of lines side by side: they stay in the nearest cache."""

NEXT = (2, 3, 4)
"""Elements from lane to lane, of which vectors are picked out of vectors."""


class Ways(NamedTuple):
    """What suits a reduction.

    Attributes:
        few: elements that one of the first step is made of, at least, where there are two.
        wide: bytes of a row that narrow ones are woven to, about.
        long: elements of a run of neighbours that vectors go along, not across.
        ordered: whether the inner elements have an order.
        alone: elements of a run that is folded at once, be others far from it.
        short: elements of a line of neighbours that is turned whole, where lines are.
    """

    few: int
    wide: int
    long: int
    ordered: bool = False
    alone: int = 1 << 62
    short: int = 0


@dataclass(frozen=True)
class Split:
    """A reduction in one or two steps, by the loops (outer, inner) of each.

    The outer loops have strides of what is written, the input's last.

    Attributes:
        first: from the input to the output, or to scratch.
        rest: the loops of what that comes to, if each of its elements is folded in so many parts.
        lanes: what is side by side: ``near``, elements of the last outer loop that are neighbours;
            ``few``, fewer of them than a vector has lanes; ``turned``, elements of the last outer
            loop that are not neighbours; ``blocks``, elements of the outer loop before, which are
            small blocks of the others; nothing: each outer element by itself.
        several: how many narrow rows of ``narrow`` elements are seen as one.
        extra: how many elements of it have one inner element more.
        is_apart: what the first step comes to is folded once more, be it in one part.
    """

    first: tuple[Loops, Loops]
    rest: Callable[[int], tuple[Loops, Loops]]
    lanes: str = ""
    several: int = 1
    narrow: int = 1
    extra: int = 0
    is_apart: bool = False

    @property
    def at(self) -> int:
        """Which outer loop is side by side."""
        return -2 if self.lanes == "blocks" else -1

    @property
    def walked(self) -> Loops:
        """The outer loops that places are made by."""
        outer = self.first[0]
        if not self.lanes:
            return outer
        return Loops(outer.shape[: self.at], tuple(row[: self.at] for row in outer.strides))

    def _most(self, width: int, itemsize: int) -> int:
        """How many elements of the last outer loop a work item takes at most."""
        most = WIDE // itemsize
        if self.lanes in ("near", "few"):
            return most
        line = abs(self.first[0].strides[-1][self.at]) * itemsize
        return min(most, max(width, TURNED // max(1, line) // width * width))

    def parts(self, device: Device, width: int, itemsize: int) -> int:
        """In how many parts the inner elements are folded, to keep the device busy."""
        outer, inner = self.first
        lines = outer.numel
        if self.lanes:
            each = NEAR // itemsize if self.lanes == "near" else self._most(width, itemsize)
            lines = lines // outer.shape[-1] * -(-outer.shape[-1] // each)
        parts = min(-(-device.units * 4 // lines), inner.numel // 2048)
        return parts if self.lanes else max(parts, inner.numel // LARGE)

    def span(self, device: Device, width: int, itemsize: int, parts: int) -> int:
        """How many elements of the last outer loop a work item takes."""
        outer, _ = self.first
        side, shares = (4 * width, 4) if self.lanes == "near" else (width, 16)
        wanted = -(-outer.numel * parts // (device.units * shares))
        span = min(-(-wanted // side) * side, self._most(width, itemsize))
        blocks = -(-outer.shape[self.at] // span)  # which should be equally large
        return -(-outer.shape[self.at] // (blocks * width)) * width

    def numbers(self, span: int) -> tuple[Any, int, int]:
        """(A kernel's argument ``side``, how many outer elements there are, of which a block is
        one, and how many work items for one part)."""
        outer, inner = self.first
        width, steps = outer.shape[self.at], [row[self.at] for row in outer.strides]
        columns = outer.shape[-1] if self.lanes == "blocks" else 1
        extents = [
            (n - 1) * max(0, s)
            for loops in self.first
            for n, s in zip(loops.shape, loops.strides[-1], strict=True)
        ]
        run = (inner.shape[-1], inner.strides[0][-1] % 2**64) if inner.shape else (1, 0)
        several, narrow = self.several, self.narrow
        if self.lanes == "blocks":
            several, narrow, run = inner.numel, columns, (inner.numel * columns, 1)
        values = [
            width, steps[0], steps[-2], steps[-1] % 2**64, span, several, narrow, self.extra,
            sum(extents) + 1, *run, outer.strides[0][-1], outer.strides[-2][-1],
        ]  # fmt: skip
        count = outer.numel // columns
        return joined(values, 16, np.uint64), count, count // width * -(-width // span)


def aligned(chunk: int) -> int:
    """The elements of a part: where there are many, a multiple of :data:`ALIGNED`."""
    return -(-chunk // ALIGNED) * ALIGNED if chunk > 16 * ALIGNED else chunk


def whole(outer: Loops, inner: Loops, lanes: str = "") -> Split:
    """All of an outer element in parts, which lie together in scratch."""

    def rest(parts: int) -> tuple[Loops, Loops]:
        dense = dense_strides(outer.shape, parts)
        return Loops(outer.shape, (*outer.strides[:-1], dense)), Loops((parts,), ((1,),))

    return Split((outer, inner), rest, lanes)


def split_of(
    outer: Loops, inner: Loops, width: int, itemsize: int, ways: Ways, *, turns: bool = True
) -> Split:
    """How the host's cores read this.

    Args:
        outer, inner: ordered by the input's strides, which are the last.
        width: lanes of a vector; 1: there are none.
        turns: whether a vector may have elements that are not neighbours.
    """
    size, steps = outer.shape, outer.strides[-1]
    alone = whole(outer, inner)
    is_much = outer.numel * inner.numel >= MUCH
    if not size:
        return alone
    run = inner.shape[-1] if is_dense(inner) else 0
    is_far = len(inner.shape) > 1 and inner.shape[0] >= ways.few and run < ways.alone
    if is_much and is_far and not ways.ordered:
        split = _apart(outer, inner, 1, max(width, LANES), itemsize, ways)
        if split:
            return split
    if steps[-1] == 1 and not is_dense(inner):
        near = replace(alone, lanes="near")
        plain = near if size[-1] >= COLUMNS or size[-1] >= width > 1 else alone
        if not is_much:
            return plain
        is_block = len(inner.shape) == 1 and inner.strides[-1][0] == size[-1] and len(size) > 1
        if turns and is_block and 4 <= inner.numel * size[-1] <= BLOCK and size[-2] >= width:
            return replace(alone, lanes="blocks")
        split = None
        if size[-1] < COLUMNS or outer.numel * inner.numel >= AGAIN:
            split = _apart(outer, inner, len(inner.shape), max(width, LANES), itemsize, ways)
        if split or not turns or plain is near:
            return split or plain
        return replace(near, lanes="few")
    is_along = bool(inner.shape) and abs(inner.strides[-1][-1]) < abs(steps[-1])
    is_long = is_along and inner.shape[-1] >= ways.long
    used = size[-1] / (-(-size[-1] // width) * width)
    if not is_much or not turns or is_long or size[-1] < width or used < USED:
        return alone
    if is_dense(inner) and len(inner.shape) == 1 and inner.numel <= min(ways.short, BLOCK):
        columns = Loops((*size, 1), tuple((*row, 0) for row in outer.strides))
        return replace(alone, first=(columns, inner), lanes="blocks")
    return replace(alone, lanes="turned")


def _apart(
    outer: Loops, inner: Loops, kept: int, width: int, itemsize: int, ways: Ways
) -> Split | None:
    """What is folded in two steps: the inner loops from ``kept`` on in the second one, and narrow
    rows that are neighbours, of which several are seen as one."""
    steps = inner.strides[-1]
    later = [*zip(inner.shape[kept:], steps[kept:], strict=True)]
    loops = [*zip(outer.shape, outer.strides[-1], strict=True), *later]
    order = sorted(range(len(loops)), key=lambda i: -loops[i][1])
    merged = _merged([loops[i] for i in order])
    narrow, step = merged[-1]
    if step != 1:
        return None
    several = 1
    if inner.shape and steps[kept - 1] == narrow and narrow * itemsize <= NEAR:
        several = _woven(narrow, inner.shape[:kept], width, itemsize, ways)
    if several * narrow < COLUMNS or (several == 1 and not later):
        return None
    before, rows = inner.shape[: kept - 1], inner.shape[kept - 1]
    sizes = (*(n for n, _ in merged[:-1]), several * narrow)
    nothing = (0,) * len(sizes)
    first = (
        Loops(sizes, (*(nothing for _ in outer.strides[1:]), tuple(s for _, s in merged))),
        Loops((*before, rows // several), ((*steps[: kept - 1], steps[kept - 1] * several),)),
    )

    def rest(parts: int) -> tuple[Loops, Loops]:
        *before, last = dense_strides([*(n for n, _ in merged[:-1]), several, narrow], parts)
        apart = before.pop()
        found: dict[int, int] = {}
        among = zip((*before, last), merged, strict=True)
        scratch, (_, step) = next(among)
        for i in order:  # its place among what it was merged into
            while loops[i][1] < step:
                scratch, (_, step) = next(among)
            found[i] = loops[i][1] // step * scratch
        count = len(outer.shape)
        within = [(several, apart), *((n, found[count + i]) for i, (n, _) in enumerate(later))]
        made = _merged([*within, (parts, 1)])
        to = Loops(outer.shape, (*outer.strides[:-1], tuple(found[i] for i in range(count))))
        return to, Loops(tuple(n for n, _ in made), (tuple(s for _, s in made),))

    extra = rows % several * narrow
    return Split(first, rest, "near", several, narrow, extra, is_apart=True)


def _woven(columns: int, shape: tuple[int, ...], width: int, itemsize: int, ways: Ways) -> int:
    """How many narrow rows are seen as one that vectors divide; 1: they are not.

    Rows that are left over have one place only, the last.
    """
    rows, least = shape[-1], width // math.gcd(columns, width)
    most = min(rows // ways.few, WIDE // (itemsize * columns))
    steps = range(least, min(most, max(least, ways.wide // (itemsize * columns))) + 1, least)
    return max((n for n in steps if len(shape) == 1 or rows % n == 0), default=1)


def _merged(loops: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same elements in fewer loops of (size, stride)."""
    made: list[tuple[int, int]] = []
    for size, step in loops:
        if made and (size == 1 or made[-1][1] == size * step):
            made[-1] = made[-1][0] * size, made[-1][1] if size == 1 else step
        elif made and made[-1][0] == 1:
            made[-1] = size, step
        else:
            made.append((size, step))
    return made


def is_dense(inner: Loops) -> bool:
    """Whether what is folded into one element are neighbours."""
    return bool(inner.shape) and inner.strides[-1][-1] == 1


def is_by_columns(outer: Loops, inner: Loops) -> bool:
    """Whether neighbours are folded into neighbours; the last strides of both are the input's."""
    return not is_dense(inner) and bool(outer.shape) and outer.strides[-1][-1] == 1


def side_macros(device: Device, source: DType, width: int, split: Split) -> dict[str, Any]:
    """The macros of ``src/sides.cl`` for elements of a dtype, folded side by side so."""
    if width == 1:
        return {}
    kind = dialect.VALUES[accumulated(source).name]
    each = "(RAW)(" + ", ".join(f"IN_S(p, (i) + {k} * (lane))" for k in range(width)) + ")"
    outer, inner = split.first
    line = outer.strides[-1][-1 if split.lanes == "turned" else split.at] if outer.shape else 0
    if split.lanes == "turned" and line in NEXT:
        each = _picked(width, line)
    is_line = split.lanes in ("turned", "blocks") and is_dense(inner)
    is_line &= line in NEXT and inner.numel == line
    fours = range(0, width, 4)
    four = ", ".join(f"FOUR_V(p, (i) + {k} * (lane))" for k in fours)

    def mask(of: Callable[[int, int], int]) -> str:
        """Lanes of two vectors: ``of(group of four, lane of it)``."""
        return ", ".join(str(of(g, k)) for g in fours for k in range(4))

    return {
        "RAW": f"{kind}{width}",
        "RAW_S": kind,
        "LANES_ARE": {"few": 1, "turned": 2, "blocks": 2}.get(split.lanes, 0),
        "BLOCK_SIZE": BLOCK,
        "LINE": line if is_line else 0,
        "LINES(x, p, i)": _of_lines(width, line) if is_line else "",
        "IN_A_LINE": max(1, 64 // (width * source.itemsize)),
        "APART(p, i, lane)": each,
        "APART_4(p, i, lane)": f"OF_FOURS({four})",
        "LOW": mask(lambda g, k: g + k // 2 + k % 2 * width),
        "HIGH": mask(lambda g, k: g + 2 + k // 2 + k % 2 * width),
        "LOW_TWO": mask(lambda g, k: g + k % 2 + k // 2 * width),
        "HIGH_TWO": mask(lambda g, k: g + 2 + k % 2 + k // 2 * width),
        "MASK": f"{'ulong' if accumulated(source).itemsize == 8 else 'uint'}{width}",
        "FOUR_V(p, i)": lanes(device, "FOUR", source, 4, side=False)["FOUR_V(p, i)"],
    }


def _picked(width: int, step: int) -> str:
    """Every so many elements, of vectors that end where the last one is."""
    made = "RAW_V(p, i)"
    for k in range(1, step):
        begin = k * (width - 1)
        kept = [at * step if k == 1 else at for at in range(width)]
        picked = [width + min(at * step - begin, width - 1) for at in range(width)]
        each = (b if b >= width else a for a, b in zip(kept, picked, strict=True))
        places = ", ".join(map(str, each))
        made = f"OF_TWO({made}, RAW_V(p, (i) + {begin}), {places})"
    return made


def _of_lines(width: int, size: int) -> str:
    """Statements that make ``x``, the first, second, ... elements of so many lines of ``size``
    neighbours, one line behind the other, of vectors that are read once."""
    read = [f"const RAW v{k}_ = RAW_V(p, (i) + {k * width});" for k in range(size)]
    made = [
        f"(x)[{m}] = MAPPED({_gathered([*range(m, width * size, size)], 0, size)});"
        for m in range(size)
    ]
    return f"{{ {' '.join(read + made)} }}"


def _gathered(places: Sequence[int], begin: int, end: int) -> str:
    """A vector that has the elements at ``places`` of v0_, v1_, ... one behind the other where they
    are in one from ``begin`` on and before ``end``."""
    if end - begin == 1:
        return f"v{begin}_"
    width = len(places)
    half = begin + (end - begin + 1) // 2

    def lane(at: int, lane: int) -> int:
        """Which lane of both halves has it."""
        vector = at // width
        is_second = half <= vector < end
        first, last = (half, end) if is_second else (begin, half)
        return is_second * width + (at % width if last - first == 1 else lane)

    lanes = ", ".join(str(lane(at, k)) for k, at in enumerate(places))
    return f"OF_TWO({_gathered(places, begin, half)}, {_gathered(places, half, end)}, {lanes})"
