"""Functions of quantized tensors (PyTorch's ``torch.ao.nn.quantized.functional``).

Those without a scale of their own give results on the scale of their input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dovetail.dtypes as d
from dovetail.ao.nn.quantized.base import rescaled
from dovetail.nn import functional as F
from dovetail.nn.functional.arguments import ntuple
from dovetail.quantized import integer
from dovetail.quantized.tensor import QTensor, like
from dovetail.tensor import Tensor

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "avg_pool2d",
    "avg_pool3d",
    "celu",
    "clamp",
    "conv1d",
    "conv2d",
    "conv3d",
    "elu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "interpolate",
    "leaky_relu",
    "linear",
    "max_pool1d",
    "max_pool2d",
    "threshold",
    "upsample",
]


def _check(name: str, input: Any) -> None:
    if not isinstance(input, QTensor):
        raise ValueError(f"Input to 'quantized.{name}' must be quantized!")


def _same_scale(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(input: Any, *args: Any, **kwargs: Any) -> Any:
        _check(name, input)
        return like(function(input.dequantize(), *args, **kwargs), input)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"``F.{name}`` of a quantized tensor, on its scale."
    return run


adaptive_avg_pool2d = _same_scale("adaptive_avg_pool2d", F.adaptive_avg_pool2d)
adaptive_avg_pool3d = _same_scale("adaptive_avg_pool3d", F.adaptive_avg_pool3d)
avg_pool2d = _same_scale("avg_pool2d", F.avg_pool2d)
avg_pool3d = _same_scale("avg_pool3d", F.avg_pool3d)
hardtanh = _same_scale("hardtanh", F.hardtanh)
interpolate = _same_scale("interpolate", F.interpolate)
max_pool1d = _same_scale("max_pool1d", F.max_pool1d)
max_pool2d = _same_scale("max_pool2d", F.max_pool2d)
threshold = _same_scale("threshold", F.threshold)
upsample = _same_scale("upsample", F.interpolate)


def clamp(input: Any, min_: float, max_: float) -> Any:
    """``input`` limited to [min_, max_], on its scale."""
    _check("clamp", input)
    return input.clamp(min_, max_)


def _own_scale(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(input: Any, scale: float, zero_point: int, *args: Any, **kwargs: Any) -> Any:
        _check(name, input)
        made = function(input.dequantize(), *args, **kwargs)
        return rescaled(made, scale, zero_point, input.dtype)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"``F.{name}`` of a quantized tensor, on a scale of its own."
    return run


celu = _own_scale("celu", F.celu)
elu = _own_scale("elu", F.elu)
hardswish = _own_scale("hardswish", F.hardswish)


def leaky_relu(
    input: Any, negative_slope: float = 0.01, inplace: bool = False,
    scale: float | None = None, zero_point: int | None = None,
) -> Any:  # fmt: skip
    """x above 0, negative_slope · x below; on a scale of its own where one is given."""
    _check("leaky_relu", input)
    made = F.leaky_relu(input.dequantize(), negative_slope)
    if scale is None or zero_point is None:
        return like(made, input)
    return rescaled(made, scale, zero_point, input.dtype)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """relu6(x + 3) / 6, on the scale 1 / 256."""
    _check("hardsigmoid", input)
    return F.hardsigmoid(input)


def linear(
    input: Any, weight: Any, bias: Tensor | None = None, scale: float | None = None,
    zero_point: int | None = None,
) -> Any:  # fmt: skip
    """x Wᵀ + bias of a quantized input and weight; on the input's scale where none is given."""
    _check("linear", input)
    made = integer.linear(input, weight, bias)
    if scale is None or zero_point is None:
        return like(made, input)
    return rescaled(made, scale, zero_point, input.dtype)


def _convolution(n: int) -> Callable[..., Any]:
    def conv(
        input: Any, weight: Any, bias: Tensor | None, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, padding_mode: str = "zeros", scale: float = 1.0,
        zero_point: int = 0, dtype: Any = d.quint8,
    ) -> Any:  # fmt: skip
        if padding_mode != "zeros":
            raise NotImplementedError("Only zero-padding is supported!")
        if input.dtype is not d.quint8:
            raise NotImplementedError(
                f"Only torch.quint8 is supported for activation tensor! Got {input.dtype!r}"
            )
        if weight.dtype is not d.qint8:
            raise NotImplementedError(
                f"Only torch.qint8 is supported for weight tensor! Got {weight.dtype!r}"
            )
        made = integer.conv(
            input, weight, bias, ntuple(stride, n), ntuple(padding, n), ntuple(dilation, n), groups
        )
        return rescaled(made, scale, zero_point, dtype)

    conv.__name__ = conv.__qualname__ = f"conv{n}d"
    conv.__doc__ = f"A convolution of {n} spatial dims of a quantized input and weight."
    return conv


conv1d, conv2d, conv3d = (_convolution(n) for n in (1, 2, 3))
