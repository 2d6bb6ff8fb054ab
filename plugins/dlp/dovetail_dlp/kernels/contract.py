"""matmul: tiles of the first operand in NRAM, of the second in WRAM, sums in float32.

The matrix unit adds up whole numbers exactly as deep as a tile is; tiles are added in int32.
"""

from __future__ import annotations

from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.dtypes import float32, int8, int32
from dovetail_dlp.machine.region import expanded, flattened, picked

__all__ = ["KERNELS"]


def tile_sizes(m: int, k: int, n: int, size: int, wide: int) -> tuple[int, int, int]:
    """Sizes of tiles that fit: an m by k and an m by n tile in NRAM, a k by n tile in WRAM."""
    machine = dlp.machine()
    m, k, n = max(1, m), max(1, k), max(1, n)
    room = machine.nram - 512
    tn, tk = min(n, 256), min(k, dlp.INT8_TERMS)
    while tk > 1 and (tk * tn * size > machine.wram - 64 or 2 * tk * size > room):
        tk = -(-tk // 2)
    per_row = lambda: tk * size + tn * (wide + size + wide)
    while tn > 1 and per_row() > room:
        tn = -(-tn // 2)
    return min(m, max(1, room // per_row())), tk, tn


def body(a: Any, b: Any, out: Any) -> None:
    """(batch, m, k) by (batch, k, n); any strides."""
    (batch, m, k), n = a.shape, b.shape[-1]
    on_matrix = a.dtype in dlp.MATRIX
    wide = (int32 if a.dtype is int8 else float32) if on_matrix else out.dtype
    multiply = dlp.matmul if on_matrix else dlp.vector_matmul
    if a.dtype is int8:
        multiply = whole_numbers
    tm, tk, tn = tile_sizes(m, k, n, a.dtype.itemsize, wide.itemsize)
    nram, wram = dlp.machine().nram // 2, dlp.machine().wram - 512
    many = min(batch, nram // (4 * tm * (tk + 3 * tn)), wram // (tk * tn * a.dtype.itemsize))
    if (tm, tk, tn) != (m, k, n) or many < 1:  # several small matrices are one work item
        many = 1
    works = [
        (slice(s, min(s + many, batch)), *block)
        for s in range(0, batch, many)
        for block in dlp.product(_cuts(m, tm), _cuts(n, tn))
    ]
    for items, rows, columns in dlp.each(works):
        shape = (items.stop - items.start, rows.stop - rows.start, columns.stop - columns.start)
        total = dlp.nram(shape, wide)
        if not k:
            dlp.fill(total, 0)
        for number, inner in enumerate(_cuts(k, tk)):
            with dlp.scope():
                depth = inner.stop - inner.start
                left = dlp.nram((shape[0], shape[1], depth), a.dtype)
                right = dlp.wram((shape[0], depth, shape[2]), b.dtype)
                dlp.load(left, a[items, rows, inner])
                dlp.load(right, b[items, inner, columns])
                multiply(total, left, right, accumulate=number > 0)
        dlp.store_as(out[items, rows, columns], total)


def whole_numbers(total: Any, left: Any, right: Any, *, accumulate: bool) -> None:
    """int8 to int32: a tile's sums are exact in float32, and become integers where they are."""
    sums = dlp.nram(total.shape, float32) if accumulate else total.view(float32)
    dlp.matmul(sums, left, right)
    dlp.convert(sums.view(int32), sums)
    if accumulate:
        dlp.vector_add(total, total, sums.view(int32))


def _cuts(n: int, size: int) -> list[slice]:
    return [slice(s, min(s + size, n)) for s in range(0, n, max(1, size))]


body.__name__ = "matmul"
kernel = dlp.kernel(body)


def run(a: Any, b: Any, out: Any) -> None:
    """Leading dims broadcast; where they cannot become one, each of the first is a launch."""
    lead = out.shape[:-2]
    operands = [expanded(x, lead) for x in (a, b, out)]
    flat = [flattened(x) for x in operands]
    if all(flat):
        kernel(*flat)
        return
    for i in range(lead[0]):
        run(*(picked(x, i) for x in operands))


KERNELS = {"matmul": run}
