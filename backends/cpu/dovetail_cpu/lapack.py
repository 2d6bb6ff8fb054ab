"""LAPACK's ``getrf``, which NumPy links to but does not wrap, through ctypes.

As NumPy's own wheels, distributions with 64-bit indices, and all others name it; where it is under
none of the names, LU is computed by NumPy's operations.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["getrf"]

_NAMES: tuple[tuple[str, Any], ...] = (
    ("scipy_{}getrf_64_", np.int64),
    ("scipy_{}getrf_", np.int32),
    ("{}getrf_64_", np.int64),
    ("{}getrf_", np.int32),
)
_LETTERS = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}


@functools.cache
def _library() -> Any:
    from numpy.linalg import _umath_linalg  # linked against it, so its symbols resolve here

    try:
        return ctypes.CDLL(_umath_linalg.__file__)
    except OSError:  # linked statically, or not a file
        return None


@functools.cache
def getrf(dtype: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None:
    """A function that factorizes a batch of column-major matrices in place.

    It takes (B, N, M), C-contiguous, each the transpose of a matrix (M, N), and returns pivots
    (B, K) and info (B); None where LAPACK cannot be found.
    """
    library = _library()
    for name, integer in _NAMES if library is not None else ():
        try:
            routine = library[name.format(_LETTERS[dtype])]
        except AttributeError:
            continue
        routine.restype = None
        routine.argtypes = (ctypes.c_void_p,) * 6
        return functools.partial(_factor, routine, integer)
    return None


def _factor(routine: Any, integer: Any, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, n, m = a.shape
    sizes = np.array([m, n, max(m, 1)], integer)
    pivots = np.zeros((count, min(m, n)), integer)
    info = np.zeros(count, integer)
    at = sizes.ctypes.data
    rows, columns, leading = (at + i * sizes.itemsize for i in range(3))
    matrix, pivot, found = a.ctypes.data, pivots.ctypes.data, info.ctypes.data
    for i in range(count):
        routine(
            rows,
            columns,
            matrix + i * a.strides[0],
            leading,
            pivot + i * pivots.strides[0],
            found + i * info.itemsize,
        )
    return pivots, info
