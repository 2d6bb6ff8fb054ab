"""The window functions as numbers: each is computed on the host in float64 and rounded once.

So a window is the same on every device. ``steps`` is what a period is divided into: M - 1 for a
symmetric window, M for a periodic one (DFT-even), which leaves its last point out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dovetail.device import resolve
from dovetail.factories import tensor
from dovetail.tensor import Tensor

__all__ = [
    "NUTTALL",
    "bartlett_values",
    "cosine_sum",
    "cosine_values",
    "exponential_values",
    "gaussian_values",
    "kaiser_values",
    "made",
]  # fmt: skip


def made(
    values: Any, dtype: Any, device: Any, requires_grad: bool, pin_memory: bool = False
) -> Tensor:
    """Host values as a tensor of a dtype on a device."""
    rounded = np.asarray(values, np.float64).astype(dtype.numpy)
    result: Tensor = tensor(rounded, dtype=dtype, device=resolve(device), pin_memory=pin_memory)
    return result.requires_grad_() if requires_grad else result


def _turns(length: int, is_symmetric: bool) -> Any:
    """How far each point is through the period: 0 to 1."""
    return np.arange(length) / (length - 1 if is_symmetric else length)


def cosine_sum(length: int, is_symmetric: bool, weights: Iterable[float]) -> Any:
    """``sum_i (-1)**i weights[i] cos(2 pi i turn)``."""
    if length < 2:
        return np.ones(length)
    angle = 2 * np.pi * _turns(length, is_symmetric)
    return sum((-1) ** i * w * np.cos(i * angle) for i, w in enumerate(weights))


def bartlett_values(length: int, is_symmetric: bool) -> Any:
    """A triangle from 0 up to 1 and down."""
    return 1 - abs(2 * _turns(length, is_symmetric) - 1) if length > 1 else np.ones(length)


def kaiser_values(length: int, is_symmetric: bool, beta: float) -> Any:
    """``I0(beta sqrt(1 - x**2)) / I0(beta)`` with x from -1 to 1."""
    if length < 2:
        return np.ones(length)
    x = 2 * _turns(length, is_symmetric) - 1
    return np.i0(beta * np.sqrt(np.maximum(1 - x * x, 0))) / np.i0(beta)


def _centred(length: int, is_symmetric: bool) -> Any:
    return np.arange(length) - (length - 1 if is_symmetric or length < 2 else length) / 2


def gaussian_values(length: int, is_symmetric: bool, std: float) -> Any:
    """``exp(-(n - centre)**2 / (2 std**2))``."""
    return np.exp(-((_centred(length, is_symmetric) / std) ** 2) / 2)


def exponential_values(length: int, is_symmetric: bool, center: float | None, tau: float) -> Any:
    """``exp(-|n - center| / tau)``."""
    at = _centred(length, is_symmetric) if center is None else np.arange(length) - center
    return np.exp(-abs(at) / tau)


def cosine_values(length: int, is_symmetric: bool) -> Any:
    """``sin(pi (n + 1/2) / steps)``."""
    steps = length if is_symmetric or length < 2 else length + 1
    return np.sin(np.pi * (np.arange(length) + 0.5) / max(steps, 1))


NUTTALL: Sequence[float] = (0.3635819, 0.4891775, 0.1365995, 0.0106411)
