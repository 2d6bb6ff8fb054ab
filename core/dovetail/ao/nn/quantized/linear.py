"""Linear on integers (PyTorch's ``torch.ao.nn.quantized.Linear``)."""

from __future__ import annotations

from typing import Any

import dovetail
import dovetail.dtypes as d
from dovetail.ao.nn.intrinsic import fused
from dovetail.ao.nn.quantized.base import (
    WeightedQuantizedModule,
    output_qparams,
    quantize_weight,
    rescaled,
)
from dovetail.nn.attention import NonDynamicallyQuantizableLinear
from dovetail.nn.linear import Linear as FloatLinear
from dovetail.nn.module import Module
from dovetail.nn.utils.fusion import fuse_linear_bn_weights
from dovetail.nn.utils.parametrize import type_before_parametrizations
from dovetail.quantized.integer import linear
from dovetail.quantized.make import _empty_affine_quantized
from dovetail.tensor import Tensor

__all__ = ["Linear", "LinearPackedParams"]


class LinearPackedParams(Module):
    """Weight and bias of a quantized linear layer; in a state dict a tuple of two.

    Args:
        dtype: ``qint8``; or float16, where the weight is only kept in half precision.
    """

    _version = 3

    def __init__(self, dtype: Any = d.qint8) -> None:
        super().__init__()
        if dtype not in (d.qint8, d.float16):
            raise RuntimeError(f"Unsupported dtype on dynamic quantized linear! Got {dtype!r}")
        self.dtype = dtype
        # Buffers, so that they move with the module; the state dict has them together.
        self.register_buffer("weight", None, persistent=False)
        self.register_buffer("bias", None, persistent=False)

    def set_weight_bias(self, weight: Tensor, bias: Tensor | None) -> None:
        """Give it a weight of its dtype (floats for float16) and a bias."""
        self.weight = weight.detach().to(d.float16) if self.dtype is d.float16 else weight
        self.bias = None if bias is None else bias.detach().to(d.float32)

    def _weight_bias(self) -> tuple[Any, Any]:
        if self.dtype is d.float16:
            return self.weight.float(), self.bias
        return self.weight, self.bias

    def forward(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "dtype"] = self.dtype
        destination[prefix + "_packed_params"] = self._weight_bias()

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: list[str],
        unexpected: list[str], errors: list[str],
    ) -> None:  # fmt: skip
        self.dtype = state_dict.pop(prefix + "dtype", d.qint8)
        pair = state_dict.pop(prefix + "_packed_params", None)
        if pair is None and prefix + "weight" in state_dict:  # before version 3
            pair = (state_dict.pop(prefix + "weight"), state_dict.pop(prefix + "bias", None))
        if pair is None:
            missing.append(prefix + "_packed_params")
        elif self.weight is not None and self.weight.shape != pair[0].shape:
            errors.append(
                f"size mismatch for {prefix}_packed_params: copying a param with shape "
                f"{pair[0].shape} from checkpoint, the shape in current model is "
                f"{self.weight.shape}."
            )
        else:
            place = None if self.weight is None else self.weight.device
            weight: Any
            weight, bias = (x if x is None or place is None else x.to(place) for x in pair)
            self.set_weight_bias(weight, bias)
        super()._load_from_state_dict(
            state_dict, prefix, metadata, False, missing, unexpected, errors
        )

    def __repr__(self) -> str:
        return repr(self._weight_bias())


class Linear(WeightedQuantizedModule):
    """Linear of a quantized tensor with a qint8 weight, onto a scale of its own.

    Products are of int8, summed in int32; the bias is added in float32.

    Args:
        in_features, out_features: sizes.
        bias_: whether there is a bias.
        dtype: of the weight, ``qint8``.
    """

    _version = 3
    _FLOAT_MODULE: Any = (FloatLinear, NonDynamicallyQuantizableLinear)
    _NAME = "QuantizedLinear"

    def __init__(
        self, in_features: int, out_features: int, bias_: bool = True, dtype: Any = d.qint8
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self._packed_params = LinearPackedParams(dtype)
        weight: Tensor
        if dtype is d.float16:
            weight = dovetail.zeros(out_features, in_features)
        else:
            weight = _empty_affine_quantized((out_features, in_features), dtype=dtype)
        self.set_weight_bias(weight, dovetail.zeros(out_features) if bias_ else None)
        self.scale = 1.0
        self.zero_point = 0

    def _get_name(self) -> str:
        return self._NAME

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"scale={self.scale}, zero_point={self.zero_point}, "
            f"qscheme={self.weight().qscheme()}"
        )

    def __repr__(self) -> str:
        return f"{self._get_name()}({self.extra_repr()})"

    def _weight_bias(self) -> tuple[Any, Any]:
        return self._packed_params._weight_bias()

    def set_weight_bias(self, w: Tensor, b: Tensor | None) -> None:
        """Give it a quantized weight and a bias."""
        self._packed_params.set_weight_bias(w, b)

    def forward(self, x: Any) -> Any:
        """(*, in_features) quantized -> (*, out_features) quantized."""
        made = self._activated(linear(x, *self._weight_bias()))
        return rescaled(made, self.scale, self.zero_point, x.dtype)

    def _activated(self, values: Tensor) -> Tensor:
        return values

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name in ("weight", "bias"):  # of version 1, without the submodule
            if prefix + name in state_dict:
                state_dict[f"{prefix}_packed_params.{name}"] = state_dict.pop(prefix + name)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of an observed float module, or of a trained one with fake quantizers.

        Raises:
            AssertionError: another module, or one without observers.
        """
        kind = type_before_parametrizations(mod)
        if hasattr(mod, "weight_fake_quant"):
            weight, bias = mod.weight, mod.bias
            if hasattr(mod, "bn"):  # LinearBn1d
                bn = mod.bn
                weight, bias = fuse_linear_bn_weights(
                    weight, bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
                )
            observer = mod.weight_fake_quant
            of_output = mod.activation_post_process
        else:
            if kind not in cls._FLOAT_MODULE:
                names = ", ".join(m.__name__ for m in cls._FLOAT_MODULE)
                raise AssertionError(
                    f"nnq.{cls.__name__}.from_float only works for {names}, but got: {type(mod)}"
                )
            if not hasattr(mod, "qconfig"):
                raise AssertionError("Input float module must have qconfig defined")
            of_output = mod.activation_post_process
            if isinstance(mod, fused._FusedModule):
                mod = mod[0]
            weight, bias = mod.weight, mod.bias
            observer = mod.qconfig.weight()
        observer.to(weight.device)
        if not use_precomputed_fake_quant:
            observer(weight)
        if observer.dtype is not d.qint8:
            raise AssertionError(
                f"Weight observer must have dtype torch.qint8, got {observer.dtype}"
            )
        made = cls(mod.in_features, mod.out_features, dtype=d.qint8)
        made.set_weight_bias(quantize_weight(weight, observer), bias)
        made.scale, made.zero_point = output_qparams(of_output)
        return made
