""":mod:`dovetail.ao.nn.qat` under PyTorch's older name: layers with fake-quantized weights."""

from __future__ import annotations

from typing import Any

from dovetail.ao.nn import qat as _qat

__all__ = list(_qat.__all__)


def __getattr__(name: str) -> Any:
    return getattr(_qat, name)


def __dir__() -> list[str]:
    return sorted(__all__)
