"""Contract: matmul. Large products are packed into panels and computed in tiles of registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, Loops
from dovetail.dtypes import dtype as DType
from dovetail_opencl import dialect
from dovetail_opencl.arrays import Array
from dovetail_opencl.device import Device, Launch
from dovetail_opencl.kernels.elementwise import ghost
from dovetail_opencl.kernels.reduce import accumulated, wrapping
from dovetail_opencl.runtime import device_of
from dovetail_opencl.source import converted, element, loop_numbers, places, program

__all__ = ["enter"]

LANES = 16
SMALL = 4
"""Fewer rows or columns than this are computed element by element."""


@dataclass(frozen=True)
class Tile:
    """The shape of a tile: rows, vectors of columns, and elements of a vector."""

    rows: int
    vectors: int
    width: int

    @property
    def columns(self) -> int:
        """Columns of a tile."""
        return self.vectors * self.width


def enter(table: KernelTable) -> None:
    """Enter the product."""
    table.add("matmul", _matmul, specialize=True)


def _tile(device: Device, work: DType) -> Tile:
    if not device.is_cpu:
        return Tile(4, 1, 4)
    native = device.handle.native_vector_width_float * 4
    width = min(16, max(2, native // work.itemsize))
    return Tile(8, 2, width)


def _batches(
    array: Array, ndim: int, itemsize: int | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(shape, element strides) of the dims before the last two, aligned to ``ndim`` of them.

    ``itemsize``: the strides are those of a dense stack of whole matrices, in matrices.
    """
    lead = ndim - (array.ndim - 2)
    shape = (1,) * lead + array.shape[:-2]
    if itemsize is None:
        strides = (0,) * lead + array.element_strides[:-2]
    else:
        steps, step = [], 1
        for n in reversed(shape):
            steps.append(step)
            step *= n
        strides = tuple(reversed(steps))
    return shape, tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))


def _matmul(facts: Any) -> Any:
    a, b = map(ghost, facts.inputs)
    out = ghost(facts.outputs[0])
    device = device_of(facts.outputs[0].device.index)
    if not out.numel:
        return lambda *arrays: None
    m, n, depth = out.shape[-2], out.shape[-1], a.shape[-1]
    work = accumulated(out.dtype)
    if work.is_complex or min(m, n) < SMALL or not depth:
        return _by_elements(device, a, b, out, work)
    return _by_tiles(device, a, b, out, work)


def _places(loops_shape: tuple[int, ...], rows: tuple[tuple[int, ...], ...]) -> Loops:
    """The loops over batches, without those of one."""
    keep = [i for i, n in enumerate(loops_shape) if n != 1]
    return Loops(
        tuple(loops_shape[i] for i in keep), tuple(tuple(r[i] for i in keep) for r in rows)
    )


