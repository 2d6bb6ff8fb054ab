"""The gradient of a convolution for its weight: the sum goes over images and places.

See ``src/conv.cl``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import Array
from dovetail_kernels.device import Device, Launch
from dovetail_kernels.folds import wrapping
from dovetail_kernels.gather import BLOCK, is_run, packing, tile_for
from dovetail_kernels.gemm import offset_of
from dovetail_kernels.source import converted, element, program
from dovetail_kernels.spread import Image, table_of
from dovetail_kernels.tiles import Tile, turned

__all__ = ["Sum", "Summed", "finishing"]

CACHED = 1 << 18
"""Bytes of the right operand that one block of depth has at most."""


@dataclass(frozen=True)
class Sum:
    """The gradient for a weight.

    Attributes:
        image: what the windows are of.
        grad: (N, O, *P).
        rows_at, out_at: for channel and offset in the window, where it begins in the image and in
            the output.
        depth_at, grad_at: for each place, how far it is from there, and in the gradient.
    """

    device: Device
    work: DType
    image: Image
    grad: Array
    out: Array
    rows_at: np.ndarray
    out_at: np.ndarray
    depth_at: np.ndarray
    grad_at: np.ndarray
    images: int
    groups: int
    columns: int
    x_group: int
    label: str = "conv_grad_weight"

    @property
    def grad_steps(self) -> tuple[int, int, int]:
        """From group to group, column to column and image to image in the gradient."""
        image, column = self.grad.element_strides[:2]
        return self.columns * column, column, image

    @property
    def out_steps(self) -> tuple[int, int]:
        """From group to group and column to column in the output."""
        column = self.out.element_strides[0]
        return self.columns * column, column


def finishing(made: Sum, tile: Tile, parts: int) -> Launch:
    """The launch that adds parts of the sums, to be called with the output, sums and ``out_at``;
    its first number is where the output begins."""
    device, work, kind, rows = made.device, made.work, wrapping(made.work), len(made.rows_at)
    macros = {
        "IS_FINISH": 1,
        "T": kind,
        **tile.macros(kind, is_float=True),
        "BLOCK": BLOCK,
        "RESULT(v)": converted(work, made.out.dtype, "v"),
        **element(device, "OUT", made.out.dtype),
    }
    if made.out.dtype is work and not tile.is_local and is_run(made.out_at):
        macros |= turned(tile.width, kind)
    numbers = [np.uint64(v) for v in (0, made.groups, made.columns, rows, parts, *made.out_steps)]
    text = program(device, "conv", macros, (made.out.dtype,))
    panels = made.groups * -(-made.columns // tile.columns)
    size = device.workers(panels * -(-rows // BLOCK), 1)
    return device.launch(text, "finish", 3, numbers, size, made.label)


class Summed:
    """One :class:`Sum` resolved for work groups and local memory: ``run(grad, x, out)``."""

    def __init__(self, made: Sum) -> None:
        self.sum, device, work = made, made.device, made.work
        rows, depth = len(made.rows_at), len(made.depth_at)
        tile = tile_for(device, work, made.columns)
        panels = made.groups * -(-made.columns // tile.columns)
        tiles = -(-rows // tile.rows)
        self._pack, self._packed = packing(
            device, tile, work, made.grad, made.groups, made.columns, made.images,
            made.grad_at, made.grad_steps, made.label,
        )  # fmt: skip
        block = max(1, min(depth, CACHED // (tile.columns * work.itemsize)))
        blocks = -(-depth // block)
        parts = -(-device.units * 4 // (panels * tiles))
        parts = min(max(1, parts), made.images * blocks)
        if parts:  # those that get a share
            parts = -(-made.images * blocks // -(-made.images * blocks // parts))
        self._is_empty = not parts
        kind = wrapping(work)
        macros = {"IS_SUM": 1, "T": kind, **tile.macros(kind, is_float=True)}
        numbers = [
            np.uint64(v)
            for v in (
                0, made.groups, made.columns, rows, made.images, depth, made.x_group,
                made.image.image, parts, blocks, block,
            )
        ]  # fmt: skip
        items = tile.items
        size = ((tiles * items, panels * items, max(1, parts)), (items, items, 1))
        text = program(device, "conv", macros, ())
        self._main = device.launch(text, "gather_sum", 5, numbers, size, made.label)
        self._sums = parts * panels * tiles * tile.rows * tile.columns * work.itemsize
        self._finish = finishing(made, tile, parts)
        self._tables = [
            table_of(device, values)
            for values in (made.rows_at, made.depth_at, made.grad_at, made.out_at)
        ]

    def __call__(self, grad: Any, x: Any, out: Any) -> None:
        """Queue it."""
        made = self.sum
        rows_at, depth_at, grad_at, out_at = self._tables
        sizes = (made.image.nbytes, self._packed, self._sums)
        with made.device.scratch(*sizes) as (spread, packed, sums):
            source, begin = made.image.place(x, spread)
            if not self._is_empty:
                self._pack.with_numbers((packed, grad.buffer, grad_at), ((0, offset_of(grad)),))
                buffers = (sums, source, packed, rows_at, depth_at)
                self._main.with_numbers(buffers, ((0, begin),))
            self._finish.with_numbers((out.buffer, sums, out_at), ((0, offset_of(out)),))
