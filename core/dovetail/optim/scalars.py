"""The numbers that an optimizer keeps as 0-d tensors."""

from __future__ import annotations

from typing import Any

import dovetail
from dovetail.tensor import Tensor

__all__ = ["scalar_dtype", "scalar_of"]


def scalar_dtype(fused: bool = False) -> Any:
    """The dtype of counts in an optimizer's state: float64 only where that is the default."""
    wide = dovetail.get_default_dtype() is dovetail.float64
    return dovetail.float64 if wide and not fused else dovetail.float32


def scalar_of(value: float, device: Any, fused: bool = False) -> Tensor:
    """A 0-d tensor of an optimizer's state."""
    return dovetail.full((), value, dtype=scalar_dtype(fused), device=device)
