"""Pooling and its gradients, plane by plane: as many planes at a time as fit."""

from __future__ import annotations

from math import prod
from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.backend import KernelTable
from dovetail.dtypes import float32, int64
from dovetail_dlp.machine import settings
from dovetail_dlp.machine.region import dense

__all__ = ["enter"]


def _padding(size: Any, places: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """(before, after) per dim, so that every window has room."""
    return tuple(
        (p, max(p, (m - 1) * s + d * (k - 1) + 1 - n - p))
        for n, m, k, s, p, d in zip(size, places, kernel, stride, padding, dilation, strict=True)
    )


@dlp.kernel
def max_pool(
    x: Any, out: Any, indices: Any, *, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> None:
    """x: (planes, *S); out and indices: (planes, *P)."""
    window = (
        kernel,
        stride,
        _padding(x.shape[1:], out.shape[1:], kernel, stride, padding, dilation),
        dilation,
    )
    each = prod(x.shape[1:]) * x.dtype.itemsize + prod(out.shape[1:]) * (out.dtype.itemsize + 8)
    limit = max(1, dlp.room(dlp.int8, leave=512) // each)
    for (here,) in dlp.blocks((x.shape[0],), _planes(x, limit)):
        tile = dlp.load_as(x[here], x.dtype)
        made, where = dlp.nram(out[here].shape, x.dtype), dlp.nram(out[here].shape, int64)
        dlp.maxpool(made, tile, *window, indices=where)
        dlp.store(out[here], made)
        dlp.store(indices[here], where)


def _planes(x: Any, limit: int) -> int:
    return max(1, min(limit, -(-x.shape[0] // dlp.task_dim())))


@dlp.kernel
def max_pool_grad(g: Any, indices: Any, out: Any) -> None:
    """g and indices: (planes, P); out: (planes, S)."""
    each = g.shape[1] * (g.dtype.itemsize + 4 + 8) + out.shape[1] * (4 + out.dtype.itemsize)
    limit = max(1, dlp.room(dlp.int8, leave=512) // each)
    for (here,) in dlp.blocks((g.shape[0],), _planes(g, limit)):
        values, where = dlp.load_as(g[here], float32), dlp.load_as(indices[here], int64)
        dlp.check_range(where, out.shape[1])
        made = dlp.nram(out[here].shape, float32)
        dlp.add_at(made, values, where)
        dlp.store_as(out[here], made)


@dlp.kernel
def avg_pool(x: Any, out: Any, *, kernel: Any, stride: Any, padding: Any, divisor: Any) -> None:
    """x: (planes, *S); out: (planes, *P); ``divisor``: a number, or None for what lies inside."""
    ones = (1,) * len(kernel)
    window = (
        kernel,
        stride,
        _padding(x.shape[1:], out.shape[1:], kernel, stride, padding, ones),
        ones,
    )
    count: Any = divisor
    if divisor is None:
        full, count = dlp.nram((1, *x.shape[1:]), float32), dlp.nram((1, *out.shape[1:]), float32)
        dlp.fill(full, 1.0)
        dlp.sumpool(count, full, *window)
    each = prod(x.shape[1:]) * (x.dtype.itemsize + 4) + prod(out.shape[1:]) * (
        4 + out.dtype.itemsize
    )
    limit = max(1, dlp.room(dlp.int8, leave=512) // each)
    for (here,) in dlp.blocks((x.shape[0],), _planes(x, limit)):
        made = dlp.nram(out[here].shape, float32)
        dlp.sumpool(made, dlp.load_as(x[here], float32), *window)
        dlp.vector_div(made, made, count)
        dlp.store_as(out[here], made)


@dlp.kernel
def avg_pool_grad(
    g: Any, out: Any, *, kernel: Any, stride: Any, padding: Any, divisor: Any
) -> None:
    """g: (planes, *P); out: (planes, *S)."""
    ones = (1,) * len(kernel)
    window = (
        kernel,
        stride,
        _padding(out.shape[1:], g.shape[1:], kernel, stride, padding, ones),
        ones,
    )
    count: Any = divisor
    if divisor is None:
        full, count = dlp.nram((1, *out.shape[1:]), float32), dlp.nram((1, *g.shape[1:]), float32)
        dlp.fill(full, 1.0)
        dlp.sumpool(count, full, *window)
    each = prod(out.shape[1:]) * (out.dtype.itemsize + 4) + prod(g.shape[1:]) * (
        4 + g.dtype.itemsize
    )
    limit = max(1, dlp.room(dlp.int8, leave=512) // each)
    for (here,) in dlp.blocks((g.shape[0],), _planes(g, limit)):
        tile = dlp.load_as(g[here], float32)
        dlp.vector_div(tile, tile, count)
        made = dlp.nram(out[here].shape, float32)
        dlp.spread(made, tile, *window)
        dlp.store_as(out[here], made)


def _flat(x: Any) -> Any:
    return dense(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def run_max_pool(
    x: Any, out: Any, indices: Any, *, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool,
) -> None:  # fmt: skip
    """Planes of an (N, C, *S) tensor."""
    options = {"kernel": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    max_pool(_flat(x), _flat(out), _flat(indices), **options)


def run_max_pool_grad(g: Any, indices: Any, out: Any, *, input_shape: Any) -> None:
    """The same, each plane in one row."""
    rows = lambda x: dense(x, (x.shape[0] * x.shape[1], prod(x.shape[2:])))
    max_pool_grad(rows(g), rows(indices), rows(out))


def _averaging(kernel: Any) -> Any:
    def run(
        x: Any, out: Any, *, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
        count_include_pad: bool, divisor_override: int | None, input_shape: Any = None,
    ) -> None:  # fmt: skip
        divisor = divisor_override or (
            prod(kernel_size) if _is_constant(padding, count_include_pad) else None
        )
        options = {"kernel": kernel_size, "stride": stride, "padding": padding}
        kernel(_flat(x), _flat(out), **options, divisor=None if divisor is None else float(divisor))

    return run


def _is_constant(padding: Any, count_include_pad: bool) -> bool:
    return count_include_pad or not any(padding)


def _fits(call: Any) -> bool:
    sizes = [(x.numel, x.shape) for x in (*call.inputs, *call.outputs)]
    return all(n and prod(shape[2:]) * 44 <= settings.current().nram for n, shape in sizes)


def enter(table: KernelTable) -> None:
    """Into a table, where planes fit; windows beyond the end (ceil_mode) are counted by the
    core."""
    kinds = (*dlp.HALF, float32)
    table.add("max_pool", run_max_pool, dtypes=kinds, when=_fits)
    table.add("max_pool_grad", run_max_pool_grad, dtypes=kinds, when=_fits)
    plain = lambda call: _fits(call) and not call.ceil_mode
    table.add("avg_pool", _averaging(avg_pool), dtypes=kinds, when=plain)
    table.add("avg_pool_grad", _averaging(avg_pool_grad), dtypes=kinds, when=plain)
