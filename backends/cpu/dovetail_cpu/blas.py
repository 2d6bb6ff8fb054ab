"""Control over the threads of the BLAS that NumPy was built with.

OpenBLAS and OpenMP (oneDNN) each keep their own threads spinning for a while after a call. Where
calls of the two alternate, the spinning threads of one hold the cores that the other waits for:
0.08 ms of work was measured to take 4 to 8 ms. So while oneDNN is in use, the float32 products
that stay with BLAS are computed on the calling thread alone.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

__all__ = ["blas_threads", "one_blas_thread"]

# As NumPy's wheels, distributions with 64-bit indices, and all others name it.
_NAMES = (
    "scipy_openblas_{}64_",
    "scipy_openblas_{}",
    "openblas_{}64_",
    "openblas_{}",
)


@functools.cache
def blas_threads() -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """OpenBLAS's ``get_num_threads`` and ``set_num_threads``; None for another BLAS."""
    from numpy.linalg import _umath_linalg  # linked against it, so its symbols resolve here

    try:
        library = ctypes.CDLL(_umath_linalg.__file__)
    except OSError:  # linked statically, or not a file
        return None
    for name in _NAMES:
        try:
            read = library[name.format("get_num_threads")]
            write = library[name.format("set_num_threads")]
        except AttributeError:
            continue
        read.restype, read.argtypes = ctypes.c_int, ()
        write.restype, write.argtypes = None, (ctypes.c_int,)
        return read, write
    return None


class one_blas_thread:
    """``with one_blas_thread():`` NumPy's BLAS computes on the calling thread.

    A class, because entering a generator costs as much as a small product.
    """

    __slots__ = ("_restore",)

    def __enter__(self) -> None:
        control = blas_threads()
        threads = 1 if control is None else control[0]()
        self._restore = threads
        if threads > 1 and control is not None:
            control[1](1)

    def __exit__(self, *_: object) -> None:
        control = blas_threads()
        if self._restore > 1 and control is not None:
            control[1](self._restore)
