"""Convolutions with integer weights, of floats that are quantized on their own range as they come.

PyTorch leaves ``nn.Conv2d`` as it is when ``quantize_dynamic`` is asked for it; here it becomes one
of these.
"""

from __future__ import annotations

from typing import Any

import dovetail.dtypes as d
from dovetail.ao.nn import quantized
from dovetail.quantized.make import quantize_per_tensor_dynamic
from dovetail.tensor import Tensor

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]


class _Dynamic:
    """Floats in, floats out; products of int8, summed in int32. Arguments are the float layer's.

    Attributes:
        reduce_range: quantize inputs to 7 bits, as PyTorch does; sums are exact with 8, too.
    """

    reduce_range = True

    def extra_repr(self: Any) -> str:
        return ", ".join(self._parts(""))

    def forward(self: Any, input: Tensor, reduce_range: bool | None = None) -> Any:
        """(N, C, *) or (C, *) -> (N, O, *) or (O, *)."""
        reduces = self.reduce_range if reduce_range is None else reduce_range
        values = input.to(d.float32)
        is_batched = values.dim() != self._dims + 1
        if not is_batched:
            values = values.unsqueeze(0)
        made = self._sums(quantize_per_tensor_dynamic(values, d.quint8, reduces))
        made = made.to(input.dtype)
        return made if is_batched else made.squeeze(0)


class Conv1d(_Dynamic, quantized.Conv1d):
    __doc__ = _Dynamic.__doc__
    _NAME = "DynamicQuantizedConv"


class Conv2d(_Dynamic, quantized.Conv2d):
    __doc__ = _Dynamic.__doc__
    _NAME = "DynamicQuantizedConv"


class Conv3d(_Dynamic, quantized.Conv3d):
    __doc__ = _Dynamic.__doc__
    _NAME = "DynamicQuantizedConv"


class ConvTranspose1d(_Dynamic, quantized.ConvTranspose1d):
    __doc__ = _Dynamic.__doc__
    _NAME = "DynamicQuantizedConvTranspose"


class ConvTranspose2d(_Dynamic, quantized.ConvTranspose2d):
    __doc__ = _Dynamic.__doc__
    _NAME = "DynamicQuantizedConvTranspose"


class ConvTranspose3d(_Dynamic, quantized.ConvTranspose3d):
    __doc__ = _Dynamic.__doc__
    _NAME = "DynamicQuantizedConvTranspose"
