"""What a work item of ``src/winograd.cl`` computes at a time, and where its tiles are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from dovetail_kernels.tiles import Tile
from dovetail_kernels.winograd_lines import Way, dim_of

__all__ = ["LANES", "Block", "Plan", "Tiling", "block_for", "plan_of"]

LANES = 16
"""Channels or filters of a vector."""

IMAGE, FILTERS, ADDING = 1.5, 800, 14
"""What it costs in products of a vector and a number: to transform a point of a row and a channel;
a panel of filters for a channel; and to add a point of a row to the outputs of a vector."""

CACHED, FAR, WHOLE = 1 << 20, 0.1, 5 << 19
"""Bytes that a work item keeps in its cache; what products cost more for each time as many that it
does not; and how many bytes it has at most."""

LONGEST, MOST, SPANS, PANELS = 64, 256, (32, 64, 128), (1, 2, 4, 8, 16)
"""Tiles of a line, rows, channels and panels of filters at a time: what is tried."""


@dataclass(frozen=True)
class Tiling:
    """The output's tiles.

    Attributes:
        images, height, width: of the output.
        ways: what is done along a column, and along a line.
    """

    images: int
    height: int
    width: int
    ways: tuple[Way, Way]

    @property
    def side(self) -> int:
        """Outputs of a tile along both."""
        return self.ways[0].side

    @property
    def wide(self) -> int:
        """Tiles of a line."""
        return -(-self.width // self.side)

    @property
    def lines(self) -> int:
        """Lines of tiles, of all images."""
        return self.images * -(-self.height // self.side)

    @property
    def rest(self) -> tuple[int, int]:
        """Outputs of the last tile of a column, and of a line."""
        return (self.height - 1) % self.side + 1, (self.width - 1) % self.side + 1

    @property
    def each(self) -> float:
        """Points of a tile, of those at the ends of lines and columns less."""
        made = 1.0
        sizes = (self.height, self.width)
        for n, way, rest in zip(sizes, self.ways, self.rest, strict=True):
            whole, last = dim_of(self.side, way).points, len(dim_of(rest, way).seen)
            made *= (whole * ((n - 1) // self.side) + last) / -(-n // self.side)
        return made


@dataclass(frozen=True)
class Block:
    """What a work item computes at a time, and what it costs.

    Attributes:
        tiles: of a segment of a line.
        groups: of segments: as many as all are shared out to.
        segments: of the largest group.
        panels: of filters.
        span: channels between which sums are added to the outputs.
        pitch, pitch_in: from line to line of a segment's outputs, and of what it sees.
        slack: places before and behind the latter that may be written.
        cost: for each channel, of the work item with most to do.
        room: floats of its memory.
    """

    tiles: int
    groups: int
    segments: int
    panels: int
    span: int
    pitch: int
    pitch_in: int
    slack: int
    cost: float
    room: int

    @property
    def rows(self) -> int:
        """Tiles of the largest group."""
        return self.tiles * self.segments


def _groups(lines: int, tiles: int, units: int) -> Iterator[int]:
    """In how many groups so many segments may be shared out."""
    for many in range(1, min(lines, max(1, MOST // tiles)) + 1):
        groups = -(-lines // many)
        yield groups
        yield min(lines, -(-groups // units) * units)


def _blocks(
    tile: Tile, units: int, tiling: Tiling, image: tuple[int, int], channels: int, panels: int
) -> Iterator[Block]:
    """What may be computed at a time; see :func:`block_for`."""
    side, step = tiling.side, tiling.ways[0].step
    whole = dim_of(side, tiling.ways[0])
    points, filters, each = whole.points, len(whole.of_filter), tiling.each
    pieces = -(-tiling.wide // LONGEST)
    tiles = -(-tiling.wide // pieces)
    pitch = tiling.width if pieces == 1 else tiles * side
    pitch_in = tiles * step + whole.sees - step
    if pieces == 1:
        pitch_in = max(pitch_in, sum(image))
    slack = (-(-LANES // image[0]) + 1) * pitch_in
    for groups in sorted(set(_groups(tiling.lines * pieces, tiles, units))):
        segments = -(-tiling.lines * pieces // groups)
        rows = segments * tiles
        even = -(-rows // (tile.rows // 2)) * (tile.rows // 2)
        for many in PANELS:
            for span in SPANS:
                if span > max(channels, SPANS[0]) or many > panels:
                    continue
                kept = 1 if channels <= span else many
                # The image turned, its points; a panel: taps, points and sums; the outputs.
                room = (whole.sees * pitch_in + 2 * slack) * LANES
                room += rows * (points * points * span + LANES)
                panel = LANES * 9 + filters * filters * (span + 1) + points * (rows + tile.rows)
                room += (panel + kept * (segments * side * pitch + side)) * tile.columns
                if room * 4 > WHOLE and rows > tiles:
                    continue
                vectors = many * tile.vectors
                cost = even * each * vectors * (1 + FAR * max(0.0, room * 4 / CACHED - 1))
                cost += many * FILTERS
                cost += rows * each * (vectors * ADDING / min(span, channels) + IMAGE)
                cost *= -(-groups * -(-panels // many) // units)
                yield Block(tiles, groups, segments, many, span, pitch, pitch_in, slack, cost, room)


@cache
def block_for(
    tile: Tile, units: int, tiling: Tiling, image: tuple[int, int], channels: int, panels: int
) -> Block:
    """The block by which the units are done first.

    Args:
        image: places of a line of the image, and zeros before them.
        panels: of all filters.
    """
    found = _blocks(tile, units, tiling, image, channels, panels)
    return min(found, key=lambda block: block.cost)


@dataclass(frozen=True)
class Plan:
    """Which tiles are whose: the numbers that ``src/winograd.cl`` calls ``plan``, and of how many
    segments and tiles."""

    table: np.ndarray
    segments: int
    tiles: int


def plan_of(
    tiling: Tiling, block: Block, first: tuple[int, int], steps: tuple[int, int, int]
) -> Plan:
    """The plan of a launch.

    Args:
        first: lines and places of zeros before the image.
        steps: from image to image of what is read, and of the output; from line to line of it.
    """
    side, tiles = tiling.side, block.tiles
    step = tiling.ways[0].step
    n, y, x = (
        axis.reshape(-1)
        for axis in np.meshgrid(
            np.arange(tiling.images),
            np.arange(0, tiling.height, side),
            np.arange(0, tiling.width, tiles * side),
            indexing="ij",
        )
    )
    high = np.minimum(side, tiling.height - y)
    wide = np.minimum(tiles * side, tiling.width - x)
    counts = -(-wide // side)
    begins = np.cumsum(counts) - counts
    segments = np.stack(
        [
            n * steps[0], y // side * step - first[0], x // side * step - first[1],
            n * steps[1] + y * steps[2] + x, high, wide, counts, begins,
        ],
        -1,
    )  # fmt: skip
    total = int(counts.sum())
    of = np.repeat(np.arange(len(counts)), counts)
    place = (np.arange(total) - begins[of]) * side
    is_last_y, is_last_x = high[of] < side, place + side > wide[of]
    kind = np.where(is_last_y, 2 + is_last_x, 1 - is_last_x)
    ends = np.arange(block.groups + 1) * len(counts) // block.groups
    units, row_of, place_of = [], np.zeros(total, np.int64), np.zeros(total, np.int64)
    for begin, end in itertools.pairwise(ends):
        low, count = int(begins[begin]), int(counts[begin:end].sum())
        part = slice(low, low + count)
        by_kind = np.argsort(kind[part], kind="stable")
        row_of[low + by_kind] = np.arange(count)
        at = (of[part] - begin) * side * block.pitch + place[part]
        place_of[part] = at[by_kind]
        edges = np.cumsum(np.bincount(kind[part], minlength=4))[:3]
        units.append([begin, end - begin, low, count, *edges, 0])
    table = np.concatenate([np.ravel(units), segments.reshape(-1), row_of, place_of])
    return Plan(table, len(counts), total)
