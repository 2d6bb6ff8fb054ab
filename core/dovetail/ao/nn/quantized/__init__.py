"""Quantized modules (``torch.ao.nn.quantized``): quantized tensors in, quantized tensors out."""

from __future__ import annotations

import importlib
from typing import Any

from dovetail.ao.nn.quantized.activation import (
    ELU,
    Dropout,
    Hardswish,
    LeakyReLU,
    PReLU,
    ReLU6,
    Sigmoid,
    Softmax,
)
from dovetail.ao.nn.quantized.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from dovetail.ao.nn.quantized.embedding import Embedding, EmbeddingBag
from dovetail.ao.nn.quantized.functional_modules import (
    FloatFunctional,
    FXFloatFunctional,
    QFunctional,
)
from dovetail.ao.nn.quantized.linear import Linear
from dovetail.ao.nn.quantized.normalization import (
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
)
from dovetail.ao.nn.quantized.stubs import DeQuantize, Quantize
from dovetail.nn.pooling import MaxPool2d

__all__ = [
    "ELU",
    "BatchNorm2d",
    "BatchNorm3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "DeQuantize",
    "Dropout",
    "Embedding",
    "EmbeddingBag",
    "FXFloatFunctional",
    "FloatFunctional",
    "GroupNorm",
    "Hardswish",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "PReLU",
    "QFunctional",
    "Quantize",
    "ReLU6",
    "Sigmoid",
    "Softmax",
]


def __getattr__(name: str) -> Any:
    if name in ("dynamic", "functional"):
        return importlib.import_module(f"dovetail.ao.nn.quantized.{name}")
    raise AttributeError(f"module 'dovetail.ao.nn.quantized' has no attribute {name!r}")
