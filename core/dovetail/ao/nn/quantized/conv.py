"""Convolutions on integers (PyTorch's ``torch.ao.nn.quantized.Conv1d`` … and their transposes)."""

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
from dovetail.nn import conv as floats
from dovetail.nn import functional as F
from dovetail.nn.functional.arguments import ntuple
from dovetail.nn.utils.fusion import fuse_conv_bn_weights
from dovetail.quantized.integer import conv, conv_transpose
from dovetail.quantized.make import _empty_affine_quantized
from dovetail.quantized.tensor import QTensor, moved
from dovetail.tensor import Tensor

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]


class _ConvNd(WeightedQuantizedModule):
    """What quantized convolutions share; subclasses state the number of spatial dims."""

    _dims: int
    _is_transposed = False
    _FLOAT_MODULE: Any
    _NNI_CONV_RELU_MODULE: Any = None
    _NAME = "QuantizedConv"

    def _set_up(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any,
        dilation: Any, output_padding: Any, groups: int, bias: bool, padding_mode: str, device: Any,
    ) -> None:  # fmt: skip
        n = self._dims
        if out_channels <= 0:
            raise ValueError(f"out_channels must be greater than 0, got {out_channels}")
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(
                f"'padding_mode' {padding_mode} is not supported by quantized convolution"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = ntuple(kernel_size, n)
        self.stride = ntuple(stride, n)
        self.padding: Any = padding if isinstance(padding, str) else ntuple(padding, n)
        self.dilation = ntuple(dilation, n)
        self.transposed = self._is_transposed
        self.output_padding = ntuple(output_padding, n)
        self.groups = groups
        self.padding_mode = padding_mode
        pair = (out_channels, in_channels // groups)
        if self.transposed:
            pair = (in_channels, out_channels // groups)
        weight = _empty_affine_quantized((*pair, *self.kernel_size), dtype=d.qint8, device=device)
        # Buffers, so that they move with the module; the state dict has them by other names.
        self.register_buffer("_packed_weight", weight, persistent=False)
        zeros = dovetail.zeros(out_channels, device=device) if bias else None
        self.register_buffer("_packed_bias", zeros, persistent=False)
        self.scale = 1.0
        self.zero_point = 0

    def _get_name(self) -> str:
        return f"{self._NAME}{self._dims}d"

    def extra_repr(self) -> str:
        return ", ".join(self._parts(f"scale={self.scale}, zero_point={self.zero_point}"))

    def _parts(self, scale: str) -> list[str]:
        n = self._dims
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}",
            f"stride={self.stride}",
            *([scale] if scale else []),
        ]
        for name, default in (
            ("padding", (0,) * n), ("dilation", (1,) * n), ("output_padding", (0,) * n),
            ("groups", 1),
        ):  # fmt: skip
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        if self._packed_bias is None:
            parts.append("bias=False")
        return parts

    def _weight_bias(self) -> tuple[Any, Any]:
        return self._packed_weight, self._packed_bias

    def set_weight_bias(self, w: Any, b: Tensor | None) -> None:
        """Give it a quantized weight and a bias."""
        self._packed_weight = w
        self._packed_bias = None if b is None else b.detach().to(d.float32)

    def _sums(self, x: QTensor) -> Tensor:
        """The convolution in float32, of a quantized input without or with a batch dim."""
        weight, bias = self._weight_bias()
        if self.transposed:
            return conv_transpose(
                x, weight, bias, self.stride, self.padding, self.output_padding, self.dilation,
                self.groups,
            )  # fmt: skip
        sides = floats._ConvNd._edge_padding(self)  # type: ignore[arg-type]
        even = tuple(sides[2 * i] for i in reversed(range(self._dims)))
        if self.padding_mode != "zeros":
            x = moved(x, lambda ints: _padded(ints, sides, self.padding_mode))
            even = (0,) * self._dims
        elif sides[::2] != sides[1::2]:
            zero_point: Any = x.q_zero_point()
            x = moved(x, lambda ints: _padded(ints, sides, "constant", zero_point))
            even = (0,) * self._dims
        return conv(x, weight, bias, self.stride, even, self.dilation, self.groups)

    def forward(self, input: Any) -> Any:
        """(N, C, *) quantized -> (N, O, *) quantized."""
        made = self._activated(self._sums(input))
        return rescaled(made, self.scale, self.zero_point, input.dtype)

    def _activated(self, values: Tensor) -> Tensor:
        return values

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[prefix + "weight"], destination[prefix + "bias"] = self._weight_bias()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: list[str],
        unexpected: list[str], errors: list[str],
    ) -> None:  # fmt: skip
        weight = state_dict.pop(prefix + "weight", None)
        bias = state_dict.pop(prefix + "bias", None)
        have = self._packed_weight
        if weight is None:
            missing.append(prefix + "weight")
        elif weight.shape != have.shape:
            errors.append(
                f"size mismatch for {prefix}weight: copying a param with shape {weight.shape} from "
                f"checkpoint, the shape in current model is {have.shape}."
            )
        else:
            place = have.device
            self.set_weight_bias(weight.to(place), None if bias is None else bias.to(place))
        super()._load_from_state_dict(
            state_dict, prefix, metadata, strict, missing, unexpected, errors
        )

    @classmethod
    def _copied(cls, mod: Any) -> Any:
        """A module of this class with the options of a float one."""
        options = {
            name: getattr(mod, name)
            for name in ("stride", "padding", "dilation", "groups", "padding_mode")
        }
        if cls._is_transposed:
            options["output_padding"] = mod.output_padding
        return cls(
            mod.in_channels, mod.out_channels, mod.kernel_size, bias=mod.bias is not None, **options
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of an observed float module, or of a trained one with fake quantizers.

        Raises:
            AssertionError: another module, or one without observers.
        """
        if hasattr(mod, "weight_fake_quant"):
            if not hasattr(mod, "activation_post_process"):
                raise AssertionError("Input QAT module must have observer attached")
            observer, of_output = mod.weight_fake_quant, mod.activation_post_process
            weight, bias = mod.weight, mod.bias
            if hasattr(mod, "bn"):  # ConvBn
                bn = mod.bn
                weight, bias = fuse_conv_bn_weights(
                    weight, bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
                )
        else:
            allowed = (cls._FLOAT_MODULE, cls._NNI_CONV_RELU_MODULE)
            if type(mod) not in allowed:
                raise AssertionError(
                    f"nnq.{cls.__name__}.from_float only works for {cls._FLOAT_MODULE.__name__} "
                    f"but got: {type(mod).__name__}"
                )
            if not hasattr(mod, "qconfig"):
                raise AssertionError("Input float module must have qconfig defined.")
            of_output = getattr(mod, "activation_post_process", None)
            if isinstance(mod, fused._FusedModule):
                mod = mod[0]
            weight, bias = mod.weight, mod.bias
            observer = _weight_observer(mod, cls._is_transposed)
        if observer.dtype is d.float16:
            raise NotImplementedError("convolutions have integer weights only, not float16")
        if observer.dtype is not d.qint8:
            raise AssertionError(
                f"Weight observer must have a dtype of qint8, got {observer.dtype}"
            )
        observer.to(weight.device)
        observer(weight)
        made = cls._copied(mod)
        made.set_weight_bias(quantize_weight(weight, observer), bias)
        is_static = of_output is not None and not getattr(of_output, "is_dynamic", False)
        if is_static and of_output.dtype is not d.float32:
            made.scale, made.zero_point = output_qparams(of_output)
        return made


def _weight_observer(mod: Any, is_transposed: bool) -> Any:
    """The weight's observer; a transposed convolution has its output channels in dim 1."""
    observer = mod.qconfig.weight()
    if is_transposed and getattr(observer, "ch_axis", None) == 0:
        if mod.groups > 1:
            raise AssertionError(
                "Per channel weight observer is not supported yet for transposed convolutions with "
                "groups: choose a qconfig with a weight observer per tensor"
            )
        observer.ch_axis = 1
    return observer


def _padded(ints: Tensor, sides: list[int], mode: str, value: int = 0) -> Tensor:
    """Integers of 8 bits padded, by way of float32, which has them all."""
    wide = F.pad(ints.to(d.float32), sides, mode=mode, value=value)
    return wide.to(ints.dtype)


class _Conv(_ConvNd):
    """Convolution of a quantized tensor with a qint8 weight, onto a scale of its own.

    Products are of int8, summed in int32; padding stands for 0. Arguments are those of the float
    layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
            padding_mode, device,
        )  # fmt: skip


class Conv1d(_Conv):
    __doc__ = _Conv.__doc__
    _dims = 1
    _FLOAT_MODULE = floats.Conv1d


class Conv2d(_Conv):
    __doc__ = _Conv.__doc__
    _dims = 2
    _FLOAT_MODULE = floats.Conv2d


class Conv3d(_Conv):
    __doc__ = _Conv.__doc__
    _dims = 3
    _FLOAT_MODULE = floats.Conv3d


class _ConvTranspose(_ConvNd):
    """Transposed convolution of a quantized tensor with a qint8 weight, onto a scale of its own.

    Arguments are those of the float layer.
    """

    _is_transposed = True
    _NAME = "QuantizedConvTranspose"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding,
            groups, bias, padding_mode, device,
        )  # fmt: skip


class ConvTranspose1d(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__
    _dims = 1
    _FLOAT_MODULE = floats.ConvTranspose1d


class ConvTranspose2d(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__
    _dims = 2
    _FLOAT_MODULE = floats.ConvTranspose2d


class ConvTranspose3d(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__
    _dims = 3
    _FLOAT_MODULE = floats.ConvTranspose3d
