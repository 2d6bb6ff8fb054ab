"""Fused quantized modules (``torch.ao.nn.intrinsic.quantized``)."""

from __future__ import annotations

import importlib
from typing import Any

import dovetail.dtypes as d
from dovetail.ao.nn import quantized
from dovetail.ao.nn.intrinsic import fused
from dovetail.ao.nn.quantized.base import rescaled
from dovetail.ao.nn.quantized.normalization import BNReLU2d, BNReLU3d
from dovetail.nn import functional as F
from dovetail.tensor import Tensor

__all__ = [
    "BNReLU2d",
    "BNReLU3d",
    "ConvAdd2d",
    "ConvAddReLU2d",
    "ConvReLU1d",
    "ConvReLU2d",
    "ConvReLU3d",
    "LinearLeakyReLU",
    "LinearReLU",
    "LinearTanh",
]


class ConvReLU1d(quantized.Conv1d):
    """Convolution and ReLU of a quantized tensor. Arguments are the float layer's."""

    _FLOAT_MODULE: Any = fused.ConvReLU1d
    _NAME = "QuantizedConvReLU"

    def _activated(self, values: Tensor) -> Tensor:
        return F.relu(values)


class ConvReLU2d(quantized.Conv2d):
    """Convolution and ReLU of a quantized tensor. Arguments are the float layer's."""

    _FLOAT_MODULE: Any = fused.ConvReLU2d
    _NAME = "QuantizedConvReLU"

    def _activated(self, values: Tensor) -> Tensor:
        return F.relu(values)


class ConvReLU3d(quantized.Conv3d):
    """Convolution and ReLU of a quantized tensor. Arguments are the float layer's."""

    _FLOAT_MODULE: Any = fused.ConvReLU3d
    _NAME = "QuantizedConvReLU"

    def _activated(self, values: Tensor) -> Tensor:
        return F.relu(values)


class ConvAdd2d(quantized.Conv2d):
    """Convolution of one quantized tensor, and another added. Arguments are the float layer's."""

    _FLOAT_MODULE: Any = fused.ConvAdd2d
    _NAME = "QuantizedConvAdd"

    def forward(self, input: Any, extra_input: Any) -> Any:  # type: ignore[override]
        """``conv(input) + extra_input``, quantized."""
        made = self._activated(self._sums(input) + extra_input.dequantize())
        return rescaled(made, self.scale, self.zero_point, input.dtype)


class ConvAddReLU2d(ConvAdd2d):
    """Convolution of one quantized tensor, another added, and ReLU."""

    _FLOAT_MODULE: Any = fused.ConvAddReLU2d
    _NAME = "QuantizedConvAddReLU"

    def _activated(self, values: Tensor) -> Tensor:
        return F.relu(values)


class LinearReLU(quantized.Linear):
    """Linear and ReLU of a quantized tensor. Arguments are the float layer's."""

    _FLOAT_MODULE: Any = (fused.LinearReLU,)
    _NAME = "QuantizedLinearReLU"

    def _activated(self, values: Tensor) -> Tensor:
        return F.relu(values)


class LinearTanh(quantized.Linear):
    """Linear and tanh of a quantized tensor. Arguments are the float layer's."""

    _FLOAT_MODULE: Any = (fused.LinearTanh,)
    _NAME = "QuantizedLinearTanh"

    def _activated(self, values: Tensor) -> Tensor:
        return values.tanh()


class LinearLeakyReLU(quantized.Linear):
    """Linear and LeakyReLU of a quantized tensor.

    Args:
        in_features, out_features: sizes.
        negative_slope: of the LeakyReLU.
        bias: whether there is one.
        dtype: of the weight.
    """

    _FLOAT_MODULE: Any = (fused.LinearLeakyReLU,)
    _NAME = "QuantizedLinearLeakyReLU"

    def __init__(
        self, in_features: int, out_features: int, negative_slope: float = 0.01,
        bias: bool = True, dtype: Any = d.qint8,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, dtype)
        self.negative_slope = negative_slope

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of an observed float module."""
        made = super().from_float(mod, use_precomputed_fake_quant)
        made.negative_slope = mod[1].negative_slope
        return made

    def _activated(self, values: Tensor) -> Tensor:
        return F.leaky_relu(values, self.negative_slope)


def __getattr__(name: str) -> Any:
    if name == "dynamic":
        return importlib.import_module("dovetail.ao.nn.intrinsic.quantized.dynamic")
    raise AttributeError(f"module 'dovetail.ao.nn.intrinsic.quantized' has no attribute {name!r}")
