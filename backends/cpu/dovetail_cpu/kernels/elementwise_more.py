"""lerp, addcmul, fmod, hypot and their like, and sorted search; half precision is decomposed."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import COMPLEX, INTEGRAL, bool_, float32, float64
from dovetail_cpu.kernels.blocks import BLOCK
from dovetail_cpu.kernels.composed import enter_steps
from dovetail_cpu.kernels.elementwise import no_zero
from dovetail_cpu.kernels.order import order_of

__all__ = ["enter"]

UFUNCS = {
    "fmod": np.fmod, "hypot": np.hypot, "copysign": np.copysign, "logaddexp": np.logaddexp,
    "logaddexp2": np.logaddexp2, "signbit": np.signbit, "nextafter": np.nextafter,
}  # fmt: skip

_SLOW = ("hypot", "logaddexp", "logaddexp2")
"""Ufuncs that take longer than the steps of their decomposition."""


def addcmul(
    input: np.ndarray, tensor1: np.ndarray, tensor2: np.ndarray, out: np.ndarray, *, value: Any
) -> None:
    """``input + value * tensor1 * tensor2``; ``out`` may be ``input`` itself."""
    product = np.multiply(tensor1, tensor2, None if out is input else out)
    if value != 1:
        product = np.multiply(product, value, None if out is input else out)
    np.add(product, input, out)


def addcdiv(
    input: np.ndarray, tensor1: np.ndarray, tensor2: np.ndarray, out: np.ndarray, *, value: Any
) -> None:
    """``input + value * tensor1 / tensor2``; ``out`` may be ``input`` itself."""
    quotient = np.true_divide(tensor1, tensor2, None if out is input else out)
    if value != 1:
        quotient = np.multiply(quotient, value, None if out is input else out)
    np.add(quotient, input, out)


def lerp(input: np.ndarray, end: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """``input + weight * (end - input)``; ``out`` may be ``input`` itself."""
    if out is input:
        input = input.copy()
    np.subtract(end, input, out)
    np.multiply(out, weight, out)
    np.add(out, input, out)


def fmod_integers(input: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """Remainder of integers; dividing by zero is an error, as in PyTorch."""
    no_zero(other, out)
    np.fmod(input, other, out)


def fmax(input: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """The larger value; the other where one is NaN. (The ufunc takes out by keyword only.)"""
    np.fmax(input, other, out=out)


def fmin(input: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """The smaller value; the other where one is NaN."""
    np.fmin(input, other, out=out)


_FEW = 32
"""So few values of a row are searched for faster together with those of other rows."""


_FAR = 1 << 15
"""So many values are sorted first, for a sequence of so many elements: one search then begins where
the last ended, in the cache."""


def _halving(sequence: np.ndarray, values: np.ndarray, side: str) -> np.ndarray:
    """sequence: (R, N); values: (R, V), no NaN -> places (R, V), all found at once, bit by bit."""
    rows, n = sequence.shape
    flat = sequence.reshape(-1)
    before = np.arange(-1, rows * n - 1, n).reshape(-1, 1)  # the place before each row's first
    reached = np.less_equal if side == "right" else np.less
    found = np.zeros(values.shape, np.int64)
    step = 1 << (n.bit_length() - 1)
    while step:
        further = np.minimum(found + step, n)
        ahead = reached(flat.take(further + before), values)
        np.copyto(found, further, where=ahead)
        step >>= 1
    return found


def searchsorted(facts: Any) -> Any:
    """The place of each value in one sequence for all, or in one for each row."""
    side: Any = "right" if facts.attributes["right"] else "left"
    many = facts.inputs[0].numel >= _FAR and facts.inputs[1].numel >= _FAR
    if facts.inputs[0].ndim == 1 and many:

        def in_order(sequence: np.ndarray, values: np.ndarray, out: np.ndarray) -> None:
            order = order_of(values.reshape(1, -1), descending=False)[0]
            found = np.searchsorted(sequence, values.reshape(-1).take(order), side)
            out.reshape(-1)[order] = found

        return in_order
    if facts.inputs[0].ndim == 1:
        return lambda sequence, values, out: np.copyto(out, np.searchsorted(sequence, values, side))

    n, each = facts.inputs[0].shape[-1], facts.inputs[1].shape[-1]
    together = n and each <= _FEW and facts.inputs[1].numel > _FEW

    def rows(sequence: np.ndarray, values: np.ndarray, out: np.ndarray) -> None:
        if together and not np.isnan(values).any():
            out[...] = _halving(sequence.reshape(-1, n), values.reshape(-1, each), side).reshape(
                out.shape
            )
            return
        for place in np.ndindex(sequence.shape[:-1]):
            out[place] = np.searchsorted(sequence[place], values[place], side)

    return rows


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    real = (float32, float64)
    table.update(UFUNCS, dtypes=real)
    for name in _SLOW:
        enter_steps(name, table, BLOCK - 1, dtypes=real)  # a block of halves is one of float32
    table.add("fmod", fmod_integers, dtypes=INTEGRAL)
    table.update(
        {"addcmul": addcmul, "addcdiv": addcdiv, "lerp": lerp}, dtypes=(*real, *COMPLEX),
        in_place=True,
    )  # fmt: skip
    table.add("addcmul", addcmul, dtypes=INTEGRAL, in_place=True)
    table.update({"fmax": fmax, "fmin": fmin}, dtypes=(*real, *INTEGRAL, bool_))
    table.update({"gcd": np.gcd, "lcm": np.lcm}, dtypes=INTEGRAL)
    table.add("frexp", np.frexp, dtypes=real)
    table.add("searchsorted", searchsorted, dtypes=(*real, *INTEGRAL), specialize=True)
