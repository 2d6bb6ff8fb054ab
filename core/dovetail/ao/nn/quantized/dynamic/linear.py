"""Linear with an integer weight, of floats that are quantized on their own range as they come."""

from __future__ import annotations

from typing import Any

import dovetail.dtypes as d
from dovetail.ao.nn import quantized
from dovetail.ao.nn.intrinsic import fused
from dovetail.ao.nn.quantized.base import quantize_weight
from dovetail.nn import functional as F
from dovetail.nn.attention import NonDynamicallyQuantizableLinear
from dovetail.nn.linear import Linear as FloatLinear
from dovetail.nn.utils.parametrize import type_before_parametrizations
from dovetail.quantized.integer import linear
from dovetail.quantized.make import quantize_per_tensor_dynamic
from dovetail.tensor import Tensor

__all__ = [
    "Linear",
    "dynamic_weight",
    "weight_observer",
]


class Linear(quantized.Linear):
    """(*, in_features) float -> (*, out_features) float; products of int8, summed in int32.

    Args:
        in_features, out_features: sizes.
        bias_: whether there is a bias.
        dtype: of the weight: ``qint8``; or float16, which is only kept so.

    Attributes:
        reduce_range: quantize inputs to 7 bits, as PyTorch does; sums are exact with 8, too.
    """

    _version = 4
    _FLOAT_MODULE: Any = (FloatLinear, NonDynamicallyQuantizableLinear, fused.LinearReLU)
    _NAME = "DynamicQuantizedLinear"
    reduce_range = True

    def extra_repr(self) -> str:
        dtype = self._packed_params.dtype
        text = f"in_features={self.in_features}, out_features={self.out_features}, dtype={dtype}"
        return f"{text}, qscheme={self.weight().qscheme()}" if dtype is d.qint8 else text

    def forward(self, x: Tensor) -> Any:
        """(*, in_features) -> (*, out_features)."""
        weight: Any = self._packed_params.weight
        bias = self._packed_params.bias
        values = x.to(d.float32)
        if self._packed_params.dtype is d.float16:
            made = F.linear(values, weight.to(d.float32), bias)
        else:
            made = linear(
                quantize_per_tensor_dynamic(values, d.quint8, self.reduce_range), weight, bias
            )
        return self._activated(made).to(x.dtype)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of a float module with a qconfig.

        Raises:
            AssertionError: another module, one without a qconfig, or another dtype.
        """
        kind = type_before_parametrizations(mod)
        if kind not in cls._FLOAT_MODULE and not hasattr(mod, "weight_fake_quant"):
            raise AssertionError(
                "nn.quantized.dynamic.Linear.from_float only works for one of"
                f"{[m.__name__ for m in cls._FLOAT_MODULE]}, got {type(mod)}"
            )
        if not hasattr(mod, "qconfig"):
            raise AssertionError("Input float module must have qconfig defined")
        qconfig = mod.qconfig
        if isinstance(mod, fused._FusedModule):
            mod = mod[0]
        observer = weight_observer(qconfig)
        made = cls(mod.in_features, mod.out_features, dtype=observer.dtype)
        made.set_weight_bias(dynamic_weight(mod.weight, observer), mod.bias)
        return made


def weight_observer(qconfig: Any) -> Any:
    """A new observer of a weight.

    Raises:
        AssertionError: it is for neither ``qint8`` nor float16.
    """
    if qconfig is None or qconfig.weight is None:
        from dovetail.ao.quantization.qconfig import default_dynamic_qconfig as qconfig
    observer = qconfig.weight()
    if observer.dtype not in (d.qint8, d.float16):
        raise AssertionError(
            "The only supported dtypes for dynamic quantized linear are qint8 and float16, got: "
            f"{observer.dtype}"
        )
    return observer


def dynamic_weight(weight: Tensor, observer: Any) -> Any:
    """A weight quantized by its observer; as it is where the observer is for float16."""
    if observer.dtype is d.float16:
        return weight
    observer.to(weight.device)
    observer(weight)
    return quantize_weight(weight, observer)
