"""Fourier transforms by ``numpy.fft``.

NumPy 2 transforms float32 and complex64 in single precision and writes into ``out``; NumPy 1 does
all in double precision, which is rounded at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable

__all__ = ["enter"]

Dims = tuple[int, ...]
_IN_PLACE = int(np.__version__.split(".", 1)[0]) >= 2
_FORWARD = ("backward", "ortho", "forward")
"""NumPy's words for what a forward transform is multiplied by; the inverse has them reversed."""


def _write(transform: Any, x: np.ndarray, out: np.ndarray, dim: Dims, **options: Any) -> None:
    if 0 in out.shape or 0 in x.shape:
        out.fill(0)
    elif not dim:
        np.copyto(out, x)
    elif _IN_PLACE and out.flags.c_contiguous:
        transform(x, axes=dim, out=out, **options)
    else:
        np.copyto(out, transform(x, axes=dim, **options), casting="same_kind")


def fft_c2c(
    x: np.ndarray, out: np.ndarray, *, dim: Dims, normalization: int, forward: bool
) -> None:
    """Complex numbers to complex ones."""
    transform: Any = np.fft.fftn if forward else np.fft.ifftn
    _write(transform, x, out, dim, norm=_FORWARD[normalization if forward else 2 - normalization])


def fft_r2c(
    x: np.ndarray, out: np.ndarray, *, dim: Dims, normalization: int, onesided: bool
) -> None:
    """Real numbers to complex ones, all of them or half of the last dim."""
    transform: Any = np.fft.rfftn if onesided else np.fft.fftn
    _write(transform, x, out, dim, norm=_FORWARD[normalization])


def fft_c2r(
    x: np.ndarray, out: np.ndarray, *, dim: Dims, normalization: int, last_dim_size: int
) -> None:
    """Half of a spectrum to real numbers."""
    sizes = [out.shape[i] for i in dim]
    _write(np.fft.irfftn, x, out, dim, s=sizes, norm=_FORWARD[2 - normalization])


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.update({"fft_c2c": fft_c2c, "fft_r2c": fft_r2c, "fft_c2r": fft_c2r})
