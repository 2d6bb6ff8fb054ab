"""Operators on channels that only put others together: conv_tbc and native_channel_shuffle."""

from __future__ import annotations

from dovetail import ops
from dovetail.ops.expose import publish
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.tensor import Tensor

__all__ = ["conv_tbc", "native_channel_shuffle"]


@publish(method=False)
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """A convolution over the first dim, with time first and channels last.

    Args:
        input: (T, N, in_channels).
        weight: (kernel, in_channels, out_channels).
        bias: (out_channels).
        pad: zeros at both ends.

    Returns:
        (T + 2 pad - kernel + 1, N, out_channels).

    Raises:
        RuntimeError: other shapes.
    """
    pad = whole_number("conv_tbc", "pad", pad)
    for name, tensor, n in (("Input", input, 3), ("Weight", weight, 3), ("Bias", bias, 1)):
        if tensor.dim() != n:
            raise RuntimeError(f"{name} must have {n} dims (conv_tbc), got {tuple(tensor.shape)}")
    if input.shape[2] != weight.shape[1]:
        raise RuntimeError("Input dim 2 (input channels) is not == dim 1 in the weight tensor")
    if weight.shape[2] != bias.shape[0]:
        raise RuntimeError("Bias size must equal dim 2 in the weight tensor (output channels).")
    if input.shape[0] + 2 * pad + 1 == weight.shape[0]:
        return input.new_zeros((0, input.shape[1], weight.shape[2]))
    if input.shape[0] + 2 * pad < weight.shape[0]:
        raise RuntimeError(
            f"conv_tbc: the window must fit in the padded input, got kernel {weight.shape[0]}, "
            f"pad={pad} and input of shape {tuple(input.shape)}"
        )
    made: Tensor = ops.conv(
        input.permute(1, 2, 0),
        weight.permute(2, 1, 0),
        bias,
        stride=(1,),
        padding=(pad,),
        dilation=(1,),
        groups=1,
    )
    return made.permute(2, 0, 1)


@publish(method=False)
def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleave groups of channels: (N, C, *) -> the same.

    Raises:
        RuntimeError: fewer than 3 dims, or channels that are no multiple of ``groups``.
    """
    from dovetail.nn.functional.padding import channel_shuffle

    return channel_shuffle(input, whole_number("native_channel_shuffle", "groups", groups))
