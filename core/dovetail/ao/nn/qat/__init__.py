"""Layers with fake-quantized weights (``torch.ao.nn.qat``)."""

from __future__ import annotations

import importlib
from typing import Any

from dovetail.ao.nn.qat.modules import Conv1d, Conv2d, Conv3d, Embedding, EmbeddingBag, Linear

__all__ = ["Conv1d", "Conv2d", "Conv3d", "Embedding", "EmbeddingBag", "Linear"]


def __getattr__(name: str) -> Any:
    if name == "dynamic":
        return importlib.import_module("dovetail.ao.nn.qat.dynamic")
    raise AttributeError(f"module 'dovetail.ao.nn.qat' has no attribute {name!r}")
