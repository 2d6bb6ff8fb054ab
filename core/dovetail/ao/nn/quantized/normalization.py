"""Normalizations of quantized tensors: computed on numbers, put on the scale of the output."""

from __future__ import annotations

from typing import Any

import dovetail
from dovetail.ao.nn.intrinsic import fused
from dovetail.ao.nn.quantized.base import output_qparams, rescaled
from dovetail.nn import functional as F
from dovetail.nn.module import Module
from dovetail.nn.norm import GroupNorm as FloatGroupNorm
from dovetail.nn.norm import LayerNorm as FloatLayerNorm
from dovetail.nn.running_norm import BatchNorm2d as FloatBatchNorm2d
from dovetail.nn.running_norm import BatchNorm3d as FloatBatchNorm3d
from dovetail.nn.running_norm import InstanceNorm1d as FloatInstanceNorm1d
from dovetail.nn.running_norm import InstanceNorm2d as FloatInstanceNorm2d
from dovetail.nn.running_norm import InstanceNorm3d as FloatInstanceNorm3d
from dovetail.tensor import Tensor

__all__ = [
    "BNReLU2d",
    "BNReLU3d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
]


class _Rescaled(Module):
    """The float layer on numbers, its result quantized; the scale is in two buffers."""

    scale: Any
    zero_point: Any

    def _keep_scale(self, scale: float, zero_point: int) -> None:
        self.register_buffer("scale", dovetail.tensor(scale))
        self.register_buffer("zero_point", dovetail.tensor(zero_point))

    def _get_name(self) -> str:
        return f"Quantized{type(self).__name__}"

    def _activated(self, values: Tensor) -> Tensor:
        return values

    def forward(self, input: Any) -> Any:
        """Of a quantized tensor, quantized."""
        made = self._activated(super().forward(input.dequantize()))
        return rescaled(made, self.scale, self.zero_point, input.dtype)


class LayerNorm(_Rescaled, FloatLayerNorm):
    """Layer normalization.

    Args:
        normalized_shape, eps, elementwise_affine: as of the float layer.
        weight, bias: its parameters.
        scale, zero_point: of the output.
    """

    def __init__(
        self, normalized_shape: Any, weight: Any, bias: Any, scale: float, zero_point: int,
        eps: float = 1e-5, elementwise_affine: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            normalized_shape, eps=eps, elementwise_affine=elementwise_affine, device=device,
            dtype=dtype,
        )  # fmt: skip
        self.weight, self.bias = weight, bias
        self._keep_scale(scale, zero_point)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> LayerNorm:
        """Of an observed float module."""
        return cls(
            mod.normalized_shape, mod.weight, mod.bias,
            *output_qparams(mod.activation_post_process), mod.eps, mod.elementwise_affine,
        )  # fmt: skip


class GroupNorm(_Rescaled, FloatGroupNorm):
    """Group normalization.

    Args:
        num_groups, num_channels, eps, affine: as of the float layer.
        weight, bias: its parameters.
        scale, zero_point: of the output.
    """

    def __init__(
        self, num_groups: int, num_channels: int, weight: Any, bias: Any, scale: float,
        zero_point: int, eps: float = 1e-5, affine: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(num_groups, num_channels, eps, affine, device=device, dtype=dtype)
        self.weight, self.bias = weight, bias
        self._keep_scale(scale, zero_point)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> GroupNorm:
        """Of an observed float module."""
        return cls(
            mod.num_groups, mod.num_channels, mod.weight, mod.bias,
            *output_qparams(mod.activation_post_process), mod.eps, mod.affine,
        )  # fmt: skip


class _InstanceNorm(_Rescaled):
    """Instance normalization.

    Args:
        num_features, eps, momentum, affine, track_running_stats: as of the float layer.
        weight, bias: its parameters.
        scale, zero_point: of the output.
    """

    def __init__(
        self, num_features: int, weight: Any, bias: Any, scale: float, zero_point: int,
        eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype
        )
        self.weight, self.bias = weight, bias
        self._keep_scale(scale, zero_point)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of an observed float module."""
        return cls(
            mod.num_features, mod.weight, mod.bias, *output_qparams(mod.activation_post_process),
            mod.eps, mod.affine,
        )  # fmt: skip


class InstanceNorm1d(_InstanceNorm, FloatInstanceNorm1d):
    __doc__ = _InstanceNorm.__doc__ or ""


class InstanceNorm2d(_InstanceNorm, FloatInstanceNorm2d):
    __doc__ = _InstanceNorm.__doc__ or ""


class InstanceNorm3d(_InstanceNorm, FloatInstanceNorm3d):
    __doc__ = _InstanceNorm.__doc__ or ""


class _BatchNorm(_Rescaled):
    """Batch normalization with the statistics of training.

    Args:
        num_features, eps, momentum: as of the float layer.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, True, True, device=device, dtype=dtype)
        self._keep_scale(1.0, 0)
        self.eval()

    def train(self, mode: bool = True) -> Any:
        """Quantized models do not train: the statistics are those of training."""
        return super().train(False)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of an observed float module, or of one fused with ReLU."""
        observer = mod.activation_post_process
        if isinstance(mod, fused._FusedModule):
            mod = mod[0]
        made = cls(mod.num_features, mod.eps)
        made.weight, made.bias = mod.weight, mod.bias
        made.running_mean, made.running_var = mod.running_mean, mod.running_var
        scale, zero_point = observer.calculate_qparams()
        made.scale, made.zero_point = scale, zero_point
        return made


class BatchNorm2d(_BatchNorm, FloatBatchNorm2d):
    __doc__ = _BatchNorm.__doc__ or ""


class BatchNorm3d(_BatchNorm, FloatBatchNorm3d):
    __doc__ = _BatchNorm.__doc__ or ""


class BNReLU2d(BatchNorm2d):
    """Batch normalization and ReLU (``torch.ao.nn.intrinsic.quantized``)."""

    def _activated(self, values: Tensor) -> Tensor:
        return F.relu(values)


class BNReLU3d(BatchNorm3d):
    """Batch normalization and ReLU (``torch.ao.nn.intrinsic.quantized``)."""

    def _activated(self, values: Tensor) -> Tensor:
        return F.relu(values)
