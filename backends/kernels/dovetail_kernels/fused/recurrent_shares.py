"""How the rows, units and steps of a recurrent layer are shared out among the host's cores."""

from __future__ import annotations

from dovetail.dtypes import dtype as DType
from dovetail_kernels.device import Device

__all__ = ["Shares"]

STREAM = 3.2
"""Rows that a panel of the weight must serve to be worth its way from the second-level cache: so
many products take as long as reading it."""

WAITING = 8
"""Sums that are made side by side while each of them waits for itself."""

LAUNCH = 1 << 17
"""A launch in vector products, and what cores lose that read one weight from a cache they share."""

EACH = 1 << 15
"""Products of two numbers that are worth a work item of their own."""


class Shares:
    """The shape of a tile, and who takes which.

    Args:
        device: the host's cores.
        work: the dtype that is computed in.
        width: units of a vector.
        steps, rows, size: of the layer.
        sums: products that a unit needs.
        depth: elements of their left operand for each unit.

    Attributes:
        tile_rows: rows of a tile.
        vectors: vectors of units of a tile.
        blocks: such blocks of units.
        chunks: work items that share out the rows.
        each: rows of one.
        parts: work items that share out the units of a chunk, in a launch for each step; 1: one
            launch makes all steps.
    """

    def __init__(
        self, device: Device, work: DType, width: int, steps: int, rows: int, size: int,
        sums: int, depth: int,
    ) -> None:  # fmt: skip
        registers = 32 if width * work.itemsize >= 64 else 16
        self.rows, self.sums, self.registers = rows, sums, registers
        count = -(-size // width)
        deep = size * depth
        most = max(1, rows * size * sums * deep * steps // EACH)

        def best(chunks: int) -> tuple[float, int, int, int, int]:
            """(time of a step, chunks, rows of each, vectors, rows of a tile)."""
            each = -(-rows // chunks)
            vectors = self._vectors(each, count)
            tiles = -(-each // self._most_rows(vectors))
            tile = -(-each // tiles)
            blocks = -(-count // vectors)
            items = -(-rows // each)
            rounds = -(-items // device.units)
            time = rounds * blocks * tiles * max(tile, STREAM) * vectors * sums * deep
            return time, items, each, vectors, tile

        choices = [best(c) for c in range(1, min(rows, device.units * 4, most) + 1)]
        # The most work items of those that take about as long: some core may be busy otherwise.
        least = min(c[0] for c in choices)
        found = max((c for c in choices if c[0] <= least * 1.02), key=lambda c: c[1])
        time, self.chunks, self.each, self.vectors, self.tile_rows = found
        self.blocks = -(-count // self.vectors)
        self.parts = 1
        parts = min(self.blocks, device.units // self.chunks)
        if parts > 1 and time / parts + LAUNCH < time:
            self.parts = parts

    def _most_rows(self, vectors: int) -> int:
        """Rows whose sums fit into registers, beside a row of the weight and an element."""
        columns = vectors * self.sums
        return max(1, (self.registers - 1 - columns) // columns)

    def _vectors(self, rows: int, count: int) -> int:
        """Vectors of units of a tile: enough sums to hide how long one takes."""
        vectors = 1 if self.sums > 2 else 2
        tile = min(rows, self._most_rows(vectors))
        while vectors < 8 // self.sums and tile * vectors * self.sums < WAITING:
            vectors *= 2
            tile = min(rows, self._most_rows(vectors))
        return min(vectors, count)
