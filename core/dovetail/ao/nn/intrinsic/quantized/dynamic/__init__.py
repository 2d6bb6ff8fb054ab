"""Fused modules with integer weights and float inputs."""

from __future__ import annotations

from typing import Any

from dovetail.ao.nn.intrinsic import fused
from dovetail.ao.nn.quantized import dynamic
from dovetail.nn import functional as F
from dovetail.tensor import Tensor

__all__ = ["LinearReLU"]


class LinearReLU(dynamic.Linear):
    """Linear and ReLU, of floats that are quantized as they come.

    Args:
        in_features, out_features, bias_, dtype: as of ``dynamic.Linear``.
    """

    _FLOAT_MODULE: Any = (fused.LinearReLU,)
    _NAME = "DynamicQuantizedLinearReLU"

    def _activated(self, values: Tensor) -> Tensor:
        return F.relu(values)
