"""Products of complex matrices as one product of real ones, which tiles are tuned for.

A row of complex numbers is a row of twice as many real ones, as it lies. The right operand
is written out as real numbers, [[x, y], [-y, x]] for each; the product is the output as it lies.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail.backend import collapse
from dovetail_kernels import dialect
from dovetail_kernels.arrays import Array, dense_strides, packed, part
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import Device
from dovetail_kernels.gemm import SMALL, Product, offset_of
from dovetail_kernels.source import loop_numbers, places, program

__all__ = ["ComplexProduct", "is_worth_it"]

LEAST = 1 << 15
"""Products of two numbers that are worth a launch more."""


def is_worth_it(a: Array, out: Array) -> bool:
    """Whether the product is large enough, and the output's rows lie densely."""
    if not out.dtype.is_complex or min(*out.shape[-2:], a.shape[-1]) < SMALL:
        return False
    return out.strides[-1] == out.itemsize and out.numel * a.shape[-1] >= LEAST


def _real(array: Array) -> Array:
    """A matrix with dense rows as real numbers, as it lies in memory."""
    kind = array.dtype.to_real()
    shape = (*array.shape[:-1], 2 * array.shape[-1])
    strides = (*array.strides[:-1], kind.itemsize)
    return Array(array.buffer, array.offset, shape, strides, kind)


class ComplexProduct:
    """One product resolved: ``run(a, b, out)``.

    Args:
        a, b, out: ghosts, (*, M, K), (*, K, N) and (*, M, N); leading dims broadcast.
    """

    def __init__(self, device: Device, a: Array, b: Array, out: Array) -> None:
        self.device, self.a, self.out = device, a, out
        self.copy: Copy | None = None
        if a.strides[-1] != a.itemsize:
            self.a = packed(a)
            self.copy = Copy(device, a, self.a)
        shape = (*b.shape[:-2], 2 * b.shape[-2], 2 * b.shape[-1])
        kind = b.dtype.to_real()
        self.right = Array(None, 0, shape, dense_strides(shape, kind.itemsize), kind)
        self.product = Product(device, _real(self.a), self.right, _real(out))
        self.spread = self._spread(b)
        self.bytes = (
            self.right.numel * kind.itemsize,
            0 if self.copy is None else a.numel * a.itemsize,
        )

    def _spread(self, b: Array) -> Any:
        device, width = self.device, b.shape[-1]
        loops = collapse(part(b, range(b.ndim - 1)))
        macros = {
            "IS_CPU": int(device.is_cpu),
            "PAIR_OF_PARTS": dialect.VALUES[b.dtype.name],
            **places("ROWS", loops, "r", ("from",)),
        }
        rows = math.prod(b.shape[:-1])
        numbers = [np.uint64(n) for n in (0, rows, width, b.element_strides[-1])]
        if device.is_cpu:
            size = device.workers(rows, max(1, 2048 // width))
        else:
            size = device.workers(rows * width)
        text = program(device, "both_parts", macros, (b.dtype,))
        numbers += loop_numbers(loops)
        return device.launch(text, "both_parts", 2, numbers, size, "matmul")

    def __call__(self, a: Any, b: Any, out: Any) -> None:
        """Queue it."""
        with self.device.scratch(*self.bytes) as (right, left):
            self.spread.with_numbers((right, b.buffer), ((0, offset_of(b)),))
            if self.copy is not None:
                dense = Array(left, 0, self.a.shape, self.a.strides, a.dtype)
                self.copy(a, dense)
                a = dense
            wide = self.right
            self.product(
                _real(a), Array(right, 0, wide.shape, wide.strides, wide.dtype), _real(out)
            )
