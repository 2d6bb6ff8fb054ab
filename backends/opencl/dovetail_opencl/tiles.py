"""The shape of a tile of a matrix product: what there is to choose, and what is chosen for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dovetail.dtypes import dtype as DType

__all__ = ["Tile", "candidates", "tile_of", "usual"]


@dataclass(frozen=True)
class Tile:
    """The shape of a tile: rows, vectors of columns, and elements of a vector.

    Attributes:
        rows, vectors, width: a tile has ``rows`` by ``vectors * width`` elements.
        items: 1: one work item holds the tile in registers. More: a work group of ``items`` by
            ``items`` shares it by way of local memory.
        steps: steps of depth that are in local memory at a time.
    """

    rows: int
    vectors: int
    width: int
    items: int = 1
    steps: int = 16

    @property
    def columns(self) -> int:
        """Columns of a tile."""
        return self.vectors * self.width

    @property
    def is_local(self) -> bool:
        """It lies in local memory."""
        return self.items > 1

    def macros(self, kind: str, *, is_float: bool, left: str = "(left)[{i}]") -> dict[str, Any]:
        """The macros that ``src/gemm.cl`` and ``src/conv.cl`` know a tile by.

        Args:
            kind: the type that is computed in, in OpenCL C.
            left: how row ``i`` of the left operand is read.
        """
        made: dict[str, Any] = {
            "ROWS": self.rows,
            "COLUMNS": self.columns,
            "IS_LOCAL": int(self.is_local),
        }
        if self.is_local:
            product = "s = fma(x, y, s)" if is_float else "s += x * y"
            return made | {
                "ITEMS": self.items,
                "STEPS": self.steps,
                "EACH_ROWS": self.rows // self.items,
                "EACH_COLUMNS": self.columns // self.items,
                "ADD_PRODUCT(s, x, y)": product,
            }
        return made | self._unrolled(kind, left, is_float=is_float)

    def _unrolled(self, kind: str, left: str, *, is_float: bool) -> dict[str, str]:
        """The macros that name every vector of a tile: ``s1_0`` is row 1, vector 0."""
        vector, width = f"{kind}{self.width}", self.width
        rows, across = range(self.rows), range(self.vectors)
        product = "fma(x, b{v}, s{i}_{v})" if is_float else "x * b{v} + s{i}_{v}"
        steps = [f"const {vector} b{v} = vload{width}({v}, right);" for v in across]
        for i in rows:
            sums = "".join(f" s{i}_{v} = {product.format(i=i, v=v)};" for v in across)
            steps.append(f"{{ const {vector} x = ({vector})({left.format(i=i)});{sums} }}")
        put = " ".join(f"vstore{width}(s##i##_{v}, {v}, to);" for v in across)
        get = " ".join(f"s##i##_{v} = vload{width}({v}, from);" for v in across)
        return {
            "SUMS": " ".join(f"{vector} s{i}_{v} = ({vector})0;" for i in rows for v in across),
            "PRODUCTS(left, right)": " ".join(steps),
            "PUT(i, to)": put,
            "GET(i, from)": get,
            "ALL_ROWS": " ".join(f"ROW({i})" for i in rows),
        }


def _vector(device: Any, work: DType) -> int:
    """Elements of a vector register."""
    native = max(1, int(device.handle.native_vector_width_float)) * 4
    return min(16, max(2, native // work.itemsize))


def usual(device: Any, work: DType) -> Tile:
    """The tile for a class of devices: registers of a CPU, local memory of a GPU."""
    if device.is_cpu:
        width = _vector(device, work)
        # Vectors of 64 bytes come with 32 registers; of others there may be 16.
        return Tile(8 if width * work.itemsize >= 64 else 4, 2, width)
    return candidates(device, work)[0]


def candidates(device: Any, work: DType) -> list[Tile]:
    """Tiles worth trying on a device, the likely ones first."""
    if device.is_cpu:
        width = _vector(device, work)
        return [Tile(r, v, width) for r, v in ((8, 2), (4, 2), (8, 1), (4, 4), (2, 4))]
    most = device.group
    found = []
    for items, rows, columns in ((16, 64, 64), (16, 64, 128), (16, 32, 64), (8, 32, 32)):
        room = 16 * (rows + columns) * work.itemsize
        if items * items <= most and room <= device.handle.local_mem_size:
            found.append(Tile(rows, columns // 4, 4, items))
    return [*found, Tile(4, 1, 4)]


def tile_of(device: Any, work: DType) -> Tile:
    """The tile that products are computed by: measured on this device once, or the usual one."""
    return usual(device, work)
