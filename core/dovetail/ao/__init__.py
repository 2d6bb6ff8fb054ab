"""Architecture optimization: quantization (PyTorch's ``torch.ao``)."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["nn", "quantization"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"dovetail.ao.{name}")
    raise AttributeError(f"module 'dovetail.ao' has no attribute {name!r}")
