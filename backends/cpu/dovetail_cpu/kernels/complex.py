"""Complex numbers from their parts, and their conjugates."""

from __future__ import annotations

import numpy as np

from dovetail.backend import KernelTable

__all__ = ["enter"]


def complex_(real: np.ndarray, imag: np.ndarray, out: np.ndarray) -> None:
    """Real and imaginary parts, interleaved."""
    out.real[...] = real
    out.imag[...] = imag


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.add("complex", complex_)
    table.add("conj_physical", np.conjugate)
