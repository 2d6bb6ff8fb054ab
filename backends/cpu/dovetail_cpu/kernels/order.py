"""Sorting NumPy arrays: stable, NaN last, values and indices.

NumPy sorts 64-bit integers with vector instructions, but its stable argsort does not use them. So a
32-bit (or narrower) element and its index are packed into one integer whose order is that of the
element, then of the index: sorting those is stable by itself. 64-bit elements are sorted unstably
first; where no two are equal, that is the stable order too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from dovetail.backend import KernelTable

__all__ = ["enter"]


def _keys(x: np.ndarray) -> np.ndarray:
    """int64 keys that order as 32-bit and narrower elements do, equal where they are equal."""
    if x.dtype.kind in "iub":
        return x.astype(np.int64)
    wide = x.astype(np.float32) + np.float32(0)  # -0 becomes 0
    bits = wide.view(np.int32)
    # Floats order as sign and magnitude; flipping the magnitude of negative ones makes integers.
    np.bitwise_xor(bits, (bits >> 31) & np.int32(0x7FFFFFFF), bits)
    nan = x != x
    if nan.any():
        bits[nan] = 0x7FFFFFFF
    return bits.astype(np.int64)


def _packed_order(x: np.ndarray, descending: bool) -> np.ndarray:
    """Indices along the last axis."""
    keys = _keys(x)
    if descending:
        np.invert(keys, keys)
    np.left_shift(keys, 32, keys)
    np.bitwise_or(keys, np.arange(x.shape[-1]), keys)
    keys.sort(-1)
    return np.bitwise_and(keys, 0xFFFFFFFF, keys)


def _order(x: np.ndarray, descending: bool) -> np.ndarray:
    """Stable indices along the last axis."""
    n = x.shape[-1]
    if (x.dtype.itemsize <= 4 or x.dtype == bfloat16) and n < 1 << 31:
        return _packed_order(x, descending)
    if descending:
        # Reversed before and after, ascending and stable is descending and stable.
        return n - 1 - _order(x[..., ::-1], False)[..., ::-1]
    found = np.argsort(x, -1)
    values = np.take_along_axis(x, found, -1)
    same = values[..., 1:] == values[..., :-1]
    if x.dtype.kind == "f" and n and np.isnan(values[..., -1]).any():
        return np.argsort(x, -1, kind="stable")
    return np.argsort(x, -1, kind="stable") if same.any() else found


def sort(
    input: np.ndarray,
    values: np.ndarray,
    indices: np.ndarray,
    *,
    dim: int,
    descending: bool,
) -> None:
    """Elements along a dim in order, and where they came from."""
    if not input.ndim or not input.size:
        np.copyto(values, input)
        indices.fill(0)
        return
    rows = np.ascontiguousarray(np.moveaxis(input, dim, -1))
    found = _order(rows, descending)
    np.copyto(np.moveaxis(indices, dim, -1), found)
    np.copyto(np.moveaxis(values, dim, -1), np.take_along_axis(rows, found, -1))


_WORTH = 64
"""Partitioning is worth its cost from rows of so many elements, for a quarter of them at most."""


def topk(
    input: np.ndarray,
    values: np.ndarray,
    indices: np.ndarray,
    *,
    k: int,
    dim: int,
    largest: bool,
    sorted: bool,
) -> None:
    """The k largest or smallest along a dim, in order."""
    if not input.ndim or not k or not input.size:
        if values.size:
            np.copyto(values, input)
        indices.fill(0)
        return
    rows = np.ascontiguousarray(np.moveaxis(input, dim, -1))
    if rows.dtype == bfloat16:
        rows = rows.astype(np.float32)
    n = rows.shape[-1]
    if n >= _WORTH and k * 4 <= n:
        cut = np.argpartition(rows, n - k if largest else k - 1, -1)
        chosen = cut[..., n - k :] if largest else cut[..., :k]
        chosen = np.sort(chosen, -1)  # equal elements in the order they came
        part = np.take_along_axis(rows, chosen, -1)
        found = np.take_along_axis(chosen, _order(part, largest), -1)
    else:
        found = _order(rows, largest)[..., :k]
    np.copyto(np.moveaxis(indices, dim, -1), found)
    picked = np.take_along_axis(rows, found, -1)
    np.copyto(np.moveaxis(values, dim, -1), picked, casting="unsafe")


def kthvalue(
    input: np.ndarray, values: np.ndarray, indices: np.ndarray, *, k: int, dim: int, keepdim: bool
) -> None:
    """The k-th smallest along a dim."""
    if not input.ndim:
        np.copyto(values, input)
        indices.fill(0)
        return
    rows = np.moveaxis(input, dim, -1)
    if rows.dtype == bfloat16:
        rows = rows.astype(np.float32)
    found: Any = np.argpartition(rows, k - 1, -1)[..., k - 1 : k]
    picked = np.take_along_axis(rows, found, -1)
    for out, result in ((values, picked), (indices, found)):
        shown = np.moveaxis(result, -1, dim)
        np.copyto(out, shown if keepdim else result[..., 0], casting="unsafe")


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    for name, kernel in {"sort": sort, "topk": topk, "kthvalue": kthvalue}.items():
        table.add(name, kernel)
