"""conv and its two gradients on the matrix unit's convolution instructions.

Weights stay in WRAM while images pass through NRAM; channels are cut where a whole image, or all
weights, do not fit. A plane is never cut.
"""

from __future__ import annotations

from math import prod
from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.backend import KernelTable
from dovetail.dtypes import float32
from dovetail_dlp.machine.region import Region

__all__ = ["enter"]


def _cuts(n: int, size: int) -> list[slice]:
    return [slice(s, min(s + size, n)) for s in range(0, n, max(1, size))]


def _channels(given: int, made: int, weights: int, one: int, other: int) -> tuple[int, int]:
    """How many channels in and out at a time: ``one`` and ``other`` are bytes of a plane of
    each."""
    machine = dlp.machine()
    room = machine.nram - 2048
    into = max(1, min(made, (room // 2) // other))
    out_of = max(1, min(given, (room - into * other) // one))
    while into * out_of * weights > machine.wram - 1024 and max(into, out_of) > 1:
        if into >= out_of:
            into = -(-into // 2)
        else:
            out_of = -(-out_of // 2)
    return out_of, into


@dlp.kernel
def conv(
    x: Any,
    weight: Any,
    bias: Any,
    out: Any,
    *,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> None:
    """x: (N, C, *S), weight: (O, C / groups, *K), bias: (O), out: (N, O, *P)."""
    images, size = x.shape[0], x.dtype.itemsize
    given, made = weight.shape[1], weight.shape[0] // groups
    one, other = prod(x.shape[2:]) * size, prod(out.shape[2:]) * (4 + out.dtype.itemsize)
    several, many = _channels(given, made, prod(weight.shape[2:]) * size, one, other)
    for group, filters in dlp.product(range(groups), _cuts(made, many)):
        rows = slice(group * made + filters.start, group * made + filters.stop)
        count, inner = rows.stop - rows.start, _cuts(given, several)
        column = (1, count, *[1] * (x.ndim - 2))
        shift = None
        with dlp.scope():
            if bias is not None:
                shift = dlp.load_as(bias[rows].reshape(*column[1:]), float32)
            weights = (
                [_weights(weight[rows, part]) for part in inner]
                if _is_whole(weight, rows, inner)
                else []
            )
            for n in dlp.each(range(images)):
                total = dlp.nram((count, *out.shape[2:]), float32)
                for number, part in enumerate(inner):
                    with dlp.scope():
                        place = slice(group * given + part.start, group * given + part.stop)
                        tile = dlp.nram((part.stop - part.start, *x.shape[2:]), x.dtype)
                        dlp.load(tile, x[n, place])
                        kernel = weights[number] if weights else _weights(weight[rows, part])
                        dlp.conv(
                            total, tile, kernel, stride, padding, dilation, accumulate=number > 0
                        )
                if shift is not None:
                    dlp.vector_add(total, total, shift)
                dlp.store_as(out[n, rows], total)


def _is_whole(weight: Any, rows: slice, inner: list[slice]) -> bool:
    """Whether all weights of these filters fit into WRAM."""
    count = (rows.stop - rows.start) * prod(weight.shape[1:])
    return count * weight.dtype.itemsize + 64 * len(inner) <= dlp.machine().wram - 1024


def _weights(part: Any) -> Any:
    tile = dlp.wram(part.shape, part.dtype)
    dlp.load(tile, part)
    return tile


@dlp.kernel
def conv_grad_input(
    g: Any, weight: Any, out: Any, *, stride: Any, padding: Any, dilation: Any, groups: int
) -> None:
    """g: (N, O, *P), weight: (O, C / groups, *K), out: (N, C, *S)."""
    size = g.dtype.itemsize
    made, given = weight.shape[1], weight.shape[0] // groups
    one, other = prod(g.shape[2:]) * size, prod(out.shape[2:]) * (4 + out.dtype.itemsize)
    several, many = _channels(given, made, prod(weight.shape[2:]) * size, one, other)
    for group, columns in dlp.product(range(groups), _cuts(made, many)):
        place = slice(group * made + columns.start, group * made + columns.stop)
        inner = _cuts(given, several)
        with dlp.scope():
            rows = [slice(group * given + p.start, group * given + p.stop) for p in inner]
            whole = sum(r.stop - r.start for r in rows) * (columns.stop - columns.start)
            fits = (
                whole * prod(weight.shape[2:]) * size + 64 * len(rows) <= dlp.machine().wram - 1024
            )
            weights = [_weights(weight[r, columns]) for r in rows] if fits else []
            for n in dlp.each(range(g.shape[0])):
                total = dlp.nram((place.stop - place.start, *out.shape[2:]), float32)
                for number, r in enumerate(rows):
                    with dlp.scope():
                        tile = dlp.nram((r.stop - r.start, *g.shape[2:]), g.dtype)
                        dlp.load(tile, g[n, r])
                        kernel = weights[number] if weights else _weights(weight[r, columns])
                        dlp.conv_input(
                            total, tile, kernel, stride, padding, dilation, accumulate=number > 0
                        )
                dlp.store_as(out[n, place], total)


@dlp.kernel
def conv_grad_weight(
    g: Any, x: Any, parts: Any, *, stride: Any, padding: Any, dilation: Any, groups: int
) -> None:
    """g: (N, O, *P), x: (N, C, *S), parts: (tasks, O, C / groups, *K), each task's share of the
    sum."""
    images, size = x.shape[0], x.dtype.itemsize
    shares, filters, given = parts.shape[:3]
    made, machine = filters // groups, dlp.machine()
    one, other = prod(x.shape[2:]) * size, prod(g.shape[2:]) * size
    single = prod(parts.shape[3:]) * 4
    many = max(1, min(made, (machine.nram // 2) // max(other, 1)))
    several = max(
        1, min(given, (machine.wram - 1024) // one, (machine.nram // 2 - 1024) // (many * single))
    )
    many = max(1, min(many, (machine.nram // 2 - 1024) // (several * single)))
    step = -(-images // shares)
    at_once = max(
        1,
        min(
            step,
            (machine.wram - 1024) // (several * one),
            (machine.nram // 2 - 512) // (many * other),
        ),
    )
    for share in dlp.each(range(shares)):
        mine = range(share * step, min(images, (share + 1) * step))
        for group, left, right in dlp.product(
            range(groups), _cuts(made, many), _cuts(given, several)
        ):
            rows = slice(group * made + left.start, group * made + left.stop)
            place = slice(group * given + right.start, group * given + right.stop)
            with dlp.scope():
                target = parts[share, rows, right]
                total = dlp.nram(target.shape, float32)
                if not mine:
                    dlp.fill(total, 0.0)
                for start in range(0, len(mine), at_once):
                    here = slice(mine[start], mine[start : start + at_once][-1] + 1)
                    with dlp.scope():
                        a = dlp.nram(g[here, rows].shape, g.dtype)
                        b = dlp.wram(x[here, place].shape, x.dtype)
                        dlp.load(a, g[here, rows])
                        dlp.load(b, x[here, place])
                        dlp.conv_weight(
                            total, a, b, stride, padding, dilation, accumulate=start > 0
                        )
                dlp.store(target, total)


@dlp.kernel
def add_parts(parts: Any, out: Any) -> None:
    """parts: (tasks, n), out: (n)."""
    room = dlp.room(float32, float32, out.dtype, leave=512)
    for start, stop in dlp.parts(out.size, max(1, room // (parts.shape[0] + 2))):
        total = dlp.nram((1, stop - start), float32)
        dlp.reduce_sum(total, dlp.load_as(parts[:, start:stop], float32), 0)
        dlp.store_as(out[start:stop].reshape(1, stop - start), total)


add_parts.name = "conv_grad_weight"


def run_conv(*arguments: Any, **options: Any) -> None:
    """The geometry is part of the program."""
    conv(*arguments, **options)


def run_grad_input(*arguments: Any, input_shape: Any, **options: Any) -> None:
    """The shape is that of the output."""
    conv_grad_input(*arguments, **options)


def run_grad_weight(g: Any, x: Any, out: Any, *, weight_shape: Any, **options: Any) -> None:
    """Shares of the sum in a workspace, then their sum."""
    from dovetail_dlp.machine import settings
    from dovetail_dlp.machine.scratch import scratch

    shares = max(1, min(settings.current().tasks, x.shape[0]))
    shape = (shares, *weight_shape)
    with scratch(g, shape, float32) as address:
        parts = Region(address, shape, dlp.dense_strides(shape, 4), float32)
        conv_grad_weight(g, x, parts, **options)
        n = prod(weight_shape)
        flat = Region(address, (shares, n), (4 * n, 4), float32)
        add_parts(flat, Region(out.address, (n,), (out.dtype.itemsize,), out.dtype))


def _fits(call: Any) -> bool:
    """No empty tensors, and planes that fit."""
    from dovetail_dlp.machine import settings

    sizes = settings.current()
    tensors = [x for x in (*call.inputs, *call.outputs) if x is not None]
    planes = [prod(x.shape[2:]) for x in tensors if x.ndim > 2]
    return all(x.numel for x in tensors) and max(planes) * 16 <= min(sizes.nram, sizes.wram) - 4096


def enter(table: KernelTable) -> None:
    """Into a table."""
    for name, run in (
        ("conv", run_conv), ("conv_grad_input", run_grad_input),
        ("conv_grad_weight", run_grad_weight),
    ):  # fmt: skip
        table.add(name, run, dtypes=(*dlp.HALF, float32), when=_fits)
