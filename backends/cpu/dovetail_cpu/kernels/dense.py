"""Reducing dense float arrays faster than NumPy's own loops do.

NumPy adds pairwise along the last axis at a quarter of the memory's speed, and one row after
another along the others. ``einsum`` is faster along the last axis; it is given at most ``ROW``
elements at a time, so that rounding errors stay as small. Short rows of the other axes are joined
into long ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.dtypes import bfloat16, float16
from dovetail_cpu.kernels.conversion import as_float32, convert

__all__ = [
    "MEDIUM",
    "ROW",
    "SMALL",
    "Kernel",
    "Whole",
    "along_columns",
    "along_rows",
    "is_dense",
    "kept",
    "squares",
    "summing",
    "trailing",
    "two_stage",
    "widened",
]

Kernel = Callable[..., None]
Whole = Callable[..., np.ndarray]

SMALL = 4096
"""Arrays of so few elements are reduced by the call that costs least to make."""

MEDIUM = 1 << 15
"""Up to so many elements, NumPy's pairwise sum of all of them costs less than two steps."""

ROW = 4096
PIECE = 1024
WIDE = 1024
BLOCK = 256


def is_dense(spec: Any) -> bool:
    """Whether an array of this spec is row-major without gaps, and not empty."""
    return bool(spec.is_contiguous and spec.numel)


def kept(shape: tuple[int, ...], dim: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` with 1 in place of the reduced dims."""
    return tuple(1 if i in dim else n for i, n in enumerate(shape))


def along_rows(x: np.ndarray, y: np.ndarray | None = None) -> Any:
    """x: (R, N), dense float -> (R,): its sums, or those of ``x * y``."""
    n = x.shape[1]
    operands = (x,) if y is None else (x, y)
    if n <= ROW:
        return np.einsum("ij->i" if y is None else "ij,ij->i", *operands)
    pieces = n // PIECE
    end = pieces * PIECE
    parts = [v[:, :end].reshape(-1, pieces, PIECE) for v in operands]
    sums = np.einsum("ijk->ij" if y is None else "ijk,ijk->ij", *parts)
    total = np.add.reduce(sums, 1)
    if end < n:
        rest = [v[:, end:] for v in operands]
        total += np.einsum("ij->i" if y is None else "ij,ij->i", *rest)
    return total


def along_columns(ufunc: Any, x: np.ndarray) -> np.ndarray:
    """x: (R, C), dense -> (C,)."""
    rows, columns = x.shape
    if rows < 64:
        return ufunc.reduce(x, 0)  # type: ignore[no-any-return]
    join = max(1, min(rows, WIDE // max(columns, 1)))
    count = rows // join
    wide = x[: count * join].reshape(count, join * columns)
    if count > ROW:  # so many additions one after another would lose accuracy
        blocks = count // BLOCK
        first = ufunc.reduce(wide[: blocks * BLOCK].reshape(blocks, BLOCK, -1), 1)
        wide = np.concatenate([first, wide[blocks * BLOCK :]])
    total = ufunc.reduce(wide, 0)
    if join > 1:
        total = ufunc.reduce(total.reshape(join, columns), 0)
    if count * join < rows:
        total = ufunc(total, ufunc.reduce(x[count * join :], 0))
    return total  # type: ignore[no-any-return]


def trailing(shape: tuple[int, ...], dim: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """(where the reduced dims at the end begin, the other reduced dims)."""
    end = len(shape)
    while end and end - 1 in dim:
        end -= 1
    return end, tuple(n for n in dim if n < end)


def two_stage(shape: tuple[int, ...], dim: tuple[int, ...], rows: Whole, ufunc: Any) -> Whole:
    """Reduce a dense array: the dims at the end by ``rows``, then the others by ``ufunc``."""
    end, others = trailing(shape, dim)
    lead = shape[:end]
    length = math.prod(shape[end:])
    front = math.prod(lead[: len(others)])
    at_front = others == tuple(range(len(others)))
    rest = lead[len(others) :]

    def run(*arrays: np.ndarray) -> np.ndarray:
        x = arrays[0]
        if end < len(shape):
            x = rows(*[v.reshape(-1, length) for v in arrays]).reshape(lead)
        if not others:
            return x
        if at_front:
            return along_columns(ufunc, x.reshape(front, -1)).reshape(rest)
        return ufunc.reduce(x, others)  # type: ignore[no-any-return]

    return run


def summing(spec: Any, dim: tuple[int, ...]) -> Whole:
    """The sums of a float32 or float64 array of a spec's shape, without the reduced dims."""
    if is_dense(spec) and spec.numel > SMALL:
        return two_stage(tuple(spec.shape), dim, along_rows, np.add)
    return lambda x: np.add.reduce(x, dim)


def squares(spec: Any, dim: tuple[int, ...]) -> Whole:
    """The sums of squares of an array, which is dense if the spec is."""
    _, others = trailing(tuple(spec.shape), dim)
    if is_dense(spec) and not others and dim:
        if len(dim) == spec.ndim and spec.numel <= SMALL:

            def flat(x: np.ndarray) -> np.ndarray:
                v = x.reshape(-1)
                return v.dot(v)  # type: ignore[no-any-return]

            return flat
        rows = two_stage(tuple(spec.shape), dim, along_rows, np.add)
        return lambda x: rows(x, x)
    plain = summing(spec, dim)
    return lambda x: plain(x * x)


def widened(kernel: Kernel, kind: Any) -> Kernel:
    """float16 and bfloat16: read and computed as float32, rounded once."""
    if kind not in (float16, bfloat16):
        return kernel

    def run(x: np.ndarray, *outs: np.ndarray) -> None:
        wide = [np.empty(o.shape, o.dtype if o.dtype.kind in "iub" else np.float32) for o in outs]
        kernel(np.asarray(as_float32(x), order="C"), *wide)
        for out, value in zip(outs, wide, strict=True):
            convert(value, out)

    return run
