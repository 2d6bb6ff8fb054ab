"""Sorting NumPy arrays: stable, NaN last, values and indices.

NumPy sorts 64-bit integers with vector instructions, but its stable argsort does not use them. So a
32-bit (or narrower) element and its index are packed into one integer whose order is that of the
element, then of the index: sorting those is stable by itself. The same goes for 64-bit integers
within a range of 2**31. Other 64-bit elements are sorted unstably first; where no two are equal,
that is the stable order too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from dovetail.backend import KernelTable

__all__ = ["enter", "order_of"]

_FEW = 256
"""So few elements are sorted by one call of NumPy's stable argsort."""


def _keys(x: np.ndarray) -> Any:
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


def _packed_order(x: np.ndarray, descending: bool) -> Any:
    keys = _keys(x)
    if descending:
        np.invert(keys, keys)
    np.left_shift(keys, 32, keys)
    np.bitwise_or(keys, np.arange(x.shape[1]), keys)
    keys.sort(1)
    return np.bitwise_and(keys, 0xFFFFFFFF, keys)


def _near_zero(x: np.ndarray) -> Any:
    """64-bit integers less the smallest, where 31 bits hold that; else None."""
    low = x.min()
    return x - low if int(x.max()) - int(low) < 1 << 31 else None


def _has_ties(x: np.ndarray, found: np.ndarray) -> bool:
    values = _take(x, found)
    if np.any(values[:, 1:] == values[:, :-1]):
        return True
    return x.dtype.kind == "f" and bool(np.isnan(values[:, -1]).any())


def order_of(x: np.ndarray, descending: bool) -> Any:
    """x: (R, N), dense -> stable indices along the rows."""
    n = x.shape[1]
    if x.dtype == bfloat16:
        x = x.astype(np.float32)
    if x.size > _FEW and x.dtype.itemsize <= 4 and n < 1 << 31:
        return _packed_order(x, descending)
    near = _near_zero(x) if x.size > _FEW and x.dtype.kind in "iu" and n < 1 << 31 else None
    if near is not None:
        return _packed_order(near, descending)
    if descending:
        # Reversed before and after, ascending and stable is descending and stable.
        return n - 1 - order_of(x[:, ::-1].copy(), False)[:, ::-1]
    if x.size > _FEW:
        found = x.argsort(1)
        if not _has_ties(x, found):
            return found
    return x.argsort(1, kind="stable")


def _take(x: np.ndarray, found: np.ndarray) -> np.ndarray:
    """x: (R, N), dense; found: (R, K) -> (R, K), each row's elements."""
    rows, n = x.shape
    if rows > 1:
        found = found + np.arange(0, rows * n, n).reshape(rows, 1)
    return x.reshape(-1).take(found)


def _as_rows(x: np.ndarray, dim: int) -> np.ndarray:
    """(R, N), dense: ``dim`` last, all other dims as one."""
    if dim != x.ndim - 1:
        x = np.moveaxis(x, dim, -1)
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


def _deliver(rows: np.ndarray, out: np.ndarray, dim: int) -> None:
    """Rows (R, K) into ``out``, whose ``dim`` they are."""
    target = out if dim == out.ndim - 1 else np.moveaxis(out, dim, -1)
    np.copyto(target, rows.reshape(target.shape), casting="unsafe")


def _alone(input: np.ndarray, values: np.ndarray, indices: np.ndarray) -> bool:
    """Handle 0-d tensors and empty results."""
    if input.ndim and values.size:
        return False
    if values.size:
        np.copyto(values, input)
    indices.fill(0)
    return True


def sort(
    input: np.ndarray,
    values: np.ndarray,
    indices: np.ndarray,
    *,
    dim: int,
    descending: bool,
) -> None:
    """Elements along a dim in order, and where they came from."""
    if _alone(input, values, indices):
        return
    rows = _as_rows(input, dim)
    found = order_of(rows, descending)
    _deliver(found, indices, dim)
    _deliver(_take(rows, found), values, dim)


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
    if _alone(input, values, indices):
        return
    rows = _as_rows(input, dim)
    if rows.dtype == bfloat16:
        rows = rows.astype(np.float32)
    n = rows.shape[1]
    if n >= _WORTH and k * 4 <= n:
        cut = np.argpartition(rows, n - k if largest else k - 1, 1)
        chosen = np.sort(cut[:, n - k :] if largest else cut[:, :k], 1)  # equal ones as they came
        found = _take(chosen, order_of(_take(rows, chosen), largest))
    else:
        found = order_of(rows, largest)[:, :k]
    _deliver(found, indices, dim)
    _deliver(_take(rows, found), values, dim)


def kthvalue(
    input: np.ndarray, values: np.ndarray, indices: np.ndarray, *, k: int, dim: int, keepdim: bool
) -> None:
    """The k-th smallest along a dim."""
    if _alone(input, values, indices):
        return
    rows = _as_rows(input, dim)
    if rows.dtype == bfloat16:
        rows = rows.astype(np.float32)
    found = np.argpartition(rows, k - 1, 1)[:, k - 1 : k]
    if not keepdim:
        values, indices = np.expand_dims(values, dim), np.expand_dims(indices, dim)
    _deliver(found, indices, dim)
    _deliver(_take(rows, found), values, dim)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.update({"sort": sort, "topk": topk, "kthvalue": kthvalue})
