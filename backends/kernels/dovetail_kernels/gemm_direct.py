"""Small matrix products in one launch: see ``src/gemm_direct.cl``.

What packing saves comes back when panels are read many times. Where they are read a few times only,
two more launches and the operands' way through memory cost more than the product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import offsets
from dovetail_kernels.device import Device
from dovetail_kernels.folds import wrapping
from dovetail_kernels.source import ended, program
from dovetail_kernels.tiles import Tile, woven

__all__ = ["Sides", "direct", "is_small"]

DEEP = 1 << 10
"""Steps of depth above which a panel no longer stays in a near cache."""

MUCH = 1 << 26
"""Products of two numbers above which packed operands are faster."""

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
        """What it costs, in products: packing an element costs as much as sixteen of them."""
        return self.filled(tile) + 16 * self.packed(device, tile)


def is_small(device: Device, work: DType, sizes: tuple[int, int, int, int], tile: Tile) -> bool:
    """Whether a product (batches, rows, columns, depth) goes this way."""
    batches, m, n, depth = sizes
    if not device.is_cpu or tile.is_local or work.category != 2 or depth > DEEP:
        return False
    return batches * m * n * depth <= MUCH


def direct(
    device: Device,
    work: DType,
    tile: Tile,
    sides: Sides,
    places: Callable[[tuple[str, ...]], tuple[dict[str, Any], list[Any]]],
    scales: Sequence[float] | None,
    *,
    is_rectified: bool = False,
) -> Callable[..., None]:
    """The launch, as ``run(a, b, out)`` or, where something is added, ``run(a, b, out, input)``.

    Args:
        sides: the product, its rows left.
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
        **tile.macros(kind, is_float=True, left="p{i}[o]"),
        **tile.columns_turned(kind),
        **woven(tile.columns, tile.width, kind),
        "POINTERS": " ".join(
            f"const global T *p{i} = from + min(first + {i}, m - 1) * a_row;" for i in rows
        ),
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
    text = program(device, "gemm_direct", macros, (work,))
    buffers = 5 if has else 4
    launch = device.launch(text, "direct", buffers, numbers, ((count,), (1,)), "matmul")
    packed = count * depth * tile.columns * work.itemsize if seen.packed(device, tile) else 0
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
