"""What instructions have in common: the memories of a core, dtypes, and how windows are given."""

from __future__ import annotations

from typing import Any

from dovetail.dtypes import bfloat16, float16

__all__ = ["HALF", "ON_CHIP", "START", "shape_of", "window"]

ON_CHIP = ("nram", "wram")
"""A core's memories, on which it computes."""

HALF = (float16, bfloat16)
"""What is added up in float32."""

START = 8
"""Cycles before a vector or matrix instruction has its first result."""


def shape_of(shape: Any) -> tuple[int, ...]:
    """A number is a shape of one dim."""
    return (shape,) if isinstance(shape, int) else tuple(shape)


def window(kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Any, ...]:
    """(kernel, stride, (low, high) padding, dilation), each with one entry per spatial dim."""
    kernel = shape_of(kernel)
    n = len(kernel)
    many = lambda value, default: (
        (default,) * n if value is None else shape_of(value) * (n if isinstance(value, int) else 1)
    )
    pads = tuple(p if isinstance(p, tuple) else (p, p) for p in many(padding, 0))
    return kernel, many(stride, 1), pads, many(dilation, 1)
