"""How many threads the libraries behind the kernels use: OpenBLAS, and oneDNN's OpenMP."""

from __future__ import annotations

import os

from dovetail_cpu.blas import blas_threads
from dovetail_cpu.onednn.library import load

__all__ = ["set_threads", "threads"]

_chosen = 0  # 0: nobody has chosen, the libraries decide


def threads() -> int:
    """How many threads one kernel may use."""
    control = blas_threads()
    return _chosen or (control[0]() if control is not None else os.cpu_count() or 1)


def set_threads(count: int) -> None:
    """Choose it, for all kernels."""
    global _chosen
    _chosen = count
    control = blas_threads()
    if control is not None:
        control[1](count)
    library = load()
    if library is not None:
        set_openmp = getattr(library.api.library, "omp_set_num_threads", None)
        if set_openmp is not None:  # OpenMP keeps the number per calling thread
            set_openmp(count)
            library.threads = count
