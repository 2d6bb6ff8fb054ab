"""The gradient of a convolution for its weight on the host's cores, block by block of the depth.

See ``src/conv_sum.cl``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail_kernels.folds import wrapping
from dovetail_kernels.gather import is_run, left_rows, tile_for
from dovetail_kernels.gather_sum import Sum, finishing
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.source import converted, element, program
from dovetail_kernels.spread import table_of
from dovetail_kernels.tiles import woven

__all__ = ["Blocks"]

CACHED = 1 << 18
"""Bytes of the output's gradient in one block."""

SHALLOW = 256
"""Places that are worth a part of their own."""


class Blocks:
    """One :class:`Sum` resolved: ``run(grad, x, out)``."""

    def __init__(self, made: Sum) -> None:
        self.sum, device, work = made, made.device, made.work
        rows, depth, kind = len(made.rows_at), len(made.depth_at), wrapping(work)
        tile = tile_for(device, work, made.columns)
        panels = made.groups * -(-made.columns // tile.columns)
        tiles = -(-rows // tile.rows)
        places = made.images * depth
        parts = 1 if panels % device.units == 0 else -(-device.units * 2 // panels)
        parts = max(1, min(parts, places // SHALLOW))
        block = max(1, min(-(-places // parts), CACHED // (tile.columns * work.itemsize)))
        macros = {
            "T": kind,
            **tile.macros(kind, is_float=True, left="p{i}[o]"),
            **left_rows(tile),
            "LOADED(i)": converted(made.grad.dtype, work, "GRAD_LOAD(grad, i)"),
            "RESULT(v)": converted(work, made.out.dtype, "v"),
            **element(device, "GRAD", made.grad.dtype),
            **element(device, "OUT", made.out.dtype),
        }
        if made.grad.dtype is work and is_run(made.grad_at):
            macros |= woven(tile.columns, tile.width, kind)
        if made.out.dtype is work and is_run(made.out_at):
            macros |= tile.columns_turned(kind)
        numbers = [
            np.uint64(v)
            for v in (
                0, 0, 0, made.groups, made.columns, rows, made.images, depth, made.x_group,
                made.image.image, *made.grad_steps, *made.out_steps, parts, block,
            )
        ]  # fmt: skip
        size = ((max(1, min(device.units * 4, panels * parts)),), (1,))
        text = program(device, "conv_sum", macros, (made.grad.dtype, made.out.dtype))
        self._main = device.launch(text, "blocks", 9, numbers, size, made.label)
        each = tile.columns * work.itemsize
        kept = panels * parts if parts > 1 else size[0][0]
        self._sizes = (
            made.image.nbytes,
            kept * tiles * tile.rows * each,
            size[0][0] * block * each,
        )
        self._finish = finishing(made, tile, parts) if parts > 1 else None
        self._tables = [
            table_of(device, values)
            for values in (made.rows_at, made.depth_at, made.grad_at, made.out_at)
        ]

    def __call__(self, grad: Any, x: Any, out: Any) -> None:
        """Queue it."""
        made = self.sum
        with made.device.scratch(*self._sizes) as (spread, sums, room):
            source, begin = made.image.place(x, spread)
            buffers = (out.buffer, source, grad.buffer, *self._tables, sums, room)
            numbers = ((0, offset_of(out)), (1, begin), (2, offset_of(grad)))
            self._main.with_numbers(buffers, numbers)
            if self._finish is not None:
                self._finish.with_numbers(
                    (out.buffer, sums, self._tables[3]), ((0, offset_of(out)),)
                )
