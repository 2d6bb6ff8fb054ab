"""Convolution layers (PyTorch's pages ``Conv1d`` … ``Conv3d`` and ``ConvTranspose1d`` … ``3d``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn import functional as F
from dovetail.nn import init
from dovetail.nn.functional.arguments import ntuple
from dovetail.nn.functional.conv import convolution_of, transposed_convolution_of
from dovetail.nn.module import Module
from dovetail.nn.parameter import Parameter
from dovetail.nn.reading import affine_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovetail.tensor import Tensor

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolution layers share; a subclass states the number of spatial dims."""

    _dims: int
    _is_transposed = False

    def _set_up(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        n = self._dims
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        if padding_mode not in _PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {_PADDING_MODES}, "
                f"but got padding_mode='{padding_mode}'"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = ntuple(kernel_size, n)
        self.stride = ntuple(stride, n)
        self.padding = padding if isinstance(padding, str) else ntuple(padding, n)
        self.dilation = ntuple(dilation, n)
        self.output_padding = ntuple(output_padding, n)
        self.groups = groups
        self.padding_mode = padding_mode
        if self.padding == "same" and any(step != 1 for step in self.stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(
                f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}"
            )
        pair = (in_channels, out_channels // groups)
        if not self._is_transposed:
            pair = (out_channels, in_channels // groups)
        self.weight = Parameter(
            dovetail.empty((*pair, *self.kernel_size), device=device, dtype=dtype)
        )
        if bias:
            self.bias = Parameter(dovetail.empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the start values again: uniform in ±1/sqrt(fan_in)."""
        fan_in = math.prod(self.weight.shape[1:])
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound)

    def _edge_padding(self) -> list[int]:
        """Both sides of every spatial dim, last dim first, as ``F.pad`` takes them."""
        sides: list[int] = []
        for i in reversed(range(self._dims)):
            if self.padding == "same":
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                sides += [total // 2, total - total // 2]
            elif self.padding == "valid":
                sides += [0, 0]
            else:
                sides += [int(self.padding[i])] * 2
        return sides

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        n = self._dims
        for name, default in (
            ("padding", (0,) * n),
            ("dilation", (1,) * n),
            ("output_padding", (0,) * n),
            ("groups", 1),
        ):
            value = getattr(self, name)
            if value != default:
                parts.append(f"{name}={value}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    """Convolution: (N, C_in, *) or (C_in, *) -> (N, C_out, *) or (C_out, *).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: size of the window, one number or one per spatial dim.
        stride: step of the window.
        padding: how much to pad both sides, or ``"same"`` or ``"valid"``.
        dilation: distance between the window's elements.
        groups: blocks of channels that are convolved apart.
        bias: whether a bias is learned.
        padding_mode: ``zeros``, ``reflect``, ``replicate`` or ``circular``.
        device: where the parameters are.
        dtype: their dtype.

    ``weight`` is (out_channels, in_channels / groups, *kernel_size); it and ``bias`` start uniform
    in ±1/sqrt(in_channels / groups · window's size).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set_up(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, *) or (C_in, *) -> (N, C_out, *) or (C_out, *)."""
        weight, bias = affine_of(self)
        return self._conv_forward(input, weight, bias)

    def _conv_forward(
        self, input: Tensor, weight: Tensor, bias: Tensor | None, convolution: Any = None
    ) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._edge_padding(), mode=self.padding_mode)
            padding = 0
        convolution = convolution or convolution_of(self._dims)
        return convolution(  # type: ignore[no-any-return]
            input, weight, bias, self.stride, padding, self.dilation, self.groups
        )


class Conv1d(_Conv):
    __doc__ = _Conv.__doc__
    _dims = 1


class Conv2d(_Conv):
    __doc__ = _Conv.__doc__
    _dims = 2


class Conv3d(_Conv):
    __doc__ = _Conv.__doc__
    _dims = 3


class _ConvTranspose(_ConvNd):
    """Transposed convolution, the gradient of a convolution with respect to its input.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: size of the window, one number or one per spatial dim.
        stride: step of the window in the output.
        padding: dilation · (kernel_size - 1) - padding zeros go on both sides of the input.
        output_padding: extra size on one side of the output.
        groups: blocks of channels that are convolved apart.
        bias: whether a bias is learned.
        dilation: distance between the window's elements.
        padding_mode: only ``zeros``.
        device: where the parameters are.
        dtype: their dtype.

    ``weight`` is (in_channels, out_channels / groups, *kernel_size).
    """

    _is_transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        self._set_up(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C_in, *) -> (N, C_out, *).

        Args:
            input: the input.
            output_size: the wanted spatial sizes, where the stride leaves a choice.
        """
        return transposed_convolution_of(self._dims)(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        if output_size is None:
            return self.output_padding
        n = self._dims
        wanted = tuple(output_size)
        if len(wanted) == input.dim():
            wanted = wanted[-n:]
        if len(wanted) != n:
            raise ValueError(
                f"{type(self).__name__}: for {input.dim()}D input, output_size must have {n} or "
                f"{input.dim()} elements (got {len(wanted)})"
            )
        smallest = [
            (input.shape[input.dim() - n + i] - 1) * self.stride[i]
            - 2 * self.padding[i]
            + self.dilation[i] * (self.kernel_size[i] - 1)
            + 1
            for i in range(n)
        ]
        largest = [low + step - 1 for low, step in zip(smallest, self.stride, strict=True)]
        if any(
            not low <= size <= high
            for low, size, high in zip(smallest, wanted, largest, strict=True)
        ):
            raise ValueError(
                f"requested an output size of {list(wanted)}, but valid sizes range from "
                f"{smallest} to {largest} (for an input of {input.size()[2:]})"
            )
        return tuple(size - low for size, low in zip(wanted, smallest, strict=True))


class ConvTranspose1d(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__
    _dims = 1


class ConvTranspose2d(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__
    _dims = 2


class ConvTranspose3d(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__
    _dims = 3
