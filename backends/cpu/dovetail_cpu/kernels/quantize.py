"""Floats to integers of a scale, in one array that is worked on in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32

__all__ = ["enter", "quantize_affine"]


def quantize_affine(
    input: np.ndarray, scale: Any, zero_point: Any, out: np.ndarray, *,
    axis: int | None, quant_min: int, quant_max: int, out_dtype: Any,
) -> None:  # fmt: skip
    """``clamp(round(input / scale + zero_point), quant_min, quant_max)``; numbers or arrays."""
    shape = () if axis is None else [-1 if i == axis else 1 for i in range(input.ndim)]
    inverse = np.float32(1) / np.asarray(scale, np.float32).reshape(shape)
    work = np.empty(out.shape, np.float32)
    np.multiply(input, inverse, work)
    np.add(work, np.asarray(zero_point, np.float32).reshape(shape), work)
    np.rint(work, work)
    np.clip(work, quant_min, quant_max, work)
    np.copyto(out, work, casting="unsafe")


def enter(table: KernelTable) -> None:
    """Put this kernel into a table."""
    table.add("quantize_affine", quantize_affine, dtypes=(float32,), scalars=True)
