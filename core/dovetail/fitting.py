"""Whether a Python number is one that a dtype has, as PyTorch's ``Scalar::to`` asks."""

from __future__ import annotations

import functools
import math
from typing import Any

from dovetail import dtypes as d

__all__ = ["check_fits", "fits", "held"]

_C_NAMES = {
    "uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int", "int64": "int64_t",
    "float16": "at::Half", "bfloat16": "at::BFloat16", "float32": "float", "float64": "double",
}  # fmt: skip


def check_fits(value: Any, kind: d.dtype) -> None:
    """Raise RuntimeError for a number that does not fit."""
    if not fits(value, kind):
        raise RuntimeError(
            f"value cannot be converted to type {_C_NAMES[kind.name]} without overflow"
        )


def fits(value: Any, kind: d.dtype) -> bool:
    """Whether ``kind`` holds a number: beyond its range, complex or, of integers, NaN does not.

    Negative integers wrap around in an unsigned dtype, as PyTorch has it; other numbers do not.

    Example:
        >>> fits(300, d.uint8), fits(-1, d.uint8), fits(-1.0, d.uint8), fits(1e40, d.float32)
        (False, True, False, False)
    """
    if kind.category in (0, 3):
        return True
    if isinstance(value, complex):
        if value.imag:
            return False
        value = value.real
    low, high = _limits(kind)
    if not hasattr(value, "__index__") and kind.category == 1 and not kind.is_signed:
        low = 0
    if low <= value <= high:
        return True
    return kind.category == 2 and not math.isfinite(value)


def held(value: Any, kind: d.dtype) -> Any:
    """A number that fits as integers and bool hold it: cut off, and True unless it is 0.

    Example:
        >>> held(0.5, d.int64), held(0.5, d.bool_), held(0.5, d.float32)
        (0, True, 0.5)
    """
    if kind is d.bool_:
        return bool(value)
    return int(value.real) if kind.category < 2 and isinstance(value, (float, complex)) else value


@functools.cache
def _limits(kind: d.dtype) -> tuple[float, float]:
    if kind.category == 2:
        largest = d.finfo(kind).max
        return -largest, largest
    limits = d.iinfo(kind)
    return (limits.min if kind.is_signed else -limits.max), limits.max
