""":mod:`dovetail.ao.quantization` under PyTorch's older name (``torch.quantization``)."""

from __future__ import annotations

from typing import Any

from dovetail.ao import quantization as _quantization

__all__ = list(_quantization.__all__)


def __getattr__(name: str) -> Any:
    return getattr(_quantization, name)


def __dir__() -> list[str]:
    return sorted(__all__)
