"""Matrix products of NumPy arrays: BLAS for most, oneDNN where it is faster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from dovetail_cpu.blas import one_blas_thread
from dovetail_cpu.kernels.conversion import as_float32, convert
from dovetail_cpu.onednn import matmul as onednn
from dovetail_cpu.onednn.session import Session, current

__all__ = ["is_small", "matmul", "quantized_matmul"]

_Product = Callable[[np.ndarray, np.ndarray, np.ndarray], Any]

_ONE_THREAD = 64**3
"""OpenBLAS computes a product of so few multiply-adds on the calling thread."""

_ONE_THREAD_VECTOR = 9216
"""The same for the elements of a matrix that is multiplied by a vector."""

_WORTH = 1 << 20
"""From so many multiply-adds on oneDNN is ahead (measured: docs/decisions/onednn.md)."""

_NARROW = 8
"""With fewer rows or columns BLAS is ahead at every size."""


def is_small(rows: int, depth: int, columns: int) -> bool:
    """Whether ``np.matmul`` is the best for a product of this size: BLAS wakes no thread for it."""
    if rows == 1 or columns == 1:
        return max(rows, columns) * depth < _ONE_THREAD_VECTOR
    return rows * depth * columns <= _ONE_THREAD


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """``out = a @ b`` over the last two axes; leading axes broadcast to those of ``out``.

    a: (*, M, K); b: (*, K, N); out: (*, M, N), all of one dtype, with any strides. float16 and
    bfloat16 are summed in float32; integers wrap around; bool is "or" of "and".
    """
    if out.size == 0:
        return
    if a.shape[-1] == 0:
        out.fill(0)
        return
    if out.ndim > 2:
        a, b, out = _fold(a, b, out)
    _BY_DTYPE.get(out.dtype, _plain)(a, b, out)


_EXACT_DEPTH = 1 << 10
"""Products of int8 (at most 2^14 each) that float32 sums without rounding."""


def quantized_matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """int8 by int8 into int32: (*, M, K) by (*, K, N), in depths that float32 sums exactly."""
    if out.size == 0:
        return
    depth = a.shape[-1]
    out.fill(0)
    if out.ndim > 2:
        a, b, out = _fold(a, b, out)
    for start in range(0, depth, _EXACT_DEPTH):
        part = slice(start, start + _EXACT_DEPTH)
        sums = np.empty(out.shape, np.float32)
        _float32(a[..., part].astype(np.float32), b[..., part, :].astype(np.float32), sums)
        out += sums.astype(np.int32)


def _fold(
    a: np.ndarray, b: np.ndarray, out: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Many matrices times the same one are one long matrix times it."""
    if any(b.strides[:-2]) or a.shape[:-2] != out.shape[:-2] or not out.flags.c_contiguous:
        return a, b, out
    one = b[(0,) * (b.ndim - 2)]
    return a.reshape(-1, a.shape[-1]), one, out.reshape(-1, out.shape[-1])


def _plain(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    np.matmul(a, b, out)


def _blas(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    if out.shape[-1] * out.shape[-2] * a.shape[-1] <= _ONE_THREAD:
        np.matmul(a, b, out)
    else:
        _on_dense(np.matmul, a, b, out)


def _on_dense(product: _Product, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """``product`` on operands that BLAS and oneDNN can read; NumPy has a slow loop for others."""
    if _is_dense(out):
        product(_dense(a), _dense(b), out)
    elif _is_dense(out.swapaxes(-1, -2)):
        a, b, out = b.swapaxes(-1, -2), a.swapaxes(-1, -2), out.swapaxes(-1, -2)
        product(_dense(a), _dense(b), out)
    else:
        dense = np.empty(out.shape, out.dtype)
        product(_dense(a), _dense(b), dense)
        out[...] = dense


def _is_dense(array: np.ndarray) -> bool:
    """Whether rows lie without gaps, a whole number of elements apart."""
    rows, columns = array.strides[-2:]
    size = array.itemsize
    return columns == size and rows >= array.shape[-1] * size and rows % size == 0


def _dense(array: np.ndarray) -> np.ndarray:
    """``array``, copied where BLAS cannot read it as a matrix or its transpose."""
    if _is_dense(array) or _is_dense(array.swapaxes(-1, -2)):
        return array
    return np.ascontiguousarray(array)


def _float32(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    rows, columns = out.shape[-2:]
    depth = a.shape[-1]
    if rows >= _NARROW <= columns and out.size * max(depth, 16) >= _WORTH:
        session = current()
        if session is not None:
            _onednn(session, a, b, out)
            return
    elif is_small(rows, depth, columns):
        np.matmul(a, b, out)
        return
    if current() is None:
        _blas(a, b, out)
    else:
        with one_blas_thread():
            _blas(a, b, out)


def _onednn(session: Session, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    if not onednn.matmul(session, a, b, out):
        _on_dense(partial(_onednn_or_blas, session), a, b, out)


def _onednn_or_blas(session: Session, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    if not onednn.matmul(session, a, b, out):
        with one_blas_thread():
            np.matmul(a, b, out)


def _through_float32(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    wide = np.empty(out.shape, np.float32)
    _float32(as_float32(a), as_float32(b), wide)
    convert(wide, out)


def _bfloat16(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    session = current()
    native = session is not None and session.library.has_isa("avx512_core_bf16")
    if session is None or not native or not onednn.matmul(session, a, b, out):
        _through_float32(a, b, out)


_EXACT = 2.0**53  # every integer up to here has a float64 of its own


def _integer(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """NumPy's integer loop is fifty times slower than BLAS; use float64 where that is exact."""
    depth = a.shape[-1]
    work = out.shape[-1] * out.shape[-2] * depth
    if work < _ONE_THREAD or _magnitude(a) * _magnitude(b) * depth >= _EXACT:
        np.matmul(a, b, out)
        return
    wide = np.empty(out.shape, np.float64)
    _blas(a.astype(np.float64), b.astype(np.float64), wide)
    # By way of int64, whose low bits are the wrapped result; a direct cast would be undefined.
    out[...] = wide.astype(np.int64).astype(out.dtype)


def _magnitude(array: np.ndarray) -> float:
    return max(abs(float(array.max())), abs(float(array.min())))


_BY_DTYPE = {
    np.dtype(np.float32): _float32,
    np.dtype(np.float64): _blas,
    np.dtype(np.complex64): _blas,
    np.dtype(np.complex128): _blas,
    np.dtype(np.float16): _through_float32,
    np.dtype(bfloat16): _bfloat16,
    **{
        np.dtype(kind): _integer
        for kind in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32)
    },
}
