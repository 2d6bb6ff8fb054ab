"""matmul: tiles of the first operand in NRAM, of the second in WRAM, sums in float32."""

from __future__ import annotations

from math import prod
from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.dtypes import float32, int8, int32
from dovetail_dlp.machine.region import Region

__all__ = ["KERNELS", "matmul"]


def tile_sizes(m: int, k: int, n: int, size: int, wide: int) -> tuple[int, int, int]:
    """Sizes of tiles that fit: an m by k and an m by n tile in NRAM, a k by n tile in WRAM."""
    machine = dlp.machine()
    m, k, n = max(1, m), max(1, k), max(1, n)
    room = machine.nram - 512
    tn, tk = min(n, 256), min(k, 1024)
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
    tm, tk, tn = tile_sizes(m, k, n, a.dtype.itemsize, wide.itemsize)
    many = max(1, min(batch, (dlp.machine().nram // 2) // max(1, 4 * (tm * (tk + 3 * tn)))))
    many = many if (tm, tk, tn) == (m, k, n) and many * tk * tn * a.dtype.itemsize < dlp.machine().wram else 1
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
        if wide is not out.dtype:
            made = dlp.nram(shape, out.dtype)
            dlp.convert(made, total)
            total = made
        dlp.store(out[items, rows, columns], total)


def _cuts(n: int, size: int) -> list[slice]:
    return [slice(s, min(s + size, n)) for s in range(0, n, max(1, size))]


body.__name__ = "matmul"
kernel = dlp.kernel(body)


def matmul(a: Any, b: Any, out: Any) -> None:
    """Leading dims broadcast, then become one."""
    lead = out.shape[:-2]
    kernel(*(_flattened(_expanded(x, lead)) for x in (a, b, out)))


def _expanded(x: Any, lead: tuple[int, ...]) -> Any:
    shape, strides = x.shape, x.strides
    own = len(shape) - 2
    steps = (0,) * (len(lead) - own) + tuple(
        s if n == m else 0
        for n, s, m in zip(shape[:own], strides, lead[len(lead) - own :], strict=False)
    )
    return Region(x.address, (*lead, *shape[own:]), (*steps, *strides[own:]), x.dtype)


def _flattened(x: Any) -> Any:
    """Three dims: leading ones are merged where strides allow it, which they do for dense operands."""
    shape, strides = x.shape, x.strides
    batch = prod(shape[:-2])
    moving = [(n, s) for n, s in zip(shape[:-2], strides, strict=False) if n > 1]
    step = moving[-1][1] if moving else 0
    for (_, outer), (n, inner) in zip(moving, moving[1:], strict=False):
        if outer != n * inner:
            raise _Irregular
    return Region(x.address, (batch, *shape[-2:]), (step, *strides[-2:]), x.dtype)


class _Irregular(Exception):
    """Leading dims that cannot be one."""


def run(a: Any, b: Any, out: Any) -> None:
    """Where leading dims cannot be one, each of the first of them is a launch of its own."""
    try:
        matmul(a, b, out)
    except _Irregular:
        lead = out.shape[:-2]
        a, b = _expanded(a, lead), _expanded(b, lead)
        for i in range(lead[0]):
            run(*(_picked(x, i) for x in (a, b, out)))


def _picked(x: Any, i: int) -> Any:
    return Region(x.address + i * x.strides[0], x.shape[1:], x.strides[1:], x.dtype)


KERNELS = {"matmul": run}
