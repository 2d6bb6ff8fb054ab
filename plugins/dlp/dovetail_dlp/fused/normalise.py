"""layer_norm and batch_norm: statistics and result while the data is on the chip."""

from __future__ import annotations

from math import prod
from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.backend import KernelTable
from dovetail.dtypes import float32
from dovetail_dlp.machine import settings
from dovetail_dlp.machine.region import dense

__all__ = ["enter"]


def _root(out: Any, variance: Any, eps: float) -> None:
    """``1 / sqrt(variance + eps)``."""
    dlp.vector_add(out, variance, eps)
    dlp.vector_sqrt(out, out)
    dlp.vector_div(out, 1.0, out)


@dlp.kernel
def layer_norm(
    x: Any, weight: Any, bias: Any, out: Any, mean: Any, rstd: Any, *, eps: float
) -> None:
    """x: (rows, n); mean and rstd: (rows, 1)."""
    count, n = x.shape
    scale = None if weight is None else dlp.load_as(weight.reshape(1, n), float32)
    shift = None if bias is None else dlp.load_as(bias.reshape(1, n), float32)
    room = dlp.room(x.dtype, float32, float32, out.dtype, leave=4096)
    for (here,) in dlp.blocks((count,), max(1, room // (n + 8))):
        tile = dlp.load_as(x[here], float32)
        shape = (tile.shape[0], 1)
        middle, spread, square = (dlp.nram(s, float32) for s in (shape, shape, tile.shape))
        dlp.reduce_sum(middle, tile, 1)
        dlp.vector_div(middle, middle, float(n))
        dlp.vector_sub(tile, tile, middle)
        dlp.vector_mul(square, tile, tile)
        dlp.reduce_sum(spread, square, 1)
        dlp.vector_div(spread, spread, float(n))
        _root(spread, spread, eps)
        dlp.vector_mul(tile, tile, spread)
        if scale is not None:
            dlp.vector_mul(tile, tile, scale)
        if shift is not None:
            dlp.vector_add(tile, tile, shift)
        dlp.store_as(out[here], tile)
        dlp.store_as(mean[here], middle)
        dlp.store_as(rstd[here], spread)


def run_layer_norm(
    x: Any, weight: Any, bias: Any, *outs: Any, normalized_shape: Any, eps: float
) -> None:
    """Rows of the normalised shape."""
    n = prod(normalized_shape)
    rows = prod(x.shape) // n
    out, mean, rstd = outs
    column = (dense(mean, (rows, 1)), dense(rstd, (rows, 1)))
    layer_norm(dense(x, (rows, n)), weight, bias, dense(out, (rows, n)), *column, eps=eps)


class _Channels:
    """A task's channels of (N, C, S) tensors, in pieces of N and S that fit."""

    def __init__(self, x: Any, tiles: int) -> None:
        self.images, self.channels, self.size = x.shape
        self.count = float(self.images * self.size)
        room = dlp.room(*[float32] * tiles, x.dtype, leave=8192)
        most = -(-self.channels // dlp.task_dim())
        each = max(1, min(most, room // (self.images * self.size)))
        self.blocks = [
            slice(c, min(c + each, self.channels)) for c in range(0, self.channels, each)
        ]
        self.pieces = dlp.cut((self.images, self.size), max(1, room // each))

    def numbers(self, width: int, count: int) -> list[Any]:
        """Tiles of one number per channel."""
        return [dlp.nram((1, width, 1), float32) for _ in range(count)]

    def read(self, x: Any, here: slice) -> Any:
        """One number per channel from GDRAM."""
        return dlp.load_as(x[here].reshape(1, here.stop - here.start, 1), float32)

    def total(self, target: Any, here: slice, compute: Any) -> None:
        """``target`` is the sum over all pieces of what ``compute(place)`` makes."""
        (part,) = self.numbers(target.shape[1], 1)
        for number, (images, places) in enumerate(self.pieces):
            with dlp.scope():
                dlp.reduce_sum(part if number else target, compute((images, here, places)), (0, 2))
            if number:
                dlp.vector_add(target, target, part)


@dlp.kernel
def batch_norm_train(
    x: Any, weight: Any, bias: Any, out: Any, mean: Any, var: Any, *, eps: float
) -> None:
    """x: (N, C, S)."""
    work = _Channels(x, 3)
    for here in dlp.each(work.blocks):
        width = here.stop - here.start
        middle, spread, scale = work.numbers(width, 3)
        work.total(middle, here, lambda place: dlp.load_as(x[place], float32))
        dlp.vector_div(middle, middle, work.count)

        def squared(place: Any, middle: Any = middle) -> Any:
            tile = dlp.load_as(x[place], float32)
            dlp.vector_sub(tile, tile, middle)
            dlp.vector_mul(tile, tile, tile)
            return tile

        work.total(spread, here, squared)
        dlp.vector_div(spread, spread, work.count)
        _root(scale, spread, eps)
        if weight is not None:
            dlp.vector_mul(scale, scale, work.read(weight, here))
        shift = None if bias is None else work.read(bias, here)
        for images, places in work.pieces:
            with dlp.scope():
                tile = dlp.load_as(x[images, here, places], float32)
                dlp.vector_sub(tile, tile, middle)
                dlp.vector_mul(tile, tile, scale)
                if shift is not None:
                    dlp.vector_add(tile, tile, shift)
                dlp.store_as(out[images, here, places], tile)
        dlp.store_as(mean[here], middle)
        dlp.store_as(var[here], spread)


@dlp.kernel
def batch_norm_train_backward(
    g: Any, x: Any, mean: Any, var: Any, weight: Any, out: Any, of_weight: Any, of_bias: Any,
    *, eps: float,
) -> None:  # fmt: skip
    """g and x: (N, C, S)."""
    work = _Channels(x, 4)
    for here in dlp.each(work.blocks):
        width = here.stop - here.start
        scale, level, slope = work.numbers(width, 3)
        middle = work.read(mean, here)
        _root(scale, work.read(var, here), eps)

        def normal(place: Any, middle: Any = middle, scale: Any = scale) -> Any:
            tile = dlp.load_as(x[place], float32)
            dlp.vector_sub(tile, tile, middle)
            dlp.vector_mul(tile, tile, scale)
            return tile

        def product(place: Any, normal: Any = normal) -> Any:
            tile = normal(place)
            dlp.vector_mul(tile, tile, dlp.load_as(g[place], float32))
            return tile

        work.total(level, here, lambda place: dlp.load_as(g[place], float32))
        work.total(slope, here, product)
        dlp.store_as(of_bias[here], level)
        dlp.store_as(of_weight[here], slope)
        dlp.vector_div(level, level, work.count)
        dlp.vector_div(slope, slope, work.count)
        factor = scale
        if weight is not None:
            (factor,) = work.numbers(width, 1)
            dlp.vector_mul(factor, scale, work.read(weight, here))
        for images, places in work.pieces:
            with dlp.scope():
                place = (images, here, places)
                tile, made = normal(place), dlp.load_as(g[place], float32)
                dlp.vector_mul(tile, tile, slope)
                dlp.vector_sub(made, made, level)
                dlp.vector_sub(made, made, tile)
                dlp.vector_mul(made, made, factor)
                dlp.store_as(out[place], made)


def _channelled(kernel: Any, big: tuple[int, ...]) -> Any:
    """Arguments ``big`` as (N, C, S)."""

    def run(*arguments: Any, eps: float) -> None:
        shape = arguments[0].shape
        three = (shape[0], shape[1], prod(shape[2:]))
        kernel(*(dense(x, three) if i in big else x for i, x in enumerate(arguments)), eps=eps)

    return run


def enter(table: KernelTable) -> None:
    """Into a table, where there is something to normalise."""
    kinds = (*dlp.HALF, float32)
    longest = lambda: settings.current().nram // 64
    fits = lambda call: 0 < prod(call.normalized_shape) <= longest() and call.input.numel > 0
    table.add("layer_norm", run_layer_norm, dtypes=kinds, when=fits)
    some = lambda call: call.input.numel > 0
    table.add("batch_norm_train", _channelled(batch_norm_train, (0, 3)), dtypes=kinds, when=some)
    backward = _channelled(batch_norm_train_backward, (0, 1, 5))
    table.add("batch_norm_train_backward", backward, dtypes=kinds, when=some)
