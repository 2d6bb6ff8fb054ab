"""Activations of quantized tensors whose results are on a scale of their own."""

from __future__ import annotations

from typing import Any

import dovetail
import dovetail.dtypes as d
from dovetail.ao.nn.quantized.base import output_qparams, rescaled
from dovetail.nn import activation as floats
from dovetail.nn import softmax
from dovetail.nn.dropout import Dropout as FloatDropout
from dovetail.nn.module import Module
from dovetail.quantized.tensor import like
from dovetail.tensor import Tensor

__all__ = [
    "ELU",
    "Dropout",
    "Hardswish",
    "LeakyReLU",
    "PReLU",
    "ReLU6",
    "Sigmoid",
    "Softmax",
]


class _Rescaled(Module):
    """A float activation on numbers, put on the scale of the output."""

    scale: Any
    zero_point: Any

    def _get_name(self) -> str:
        return f"Quantized{type(self).__name__}"

    def forward(self, input: Any) -> Any:
        """The activation of a quantized tensor, quantized."""
        made = super().forward(input.dequantize())
        return rescaled(made, self.scale, self.zero_point, input.dtype)

    def _keep_scale(self, scale: float, zero_point: int) -> None:
        self.register_buffer("scale", dovetail.tensor(scale))
        self.register_buffer("zero_point", dovetail.tensor(zero_point))


class ReLU6(floats.ReLU):
    """min(max(0, x), 6) on the scale of its input.

    Args:
        inplace: taken and ignored.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace)

    def forward(self, input: Any) -> Any:
        """Of any shape."""
        return like(dovetail.nn.functional.relu6(input.dequantize()), input)

    def _get_name(self) -> str:
        return "QuantizedReLU6"

    @staticmethod
    def from_float(mod: Any, use_precomputed_fake_quant: bool = False) -> ReLU6:
        """Of a float module."""
        return ReLU6(mod.inplace)


class Hardswish(_Rescaled, floats.Hardswish):
    """x · relu6(x + 3) / 6.

    Args:
        scale, zero_point: of the output.
    """

    def __init__(
        self, scale: float, zero_point: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self._keep_scale(scale, zero_point)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Hardswish:
        """Of an observed float module."""
        return cls(*output_qparams(mod.activation_post_process))


class ELU(_Rescaled, floats.ELU):
    """x above 0, alpha (exp(x) - 1) below.

    Args:
        scale, zero_point: of the output.
        alpha: see the name.
    """

    def __init__(self, scale: float, zero_point: int, alpha: float = 1.0) -> None:
        super().__init__(alpha)
        self.scale = scale
        self.zero_point = zero_point

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> ELU:
        """Of an observed float module."""
        return cls(*output_qparams(mod.activation_post_process), mod.alpha)


class LeakyReLU(_Rescaled, floats.LeakyReLU):
    """x above 0, negative_slope · x below.

    Args:
        scale, zero_point: of the output.
        negative_slope: see the name.
        inplace: taken and ignored.
    """

    def __init__(
        self,
        scale: float,
        zero_point: int,
        negative_slope: float = 1e-2,
        inplace: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(negative_slope)
        self._keep_scale(scale, zero_point)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> LeakyReLU:
        """Of an observed float module."""
        return cls(*output_qparams(mod.activation_post_process), mod.negative_slope)


class Sigmoid(_Rescaled, floats.Sigmoid):
    """1 / (1 + exp(-x)).

    Args:
        output_scale, output_zero_point: of the output.
    """

    def __init__(self, output_scale: float, output_zero_point: int) -> None:
        super().__init__()
        self.output_scale = self.scale = output_scale
        self.output_zero_point = self.zero_point = output_zero_point

    def _get_name(self) -> str:
        return "Sigmoid"

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Sigmoid:
        """Of an observed float module."""
        return cls(*output_qparams(mod.activation_post_process))


class Softmax(_Rescaled, softmax.Softmax):
    """exp(x) / sum(exp(x)) along a dim.

    Args:
        dim: the dim.
        scale, zero_point: of the output.
    """

    def __init__(self, dim: Any = None, scale: float = 1.0, zero_point: int = 0) -> None:
        super().__init__(dim)
        self.scale = scale
        self.zero_point = zero_point

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Softmax:
        """Of an observed float module."""
        return cls(mod.dim, *output_qparams(mod.activation_post_process))


class PReLU(Module):
    """x above 0, weight · x below, the weight quantized on its own range.

    Args:
        output_scale, output_zero_point: of the output.
        num_parameters: 1, or one per channel (dim 1).
    """

    def __init__(
        self, output_scale: float, output_zero_point: int, num_parameters: int = 1
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.scale = output_scale
        self.zero_point = output_zero_point
        self.set_weight(dovetail.full((num_parameters,), 0.25))

    def set_weight(self, w: Tensor) -> None:
        """Quantize a weight, in quint8 on its range."""
        self.register_buffer(
            "weight",
            dovetail.quantized.quantize_per_tensor_dynamic(
                w.detach().to(d.float32),
                d.quint8,
                reduce_range=False,
            ),
            persistent=False,
        )

    def forward(self, input: Any) -> Any:
        """(N, C, *) quantized."""
        made = dovetail.nn.functional.prelu(input.dequantize(), self.weight.dequantize())
        return rescaled(made, self.scale, self.zero_point, input.dtype)

    def _get_name(self) -> str:
        return "QuantizedPReLU"

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> PReLU:
        """Of an observed float module."""
        made = cls(*output_qparams(mod.activation_post_process), mod.num_parameters)
        made.set_weight(mod.weight)
        return made


class Dropout(FloatDropout):
    """Nothing: quantized models do not train."""

    def forward(self, input: Any) -> Any:
        """``input`` itself."""
        return input

    def _get_name(self) -> str:
        return "QuantizedDropout"

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Dropout:
        """Of a float module."""
        return cls(mod.p, mod.inplace)
