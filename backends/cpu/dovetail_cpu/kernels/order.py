"""Sorting NumPy arrays: stable, NaN last, values and indices.

NumPy sorts 64-bit integers with vector instructions, but its stable argsort does not use them. So a
32-bit (or narrower) element and its index are packed into one integer whose order is that of the
element, then of the index: sorting those is stable by itself. The same goes for 64-bit integers
within a range of 2**31. Of other 64-bit elements the leading bits are packed with the index; the
few that these do not tell apart are put in order afterwards, and where they are many, NumPy sorts.
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


_LEAST, _MOST = np.int64(-(1 << 63)), np.int64((1 << 63) - 1)


def _long_keys(x: np.ndarray) -> Any:
    """int64 keys that order as 64-bit elements do."""
    if x.dtype.kind == "i":
        return x
    if x.dtype.kind == "u":
        return x.view(np.int64) ^ _LEAST
    bits = (x + 0.0).view(np.int64)  # -0 becomes 0
    np.bitwise_xor(bits, (bits >> 63) & _MOST, bits)
    nan = x != x
    if nan.any():
        bits[nan] = _MOST
    return bits


def _leading_order(x: np.ndarray, descending: bool) -> Any:
    """By the bits that fit beside the index; None where these leave many in doubt."""
    n = x.shape[1]
    keys = _long_keys(x)
    if descending:
        keys = ~keys
    width = np.int64((n - 1).bit_length())
    packed = (keys >> width) << width
    np.bitwise_or(packed, np.arange(n), packed)
    packed.sort(1)
    found = packed & ((np.int64(1) << width) - 1)
    np.right_shift(packed, width, packed)
    same = packed[:, 1:] == packed[:, :-1]
    if same.any():
        doubtful = np.zeros(x.shape, np.bool_)
        doubtful[:, 1:] = same
        doubtful[:, :-1] |= same
        rows, places = np.nonzero(doubtful)
        if rows.size * 8 > x.size:
            return None
        which = found[rows, places]  # in the order of the index where leading bits are equal
        found[rows, places] = which[np.lexsort((keys[rows, which], rows))]
    return found


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
    if x.size > _FEW and x.dtype.itemsize == 8 and x.dtype.kind in "iuf" and n < 1 << 31:
        found = _leading_order(x, descending)
        if found is not None:
            return found
    if descending:
        # Reversed before and after, ascending and stable is descending and stable.
        return n - 1 - x[:, ::-1].argsort(1, kind="stable")[:, ::-1]
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
