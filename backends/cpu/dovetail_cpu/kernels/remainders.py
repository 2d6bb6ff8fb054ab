"""Remainders of float32, by a quotient in float64: exact while it has 28 bits.

``input - n * other``, where it is not 0, is at least the last bit of ``other``. So a quotient near
a whole number ``n`` is further from it than float64 rounds, and the product and the difference have
52 bits. NumPy's ``fmod`` goes bit by bit: 16 ns an element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32
from dovetail_cpu.kernels.blocks import in_blocks, scratch
from dovetail_cpu.kernels.half_bits import copysign

__all__ = ["enter"]

_FEW = 1024
_MOST = float(1 << 28)

Array = np.ndarray


def _remainder(input: Array, other: Array, out: Array, whole: Any, plain: Any) -> None:
    """``input - whole(input / other) * other``; what that does not serve by NumPy's ``plain``."""
    a, b, n = (scratch(np.float64, out.size, i).reshape(out.shape) for i in range(3))
    fits, is_small = (scratch(bool, out.size, i).reshape(out.shape) for i in range(2))
    np.copyto(a, input)
    np.copyto(b, other)
    np.true_divide(a, b, n)
    whole(n, n)
    np.multiply(b, n, b)
    np.subtract(a, b, a)
    np.absolute(n, n)
    np.less(n, _MOST, is_small)
    np.isfinite(a, fits)
    np.logical_and(fits, is_small, fits)
    few = None
    if not fits.all():
        left = np.logical_not(fits, fits)
        few = plain(*(x.reshape(-1) if x.size == 1 else x[left] for x in (input, other)))
    np.copyto(out, a, casting="unsafe")
    if few is not None:
        out[left] = few


def fmod(input: Array, other: Array, out: Array) -> None:
    """The remainder that has the sign of ``input``."""
    _remainder(input, other, out, np.trunc, np.fmod)
    copysign(out, input, out)  # of zeros; other numbers have it


def remainder(input: Array, other: Array, out: Array) -> None:
    """The remainder that has the sign of ``other``."""
    _remainder(input, other, out, np.floor, np.remainder)
    copysign(out, other, out)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    many = lambda facts: facts.outputs[0].numel > _FEW
    for kernel in (fmod, remainder):
        table.add(kernel.__name__, in_blocks(kernel), dtypes=(float32,), when=many, specialize=True)
