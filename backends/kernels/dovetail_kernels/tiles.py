"""The shape of a tile of a matrix product: what there is to choose, and what is chosen for whom."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from dovetail.dtypes import dtype as DType
from dovetail_kernels.device import Device
from dovetail_kernels.shuffle import can_transpose, transposed

__all__ = ["PAIRED", "Tile", "candidates", "tile_of", "turned", "usual", "woven"]

PAIRED = """
static inline float16 multiplied_pairs(float16 sum, uint16 x, uint16 y) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y));
    return sum;
}
typedef uint16 pairs_anywhere __attribute__((aligned(2)));
#define LOAD_PAIRS(p) (*(global const pairs_anywhere *)(p))
"""
"""A sum with the products of two pairs of bfloat16 in each lane. The instruction is spelled out, as
PoCL's compiler is not told that the processor has it (see ``Device.has_pairs``)."""

_measuring = threading.RLock()


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

    def macros(
        self, kind: str, *, is_float: bool, left: str = "(left)[{i}]", is_paired: bool = False
    ) -> dict[str, Any]:
        """The macros that ``src/gemm.cl`` and ``src/conv.cl`` know a tile by.

        Args:
            kind: the type that is computed in, in OpenCL C.
            left: how row ``i`` of the left operand is read.
            is_paired: operands are pairs of bfloat16 (see :data:`PAIRED`).
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
        if is_paired:
            step = "multiplied_pairs(s{i}_{v}, x, b{v})"
            return made | self._unrolled(kind, left, step, "uint")
        step = "fma(x, b{v}, s{i}_{v})" if is_float else "x * b{v} + s{i}_{v}"
        return made | self._unrolled(kind, left, step, kind)

    def columns_turned(self, kind: str) -> dict[str, Any]:
        """The macros that name every column of a tile in registers, for tiles that allow it."""
        if self.is_local or not can_transpose(self.rows, self.width):
            return {"IS_TURNED": 0}
        text = []
        for v in range(self.vectors):
            names = [f"s{i}_{v}" for i in range(self.rows)]
            statements, made = transposed(names, self.width, kind)
            text.append(statements)
            for j in range(self.width):
                at = j * self.rows
                name, lane = made[at // self.width], at % self.width
                lanes = "0123456789abcdef"[lane : lane + self.rows]
                part = name if self.rows == self.width else f"{name}.s{lanes}"
                text.append(f"COLUMN({v * self.width + j}, {part})")
        put = f"vstore{self.rows}(v, 0, to);"
        return {"IS_TURNED": 1, "ALL_COLUMNS": " ".join(text), "PUT_COLUMN(v, to)": put}

    def _unrolled(self, kind: str, left: str, product: str, given: str) -> dict[str, str]:
        """The macros that name every vector of a tile: ``s1_0`` is row 1, vector 0.

        Args:
            product: the sum of it and of ``x`` times ``b{v}``.
            given: the type of these two.
        """
        vector, width = f"{kind}{self.width}", self.width
        rows, across = range(self.rows), range(self.vectors)
        operand = f"{given}{width}"
        steps = [f"const {operand} b{v} = vload{width}({v}, right);" for v in across]
        for i in rows:
            sums = "".join(f" s{i}_{v} = {product.format(i=i, v=v)};" for v in across)
            steps.append(f"{{ const {operand} x = ({operand})({left.format(i=i)});{sums} }}")
        put = " ".join(f"vstore{width}(s##i##_{v}, {v}, to);" for v in across)
        get = " ".join(f"s##i##_{v} = vload{width}({v}, from);" for v in across)
        return {
            "SUMS": " ".join(f"{vector} s{i}_{v} = ({vector})0;" for i in rows for v in across),
            "PRODUCTS(left, right)": " ".join(steps),
            "PUT(i, to)": put,
            "GET(i, from)": get,
            "ALL_ROWS": " ".join(f"ROW({i})" for i in rows),
        }


def woven(
    across: int, width: int, kind: str, apart: int = 0, load: str = "vload{width}(0, {at})"
) -> dict[str, Any]:
    """The macros that pack ``across`` lines whose steps of depth are neighbours in memory.

    As many lines as a vector has elements, or all, are transposed in registers at a time.

    Args:
        apart: elements from a step of depth to the next in what is packed; 0: ``across``.
        load: a vector ``at`` a place.
    """
    rows = min(across, width)
    if across % rows or not can_transpose(rows, width):
        return {"IS_WOVEN": 0}
    names, step = [f"t{i}" for i in range(rows)], apart or across
    statements, made = transposed(names, width, kind)
    text = []
    for group in range(across // rows):
        loads = "".join(
            f"const {kind}{width} {name} = "
            f"{load.format(width=width, at=f'(from) + {group * rows + i} * (step)')}; "
            for i, name in enumerate(names)
        )
        first = group * rows
        stores = "".join(
            f"vstore{width}({name}, 0, (to) + {_woven_at(m, rows, width, step) + first}); "
            for m, name in enumerate(made)
        )
        text.append(f"{{ {loads}{statements} {stores}}}")
    return {"IS_WOVEN": 1, "WIDTH": width, "WOVEN(from, step, to)": f"{{ {' '.join(text)} }}"}


def turned(width: int, kind: str) -> dict[str, Any]:
    """The macro that adds up parts of ``width`` rows and columns, and writes columns.

    In ``src/conv.cl``: parts are ``step`` apart, rows COLUMNS, the output's columns ``out_column``.
    """
    if not can_transpose(width, width):
        return {"IS_TURNED": 0}
    vector, names = f"{kind}{width}", [f"t{i}" for i in range(width)]
    begin = " ".join(
        f"{vector} {name} = vload{width}(0, (from) + {i} * COLUMNS);"
        for i, name in enumerate(names)
    )
    more = " ".join(
        f"{name} += vload{width}(0, (from) + p * step + {i} * COLUMNS);"
        for i, name in enumerate(names)
    )
    statements, made = transposed(names, width, kind)
    stores = " ".join(
        f"vstore{width}({name}, 0, (to) + {m} * out_column);" for m, name in enumerate(made)
    )
    text = f"{{ {begin} for (ulong p = 1; p < parts; p++) {{ {more} }} {statements} {stores} }}"
    return {"IS_TURNED": 1, "WIDTH": width, "TURNED(from, to)": text}


def _woven_at(vector: int, rows: int, width: int, across: int) -> int:
    """Where a transposed vector goes: it has ``width / rows`` steps of depth."""
    return vector * (width // rows) * across


def _vector(device: Device, work: DType) -> int:
    """Elements of a vector register."""
    return min(16, max(2, device.vector // work.itemsize))


def usual(device: Device, work: DType) -> Tile:
    """The tile for a class of devices: registers of a CPU, local memory of a GPU."""
    if device.is_cpu:
        width = _vector(device, work)
        # Vectors of 64 bytes come with 32 registers; of others there may be 16.
        return Tile(8 if width * work.itemsize >= 64 else 4, 2, width)
    return candidates(device, work)[0]


def candidates(device: Device, work: DType) -> list[Tile]:
    """Tiles worth trying on a device, the likely ones first."""
    if device.is_cpu:
        width = _vector(device, work)
        return [Tile(r, v, width) for r, v in ((8, 2), (4, 2), (8, 1), (4, 4))]
    most = device.group
    found = []
    for items, rows, columns in ((16, 64, 64), (16, 64, 128), (16, 32, 64), (8, 32, 32)):
        # A step of both operands, and where rows begin, which a convolution keeps there too.
        room = 16 * (rows + columns) * work.itemsize + 8 * rows
        if items * items <= most and room <= device.local_memory:
            found.append(Tile(rows, columns // 4, 4, items))
    return [*found, Tile(4, 1, 4)]


def tile_of(device: Device, work: DType) -> Tile:
    """The tile that products are computed by: what was measured on this device, or the usual."""
    known: Tile | None = device.tiles.get(work)
    if known is None:
        with _measuring:  # not the device's lock, which who measures needs in other threads too
            known = device.tile(work, candidates(device, work)) or usual(device, work)
            device.tiles[work] = known
    if known.is_local and known.items**2 > device.group:  # while launches are made smaller
        return candidates(device, work)[0]
    return known
