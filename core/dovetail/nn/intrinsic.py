""":mod:`dovetail.ao.nn.intrinsic` under PyTorch's older name: fused modules."""

from __future__ import annotations

from typing import Any

from dovetail.ao.nn import intrinsic as _intrinsic

__all__ = list(_intrinsic.__all__)


def __getattr__(name: str) -> Any:
    return getattr(_intrinsic, name)


def __dir__() -> list[str]:
    return sorted(__all__)
