"""fill, copy, arange: memory written from numbers or from other memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import bfloat16, float16, float32
from dovetail_cpu.kernels.blocks import BLOCK
from dovetail_cpu.kernels.conversion import convert

__all__ = ["enter"]

_CONVERTED = ((float16, float32), (float32, float16), (float16, bfloat16))
"""What NumPy and ``ml_dtypes`` convert more slowly."""


def fill(facts: Any) -> Any:
    """Set every element to one number."""
    value = facts.attributes["value"]
    return lambda out: out.fill(value)


def copy(facts: Any) -> Any:
    """Elements from one array to another of the same shape, converted."""
    source, target = facts.inputs[0].dtype, facts.outputs[0].dtype
    if source.is_complex and not target.is_complex and target.category:
        return _drop_imaginary
    if source.category == 2 and target.category == 1:
        return _truncate
    if target.category == 0 and source.category:
        return _test
    if (source, target) in _CONVERTED:
        return convert
    if target.category == 2 and target.itemsize < source.itemsize:
        return _narrow
    return _plain


def _narrow(input: np.ndarray, out: np.ndarray) -> None:
    # What does not fit becomes infinite, silently, even where a caller made warnings errors.
    with np.errstate(all="ignore"):
        np.copyto(out, input, casting="unsafe")


def _plain(input: np.ndarray, out: np.ndarray) -> None:
    np.copyto(out, input, casting="unsafe")


def _test(input: np.ndarray, out: np.ndarray) -> None:
    np.not_equal(input, 0, out)


def _drop_imaginary(input: np.ndarray, out: np.ndarray) -> None:
    np.copyto(out, input.real, casting="unsafe")


def _truncate(input: np.ndarray, out: np.ndarray) -> None:
    # Through int64 a value out of a narrow type's range wraps around, as PyTorch's conversion does.
    with np.errstate(all="ignore"):
        np.copyto(out, input.astype(np.int64), casting="unsafe")


def arange(out: np.ndarray, *, start: Any, step: Any) -> None:
    """Element i becomes ``start + i * step``."""
    kind = np.int64 if out.dtype.kind in "iub" else np.float64
    for first in range(0, len(out), BLOCK):
        part = out[first : first + BLOCK]
        i = np.arange(first, first + len(part), dtype=kind)
        with np.errstate(over="ignore"):
            if step != 1:
                i *= step
            if start != 0:
                i += start
            np.copyto(part, i, casting="unsafe")


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.add("fill", fill, specialize=True)
    table.add("copy", copy, specialize=True)
    table.add("arange", arange)
