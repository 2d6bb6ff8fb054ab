"""A batch norm folded into the layer before it (``torch.nn.utils.fuse_conv_bn_eval``)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn.parameter import Parameter

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]


def _check(layer: Any, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")


def _check_statistics(bn: Any) -> None:
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of a convolution that does what it and the batch norm after it did.

    Args:
        conv: a convolution in evaluation mode.
        bn: a batch norm in evaluation mode, with running statistics.
        transpose: whether ``conv`` is a transposed convolution.

    Raises:
        AssertionError: one of them is in training mode, or there are no statistics.
    """
    _check(conv, bn)
    fused = copy.deepcopy(conv)
    _check_statistics(bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose,
    )  # fmt: skip
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the convolution with the batch norm folded in.

    Args:
        conv_w: (out, in / groups, *kernel), or (in, out / groups, *kernel) if ``transpose``.
        conv_b: (out), or None for 0.
        bn_rm: (out), the running mean.
        bn_rv: (out), the running variance.
        bn_eps: added to the variance.
        bn_w: (out), or None for 1.
        bn_b: (out), or None for 0.
        transpose: whether it is a transposed convolution.
    """
    weight: Any = conv_w
    bias: Any = dovetail.zeros_like(bn_rm) if conv_b is None else conv_b
    bias_dtype = conv_w.dtype if conv_b is None else conv_b.dtype
    scale: Any = dovetail.rsqrt(bn_rv + bn_eps)
    if bn_w is not None:
        scale = bn_w * scale
    shape = [1] * weight.dim()
    shape[1 if transpose else 0] = -1
    made = (weight * scale.reshape(shape)).to(weight.dtype)
    shifted = (bias - bn_rm) * scale
    if bn_b is not None:
        shifted = shifted + bn_b
    return (
        Parameter(made, weight.requires_grad),
        Parameter(shifted.to(bias_dtype), bias.requires_grad),
    )


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of a linear layer that does what it and the batch norm after it did.

    Args:
        linear: a linear layer in evaluation mode.
        bn: a batch norm in evaluation mode over its output features, or over one feature.

    Raises:
        AssertionError: one of them is in training mode, sizes differ, or there are no statistics.
    """
    _check(linear, bn)
    fused = copy.deepcopy(linear)
    if bn.num_features not in (linear.out_features, 1):
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
            f"linear.out_features={linear.out_features} and bn.num_features={bn.num_features}"
        )
    _check_statistics(bn)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor,
    bn_b: Tensor,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the linear layer with the batch norm folded in.

    Args:
        linear_w: (out, in).
        linear_b: (out), or None for 0.
        bn_rm: (out) or (1), the running mean.
        bn_rv: the running variance, as the mean.
        bn_eps: added to the variance.
        bn_w: factor after the norm, as the mean.
        bn_b: summand after the norm, as the mean.
    """
    weight: Any = linear_w
    bias: Any = dovetail.zeros_like(bn_rm) if linear_b is None else linear_b
    bias_dtype = linear_w.dtype if linear_b is None else linear_b.dtype
    scale: Any = bn_w * dovetail.rsqrt(bn_rv + bn_eps)
    made = weight * scale.unsqueeze(-1).to(weight.dtype)
    shifted = ((bias - bn_rm) * scale + bn_b).to(bias_dtype)
    return Parameter(made, weight.requires_grad), Parameter(shifted, bias.requires_grad)
