""":mod:`dovetail.ao.nn.quantized` under PyTorch's older name: quantized modules."""

from __future__ import annotations

from typing import Any

from dovetail.ao.nn import quantized as _quantized

__all__ = list(_quantized.__all__)


def __getattr__(name: str) -> Any:
    return getattr(_quantized, name)


def __dir__() -> list[str]:
    return sorted(__all__)
