"""Products of halves whose columns or depth are no multiple of eight, made of larger ones that are.

Tensor cores are fed 16 bytes at a time, and the library's fast kernels ask that of sizes too, not
of places alone. The right factor is copied into a larger one; of the left one and the output some
rows at a time. What is added to the depth is 0, and what is added to the columns is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail.backend import EXPRESSIONS
from dovetail_cuda.kernels.matrices import form
from dovetail_cuda.kernels.products import Product
from dovetail_kernels.arrays import Array
from dovetail_kernels.copy import Copy
from dovetail_kernels.elementwise import Elementwise, number

__all__ = ["STEP", "Widened"]

STEP = 8
"""What sizes are made a multiple of."""

TILE = 256
"""Rows that a piece has a multiple of."""


def _up(size: int) -> int:
    return -(-size // STEP) * STEP


class _Larger:
    """A matrix inside of a larger one, the rest of which is 0 or anything.

    Args:
        source: a ghost of it.
        shape: of the larger one.
        zeros: the dim along which the rest is 0; -1: in none.
    """

    def __init__(self, device: Any, source: Any, shape: tuple[int, int], zeros: int) -> None:
        lies = form(source)
        size, self.dtype = source.itemsize, source.dtype
        rows, columns = shape
        is_turned = lies is not None and lies.turned
        self.shape = shape
        self.strides = (size, rows * size) if is_turned else (columns * size, size)
        self.nbytes = rows * columns * size
        self.view = Array(None, 0, shape, self.strides, self.dtype)
        inner = Array(None, 0, source.shape, self.strides, self.dtype)
        self.into, self.back = Copy(device, source, inner), Copy(device, inner, source)
        self._rest: Any = None
        if zeros >= 0 and shape[zeros] > source.shape[zeros]:
            rest = list(shape)
            rest[zeros] -= source.shape[zeros]
            self._begin = source.shape[zeros] * self.strides[zeros]
            ghost = Array(None, 0, tuple(rest), self.strides, self.dtype)
            fill = EXPRESSIONS["fill"]
            self._rest = Elementwise(device, "fill", fill, [ghost], (), self.dtype, 0)

    def at(self, block: Any) -> Array:
        """It in memory."""
        return Array(block, 0, self.shape, self.strides, self.dtype)

    def take(self, array: Any, larger: Array) -> None:
        """Copy the matrix in, and zeros beside it."""
        self.into(array, larger)
        if self._rest is not None:
            rest = Array(larger.buffer, self._begin, self._rest.views[0].shape, self.strides,
                         self.dtype)  # fmt: skip
            self._rest.run((rest,), ((0, number(0, self.dtype)),))


def _rows(array: Any, count: int) -> Array:
    return Array(None, 0, (count, array.shape[1]), array.strides, array.dtype)


def _from(array: Any, nbytes: int) -> Array:
    where = array.offset + nbytes
    return Array(array.buffer, where, array.shape, array.strides, array.dtype)


class Widened:
    """``run(a, b, out)``, as :class:`.products.Product`.

    Args:
        a, b, out: ghosts, (M, K), (K, N) and (M, N).
        piece: bytes of copies that are made of some rows at a time.
    """

    def __init__(self, device: Any, a: Any, b: Any, out: Any, alpha: Any, piece: int) -> None:
        self.device = device
        (rows, depth), columns = a.shape, out.shape[1]
        deep, wide = _up(depth), _up(columns)
        self._right = _Larger(device, b, (deep, wide), 0)
        self._steps = (a.strides[0], out.strides[0])
        each = (deep * (deep > depth) + wide * (wide > columns)) * a.itemsize
        some = max(1, piece // max(1, each) // TILE) * TILE
        made: dict[int, Any] = {}
        self._pieces: list[tuple[int, Any]] = []
        for first in range(0, rows, some):
            count = min(some, rows - first)
            if count not in made:
                left, target = _rows(a, count), _rows(out, count)
                parts = (
                    _Larger(device, left, (count, deep), 1) if deep > depth else None,
                    _Larger(device, target, (count, wide), -1) if wide > columns else None,
                )
                views = [
                    x if larger is None else larger.view
                    for x, larger in zip((left, target), parts, strict=True)
                ]
                product = Product(device, views[0], self._right.view, views[1], alpha=alpha)
                made[count] = (*parts, product)
            self._pieces.append((first, made[count]))

    def __call__(self, a: Any, b: Any, out: Any, input: Any = None) -> None:
        """Queue it."""
        sizes = [self._right.nbytes]
        sizes += [0 if x is None else x.nbytes for x in self._pieces[0][1][:2]]
        with self.device.lock, self.device.scratch(*sizes) as blocks:
            right = self._right.at(blocks[0])
            self._right.take(b, right)
            for first, parts in self._pieces:
                self._piece(parts, _from(a, first * self._steps[0]), right,
                            _from(out, first * self._steps[1]), blocks)  # fmt: skip

    @staticmethod
    def _piece(parts: Any, a: Array, right: Array, out: Array, blocks: Sequence[Any]) -> None:
        left, target, product = parts
        x, y = a, out
        if left is not None:
            x = left.at(blocks[1])
            left.take(a, x)
        if target is not None:
            y = target.at(blocks[2])
        product(x, right, y)
        if target is not None:
            target.back(y, out)
