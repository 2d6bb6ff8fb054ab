"""Small matrix products in one launch: see ``src/gemm_direct.cl``.

What packing saves comes back when panels are read many times. Where they are read a few times only,
two more launches and the operands' way through memory cost more than the product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dovetail.dtypes import bfloat16
from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import offsets
from dovetail_kernels.device import Device
from dovetail_kernels.folds import accumulated, wrapping
from dovetail_kernels.source import element, ended, program
from dovetail_kernels.tiles import Tile, woven
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["Sides", "direct", "is_small"]

DEEP = 1 << 10
"""Steps of depth above which a panel no longer stays in a near cache."""

MUCH = 1 << 26
"""Products of two numbers above which packed operands are faster."""

MUCH_OF_HALVES = 9 << 24
"""The same, with what packing costs, where an operand is of halves, which are converted here."""

MUCH_OF_PAIRS = 3 << 17
"""The same beside an instruction for pairs of packed bfloat16."""

PACKED = 16
"""Products that cost as much as packing an element."""

EACH = 1 << 16
"""Products of two numbers that are worth a work item of their own."""


class Sides:
    """A product's sizes and element strides, as one of its two sides sees it.

    Args:
        sizes: batches, rows, columns, depth.
        steps: from row to row and column to column of the output, from row to row and step to
            step of the left operand, from step to step and column to column of the right one.
        input: from row to row and column to column of what is added.
    """

    def __init__(
        self, sizes: tuple[int, int, int, int], steps: tuple[int, int, int, int, int, int],
        input: tuple[int, int] = (0, 0),
    ) -> None:  # fmt: skip
        self.sizes, self.steps, self.input = sizes, steps, input

    def turned(self) -> Sides:
        """The same product transposed: what was right is left."""
        batches, m, n, depth = self.sizes
        row, column, a_row, a_depth, b_depth, b_column = self.steps
        steps = (column, row, b_column, b_depth, a_depth, a_row)
        return Sides((batches, n, m, depth), steps, self.input[::-1])

    def split(self, device: Device, tile: Tile) -> tuple[int, int]:
        """(blocks that the tiles of rows are cut into, tiles of a block)."""
        batches, m, n, depth = self.sizes
        panels, tiles = batches * -(-n // tile.columns), -(-m // tile.rows)
        wanted = min(device.units * 2, max(1, batches * m * n * depth // EACH))
        block = -(-tiles // max(1, min(tiles, -(-wanted // panels))))
        return -(-tiles // block), block

    def packed(self, device: Device, tile: Tile) -> int:
        """Elements that are packed."""
        batches, _, n, depth = self.sizes
        blocks, _ = self.split(device, tile)
        whole = n // tile.columns if self.steps[5] == 1 else 0
        panels = -(-n // tile.columns)
        return batches * (panels - whole) * tile.columns * depth * blocks

    def filled(self, tile: Tile) -> int:
        """Products of two numbers that are computed, those past the edges with them."""
        batches, m, n, depth = self.sizes
        rows, columns = -(-m // tile.rows) * tile.rows, -(-n // tile.columns) * tile.columns
        return batches * rows * columns * depth

    def cost(self, device: Device, tile: Tile) -> int:
        """What it costs, in products."""
        return self.filled(tile) + PACKED * self.packed(device, tile)


def is_small(
    device: Device, kinds: Sequence[DType], work: DType, sizes: tuple[int, int, int, int],
    tile: Tile,
) -> bool:  # fmt: skip
    """Whether a product (batches, rows, columns, depth) goes this way.

    Args:
        kinds: as :func:`direct` takes them.
    """
    batches, m, n, depth = sizes
    if not device.is_cpu or tile.is_local or work.category != 2 or depth > DEEP:
        return False
    products = batches * m * n * depth
    if all(k is work for k in kinds):
        return products <= MUCH
    if any(accumulated(k) is not work or k.category != 2 for k in kinds):
        return False
    is_paired = device.has_pairs and kinds[0] is bfloat16 is kinds[1]
    sides = Sides(sizes, (0,) * 6)  # no columns are neighbours, so all are packed
    cost = min(sides.cost(device, tile), sides.turned().cost(device, tile))
    return cost <= (MUCH_OF_PAIRS if is_paired else MUCH_OF_HALVES)


def direct(
    device: Device,
    work: DType,
    tile: Tile,
    sides: Sides,
    kinds: Sequence[DType],
    places: Callable[[tuple[str, ...]], tuple[dict[str, Any], list[Any]]],
    scales: Sequence[float] | None,
    *,
    is_rectified: bool = False,
) -> Callable[..., None]:
    """The launch, as ``run(a, b, out)`` or, where something is added, ``run(a, b, out, input)``.

    Args:
        sides: the product, its rows left.
        kinds: the dtypes of the operands, of the output, and of what is added.
        places: for names of places, the macro for batches and its numbers.
        scales: alpha and beta, where something is added.
        is_rectified: a ReLU is taken of what is written.
    """
    turned = sides.turned()
    is_turned = turned.cost(device, tile) < sides.cost(device, tile)
    seen = turned if is_turned else sides
    batches, m, n, depth = seen.sizes
    kind, has = wrapping(work), scales is not None
    tile = Tile(tile.rows, 1, tile.width) if n <= tile.width else tile
    blocks, block = seen.split(device, tile)
    reads = ("read_b", "read_a") if is_turned else ("read_a", "read_b")
    left, right = kinds[:2][::-1] if is_turned else kinds[:2]
    has_halves = any(k is not work for k in kinds)
    batch, loops = places(("to", *reads))
    rows, across = range(tile.rows), range(tile.vectors)
    vector = f"{kind}{tile.width}"
    add = " ".join(
        f"s##i##_{v} = alpha * s##i##_{v} + beta * vload{tile.width}({v}, from);" for v in across
    )
    one = " ".join(f"s##i##_{v} = alpha * s##i##_{v} + beta * ({vector})(v);" for v in across)
    macros = {
        "T": kind,
        "HAS_INPUT": int(has),
        **tile.macros(kind, is_float=True, left="A_LOAD(p{i}, o)"),
        **({"IS_TURNED": 0, "IS_WOVEN": 0} if has_halves else tile.columns_turned(kind)),
        **({} if right is not work else woven(tile.columns, tile.width, kind)),
        "POINTERS": " ".join(
            f"const global A_MEMORY *p{i} = from + min(first + {i}, m - 1) * a_row;" for i in rows
        ),
        "HAS_HALVES": int(has_halves),
        **element(device, "A", left),
        **lanes(device, "B", right, tile.width, side=False),
        **lanes(device, "OUT", kinds[2], tile.width, side=False),
        **element(device, "IN", kinds[-1]),
        "PACK_RIGHT(from, to)": " ".join(
            f"vstore{tile.width}(B_V(from, {v * tile.width}), {v}, to);" for v in across
        ),
        "PUT_OUT(i, to)": " ".join(f"OUT_SET_V(to, {v * tile.width}, s##i##_{v});" for v in across),
        **ended(is_rectified=is_rectified),
        "ENDS": int(is_rectified),
        "END(i)": " ".join(f"s##i##_{v} = ENDED(s##i##_{v});" for v in across),
        "ADD_VECTORS(i, from)": f"{{ {add} }}",
        "ADD_ONE(i, v)": f"{{ {one} }}",
        **batch,
    }
    numbers: list[Any] = [np.uint64(0)] * (4 if has else 3)
    numbers.append(np.array([*seen.sizes, blocks, block, 0, 0], np.uint64))
    numbers.append(np.array([*seen.steps, *seen.input], np.uint64))
    numbers += [work.numpy.type(v) for v in scales or ()]
    numbers += loops
    items = batches * -(-n // tile.columns) * blocks
    most = max(1, batches * m * n * depth // EACH)
    count = max(1, min(items, most, device.units * 4))
    dtypes = (*kinds, work)
    helpers = vector_helpers(kinds, tile.width)
    text = program(device, "gemm_direct", macros, dtypes, text=helpers)
    buffers = 5 if has else 4
    launch = device.launch(text, "direct", buffers, numbers, ((count,), (1,)), "matmul")
    packs = right is not work or seen.packed(device, tile)
    packed = count * depth * tile.columns * work.itemsize if packs else 0
    if not packed:

        def run(x: Any, y: Any, out: Any, *input: Any) -> None:
            left, right = (y, x) if is_turned else (x, y)
            buffers: tuple[Any, ...] = (out.buffer, left.buffer, right.buffer, out.buffer)
            for array in input:
                buffers = (*buffers, array.buffer)
            launch.with_numbers(buffers, offsets(out, left, right, *input))

        return run

    take, give = device.room(packed)

    def run_packing(x: Any, y: Any, out: Any, *input: Any) -> None:
        left, right = (y, x) if is_turned else (x, y)
        panels = take()
        try:
            buffers: tuple[Any, ...] = (out.buffer, left.buffer, right.buffer, panels)
            for array in input:
                buffers = (*buffers, array.buffer)
            launch.with_numbers(buffers, offsets(out, left, right, *input))
        finally:
            give(panels)

    return run_packing
