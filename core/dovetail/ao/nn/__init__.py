"""Modules of quantization: quantized ones, those for training, and fused ones."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["intrinsic", "qat", "quantized"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"dovetail.ao.nn.{name}")
    raise AttributeError(f"module 'dovetail.ao.nn' has no attribute {name!r}")