def _by_elements(device: Device, a: Array, b: Array, out: Array, work: DType) -> Any:
    ndim = out.ndim - 2
    shape = out.shape[:-2]
    rows = tuple(_batches(x, ndim)[1] for x in (out, a, b))
    loops = _places(shape, rows)
    (a_row, a_depth), (b_depth, b_column) = a.element_strides[-2:], b.element_strides[-2:]
    product = "s += x * y"
    if work.is_complex:
        product = "s += (T)(x.x * y.x - x.y * y.y, x.x * y.y + x.y * y.x)"
    macros = {
        "IS_ELEMENTS": 1,
        "T": wrapping(work),
        "LANES": LANES,
        "A_LOADED(i)": converted(a.dtype, work, "A_LOAD(a, i)"),
        "B_LOADED(i)": converted(b.dtype, work, "B_LOAD(b, i)"),
        "A_STEP": "1" if a_depth == 1 else "a_depth",
        "B_STEP": "1" if b_depth == 1 else "b_depth",
        "ADD_PRODUCT(s, x, y)": product,
        "RESULT(v)": converted(work, out.dtype, "v"),
        **element(device, "A", a.dtype),
        **element(device, "B", b.dtype),
        **element(device, "OUT", out.dtype),
        **places("BATCH", loops, "q", ("to", "from_a", "from_b")),
    }
    text = program(device, "matmul", macros, (a.dtype, out.dtype))
    m, n, depth = out.shape[-2], out.shape[-1], a.shape[-1]
    batches = out.numel // (m * n)
    numbers = [
        np.uint64(v)
        for v in (
            0, 0, 0, batches, m, n, depth, *out.element_strides[-2:], a_row, a_depth, b_depth,
            b_column,
        )
    ]  # fmt: skip
    size = device.workers(out.numel, max(1, 4096 // max(1, depth)))
    launch = Launch(device, text, "elements", 3, numbers + loop_numbers(loops), size, "matmul")

    def run(x: Any, y: Any, z: Any) -> None:
        offsets = [(i, np.uint64(v.offset // v.dtype.itemsize)) for i, v in enumerate((z, x, y))]
        launch.with_numbers((z.buffer, x.buffer, y.buffer), offsets)

    return run


def _packing(
    device: Device,
    x: Array,
    lines: int,
    depth: int,
    steps: tuple[int, int],
    across: int,
    work: DType,
) -> tuple[Launch, int]:
    """A kernel that packs an operand into panels, and the bytes that they take."""
    shape = x.shape[:-2]
    loops = _places(shape, (x.element_strides[:-2],))
    macros = {
        "IS_PACK": 1,
        "ACROSS": across,
        "T": wrapping(work),
        "LOADED(i)": converted(x.dtype, work, "IN_LOAD(in, i)"),
        **element(device, "IN", x.dtype),
        **places("BATCH", loops, "q", ("from",)),
    }
    text = program(device, "matmul", macros, (x.dtype,))
    batches = int(np.prod(shape, dtype=np.int64))
    numbers = [np.uint64(v) for v in (0, batches, lines, depth, *steps)]
    panels = batches * -(-lines // across)
    size = device.workers(panels, max(1, 4096 // (across * depth)))
    launch = Launch(device, text, "pack", 2, numbers + loop_numbers(loops), size, "matmul")
    return launch, panels * across * depth * work.itemsize


def _unrolled(tile: Tile, kind: str, *, is_float: bool) -> dict[str, str]:
    """The macros that name every vector of a tile: ``s1_0`` is row 1, vector 0."""
    vector, width = f"{kind}{tile.width}", tile.width
    rows, across = range(tile.rows), range(tile.vectors)
    product = "fma(x, b{v}, s{i}_{v})" if is_float else "x * b{v} + s{i}_{v}"
    steps = [f"const {vector} b{v} = vload{width}({v}, right);" for v in across]
    for i in rows:
        sums = "".join(f" s{i}_{v} = {product.format(i=i, v=v)};" for v in across)
        steps.append(f"{{ const {vector} x = ({vector})((left)[{i}]);{sums} }}")
    put = " ".join(f"vstore{width}(s##i##_{v}, {v}, to);" for v in across)
    return {
        "SUMS": " ".join(f"{vector} s{i}_{v} = ({vector})0;" for i in rows for v in across),
        "PRODUCTS(left, right)": " ".join(steps),
        "PUT(i, to)": put,
        "ALL_ROWS": " ".join(f"ROW({i})" for i in rows),
    }


def _by_tiles(device: Device, a: Array, b: Array, out: Array, work: DType) -> Any:
    tile = _tile(device, work)
    m, n, depth = out.shape[-2], out.shape[-1], a.shape[-1]
    ndim, shape = out.ndim - 2, out.shape[:-2]
    (a_row, a_depth), (b_depth, b_column) = a.element_strides[-2:], b.element_strides[-2:]
    pack_a, bytes_a = _packing(device, a, m, depth, (a_row, a_depth), tile.rows, work)
    pack_b, bytes_b = _packing(device, b, n, depth, (b_column, b_depth), tile.columns, work)
    rows = (_batches(out, ndim)[1], _batches(a, ndim, 1)[1], _batches(b, ndim, 1)[1])
    loops = _places(shape, rows)
    kind = wrapping(work)
    macros = {
        "IS_TILES": 1,
        "T": kind,
        "ROWS": tile.rows,
        "COLUMNS": tile.columns,
        "IS_SAME": int(dialect.TYPES[out.dtype.name] in (kind, kind[1:])),
        **_unrolled(tile, kind, is_float=work.category == 2),
        "RESULT(v)": converted(work, out.dtype, "v"),
        **element(device, "OUT", out.dtype),
        **places("BATCH", loops, "q", ("to", "from_a", "from_b")),
    }
    text = program(device, "matmul", macros, (out.dtype,))
    numbers = [np.uint64(v) for v in (0, m, n, depth, *out.element_strides[-2:])]
    batches = out.numel // (m * n)
    across, down = -(-n // tile.columns), -(-m // tile.rows)
    busy = device.units * (4 if device.is_cpu else 1024)
    groups = max(1, min(down, busy // (across * batches)))
    size = ((across, groups, batches), (1, 1, 1))
    launch = Launch(device, text, "tiles", 3, numbers + loop_numbers(loops), size, "matmul")

    def run(x: Any, y: Any, z: Any) -> None:
        with device.scratch(bytes_a, bytes_b) as (left, right):
            pack_a.with_numbers((left, x.buffer), ((0, np.uint64(x.offset // x.dtype.itemsize)),))
            pack_b.with_numbers((right, y.buffer), ((0, np.uint64(y.offset // y.dtype.itemsize)),))
            place = np.uint64(z.offset // z.dtype.itemsize)
            launch.with_numbers((z.buffer, left, right), ((0, place),))

    return run
