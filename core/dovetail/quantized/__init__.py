"""Quantized tensors: integers with the scale and zero point that give them their meaning.

``real = (integer - zero_point) * scale``. A :class:`QTensor` holds an ordinary integer tensor on
any device; no backend knows of it. Meanings follow PyTorch's page "Quantization API Reference".
"""

from __future__ import annotations

from dovetail.quantized import rules  # noqa: F401 (it binds QUANTIZED)
from dovetail.quantized.make import (
    _empty_affine_quantized,
    _empty_per_channel_affine_quantized,
    _make_per_channel_quantized_tensor,
    _make_per_tensor_quantized_tensor,
    choose_qparams,
    dequantize,
    int_repr,
    q_per_channel_axis,
    q_per_channel_scales,
    q_per_channel_zero_points,
    q_scale,
    q_zero_point,
    qscheme_of,
    quantize_per_channel,
    quantize_per_tensor,
    quantize_per_tensor_dynamic,
)
from dovetail.quantized.schemes import (
    per_channel_affine,
    per_channel_affine_float_qparams,
    per_channel_symmetric,
    per_tensor_affine,
    per_tensor_symmetric,
    qscheme,
)
from dovetail.quantized.tensor import PerChannel, PerTensor, QTensor, wrap

__all__ = [
    "PerChannel",
    "PerTensor",
    "QTensor",
    "_empty_affine_quantized",
    "_empty_per_channel_affine_quantized",
    "_make_per_channel_quantized_tensor",
    "_make_per_tensor_quantized_tensor",
    "choose_qparams",
    "dequantize",
    "int_repr",
    "per_channel_affine",
    "per_channel_affine_float_qparams",
    "per_channel_symmetric",
    "per_tensor_affine",
    "per_tensor_symmetric",
    "q_per_channel_axis",
    "q_per_channel_scales",
    "q_per_channel_zero_points",
    "q_scale",
    "q_zero_point",
    "qscheme",
    "qscheme_of",
    "quantize_per_channel",
    "quantize_per_tensor",
    "quantize_per_tensor_dynamic",
    "wrap",
]
