"""PyTorch's ``torch.signal.windows``: () -> (M,).

``sym`` gives a symmetric window for the design of filters; without it one for spectra, which leaves
out the last point of a symmetric window of M + 1 points.

All raise ``ValueError`` for a negative M, a dtype but float32 and float64, and another layout than
strided. Values are computed on the host in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dovetail import dtypes as d
from dovetail.signal.shapes import (
    NUTTALL,
    bartlett_values,
    cosine_sum,
    cosine_values,
    exponential_values,
    gaussian_values,
    kaiser_values,
    made,
)
from dovetail.tensor import Tensor, strided

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine",
    "general_hamming", "hamming", "hann", "kaiser", "nuttall",
]  # fmt: skip


def _checked(name: str, M: int, dtype: Any, layout: Any) -> d.dtype:
    kind = d.get_default_dtype() if dtype is None else d.as_dtype(dtype)
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not None and layout is not strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if kind not in (d.float32, d.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {kind}")
    return kind


def exponential(
    M: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``exp(-|n - center| / tau)`` (Poisson's window).

    Raises:
        ValueError: ``tau`` is not positive, or a symmetric window has a ``center``.
    """
    kind = _checked("exponential", M, dtype, layout)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    return made(exponential_values(M, sym, center, tau), kind, device, requires_grad)


def cosine(
    M: int,
    *,
    sym: bool = True,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Half a wave of a sine."""
    kind = _checked("cosine", M, dtype, layout)
    return made(cosine_values(M, sym), kind, device, requires_grad)


def gaussian(
    M: int,
    *,
    std: float = 1.0,
    sym: bool = True,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``exp(-(n - centre)**2 / (2 std**2))``.

    Raises:
        ValueError: ``std`` is not positive.
    """
    kind = _checked("gaussian", M, dtype, layout)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return made(gaussian_values(M, sym, std), kind, device, requires_grad)


def kaiser(
    M: int,
    *,
    beta: float = 12.0,
    sym: bool = True,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``I0(beta sqrt(1 - x**2)) / I0(beta)``, x going from -1 to 1.

    Raises:
        ValueError: ``beta`` is negative.
    """
    kind = _checked("kaiser", M, dtype, layout)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return made(kaiser_values(M, sym, beta), kind, device, requires_grad)


def hamming(
    M: int,
    *,
    sym: bool = True,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``0.54 - 0.46 cos(2 pi n / (M - 1))``."""
    kind = _checked("hamming", M, dtype, layout)
    return made(cosine_sum(M, sym, (0.54, 0.46)), kind, device, requires_grad)


def hann(
    M: int,
    *,
    sym: bool = True,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``0.5 - 0.5 cos(2 pi n / (M - 1))``.

    Example:
        >>> hann(5)
        tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    kind = _checked("hann", M, dtype, layout)
    return made(cosine_sum(M, sym, (0.5, 0.5)), kind, device, requires_grad)


def blackman(
    M: int,
    *,
    sym: bool = True,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``0.42 - 0.5 cos(2 pi n / (M - 1)) + 0.08 cos(4 pi n / (M - 1))``."""
    kind = _checked("blackman", M, dtype, layout)
    return made(cosine_sum(M, sym, (0.42, 0.5, 0.08)), kind, device, requires_grad)


def bartlett(
    M: int,
    *,
    sym: bool = True,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A triangle from 0 up to 1 and down."""
    kind = _checked("bartlett", M, dtype, layout)
    return made(bartlett_values(M, sym), kind, device, requires_grad)


def general_cosine(
    M: int,
    *,
    a: Iterable[float],
    sym: bool = True,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``sum_i (-1)**i a[i] cos(2 pi i n / (M - 1))``.

    Raises:
        TypeError: ``a`` is no sequence.
        ValueError: ``a`` is empty.
    """
    kind = _checked("general_cosine", M, dtype, layout)
    if M > 1:
        if not isinstance(a, Iterable):
            raise TypeError("Coefficients must be a list/tuple")
        if not a:
            raise ValueError("Coefficients cannot be empty")
    return made(cosine_sum(M, sym, a), kind, device, requires_grad)


def general_hamming(
    M: int,
    *,
    alpha: float = 0.54,
    sym: bool = True,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``alpha - (1 - alpha) cos(2 pi n / (M - 1))``."""
    kind = _checked("general_hamming", M, dtype, layout)
    return made(cosine_sum(M, sym, (alpha, 1 - alpha)), kind, device, requires_grad)


def nuttall(
    M: int,
    *,
    sym: bool = True,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Nuttall's minimum 4-term Blackman-Harris window."""
    kind = _checked("nuttall", M, dtype, layout)
    return made(cosine_sum(M, sym, NUTTALL), kind, device, requires_grad)
