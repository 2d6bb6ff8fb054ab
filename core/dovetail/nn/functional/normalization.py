"""Normalisation over batches, layers, groups and samples (``torch.nn.functional``)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dovetail
from dovetail import ops
from dovetail.autograd.mode import mode
from dovetail.backend.state import state_of
from dovetail.nn.functional.padding import pad
from dovetail.nn.functional.planned import finder
from dovetail.nn.functional.pooling import avg_pool2d
from dovetail.ops.calling import told
from dovetail.ops.layers.batch_norm_step import batch_norm_step
from dovetail.ops.layers.instance_norm_step import instance_norm_step
from dovetail.tensor import check_dim

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "normalize",
    "rms_norm",
]


_layer_norm = finder("layer_norm", first=True)
_group_norm = finder("group_norm")
_rms_norm = finder("rms_norm", first=True)


@functools.cache
def _step_of(kind: dovetail.dtype) -> float:
    """The smallest step of a dtype."""
    return float(dovetail.finfo(kind).eps)


def _check_per_channel(name: str, channels: int, **tensors: Tensor | None) -> None:
    for label, tensor in tensors.items():
        if tensor is not None and tensor._spec.numel != channels:
            raise RuntimeError(
                f"{name}: {label} should contain {channels} elements not {tensor.numel()}"
            )


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel over the batch and the places.

    Args:
        input: (N, C, *).
        running_mean: (C), used in evaluation, updated in place in training.
        running_var: (C), likewise; it gets the unbiased variance.
        weight: (C) scale.
        bias: (C) shift.
        training: use the batch's own mean and (biased) variance.
        momentum: weight of the batch in the running values.
        eps: added to the variance.

    Raises:
        ValueError: training on one value per channel.
        RuntimeError: evaluation without running values, or sizes that are not C.
    """
    if training and running_mean is not None and running_var is not None:
        made = batch_norm_step(  # checks what is below
            input, weight, bias, running_mean, running_var, None, momentum, eps
        )
        if made is not None:
            return made
    spec = input._spec
    if spec.ndim < 2:
        raise RuntimeError(
            f"batch_norm: input must have at least 2 dims (N, C, …), got {tuple(input.shape)}"
        )
    channels = spec.shape[1]
    if training and spec.numel == channels:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.size()}"
        )
    if not training and (running_mean is None or running_var is None):
        missing = "running_mean" if running_mean is None else "running_var"
        raise RuntimeError(f"batch_norm: {missing} must be defined in evaluation mode")
    per_channel = (running_mean, running_var, weight, bias)
    if any(x is not None and x._spec.numel != channels for x in per_channel):
        names = ("running_mean", "running_var", "weight", "bias")
        _check_per_channel("batch_norm", channels, **dict(zip(names, per_channel, strict=True)))
    return ops.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each sample over its places.

    Args:
        input: (N, C, *).
        running_mean: (C), used if not ``use_input_stats``, otherwise updated in place.
        running_var: (C), likewise.
        weight: (C) scale.
        bias: (C) shift.
        use_input_stats: use each sample's own mean and variance.
        momentum: weight of the batch in the running values.
        eps: added to the variance.

    Raises:
        ValueError: one place per channel.
        RuntimeError: sizes that are not C.
    """
    spec = input._spec
    is_group = spec.memo.get("instance_norm")  # whether a device has a kernel that does it
    if is_group is None:
        has_kernel = spec.ndim > 2 and state_of(spec.device).table.entries("group_norm")
        is_group = spec.memo["instance_norm"] = bool(has_kernel)
    if is_group and use_input_stats and (running_mean is None or running_var is None):
        shape = spec.shape
        run = _group_norm(input, weight, bias, (shape[1], eps))
        if run is not None and spec.numel != shape[0] * shape[1]:
            return run(input, weight, bias)  # type: ignore[no-any-return]
    places = math.prod(input.shape[2:])
    if use_input_stats and places == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.size()}"
        )
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    batch, channels = input.shape[:2]
    if is_group:
        _check_per_channel("instance_norm", channels, weight=weight, bias=bias)
    if running_mean is not None and running_var is not None:
        if is_group and input.dtype.category == 2:
            out, *made = ops.group_norm_train(input, weight, bias, num_groups=channels, eps=eps)
            step = instance_norm_step(running_mean, running_var, *made, momentum, eps)
            if step is not None:
                step(places)
                return out  # type: ignore[no-any-return]
        with dovetail.no_grad():
            flat = input.detach().reshape(batch, channels, -1)
            running_mean.lerp_(flat.mean(-1).mean(0).to(running_mean.dtype), momentum)
            running_var.lerp_(flat.var(-1).mean(0).to(running_var.dtype), momentum)
    if is_group:
        return ops.group_norm(input, weight, bias, num_groups=channels, eps=eps)
    normalised = ops.layer_norm(
        input.reshape(batch, channels, places), None, None, normalized_shape=(places,), eps=eps
    ).reshape(input.shape)
    kind = normalised.dtype
    shape = (1, channels) + (1,) * (input.dim() - 2)
    if weight is not None:
        normalised = normalised * weight.reshape(shape)
    return (normalised if bias is None else normalised + bias.reshape(shape)).to(kind)


def _check_last_dims(
    name: str, input: Tensor, shape: tuple[int, ...], **tensors: Tensor | None
) -> None:
    if not shape:
        raise RuntimeError(f"{name}: normalized_shape must have at least one dim, got {shape}")
    if tuple(input.shape[-len(shape) :]) != shape:
        wanted = ", ".join(["*", *(str(size) for size in shape)])
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [{wanted}], "
            f"but got input of size{list(input.shape)} ({name})"
        )
    for label, tensor in tensors.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise RuntimeError(
                f"{name}: {label} must have the shape normalized_shape={shape}, "
                f"got shape {tuple(tensor.shape)}"
            )


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each sample over its last dims.

    Args:
        input: (*, normalized_shape).
        normalized_shape: sizes of those dims.
        weight: scale, of that shape.
        bias: shift, of that shape.
        eps: added to the variance.

    Raises:
        RuntimeError: shapes that do not fit.
    """
    run = _layer_norm(input, weight, bias, (normalized_shape, eps))
    if run is not None:
        return run(input, weight, bias)  # type: ignore[no-any-return]
    shape = tuple(normalized_shape)
    _check_last_dims("layer_norm", input, shape, weight=weight, bias=bias)
    return ops.layer_norm(input, weight, bias, normalized_shape=shape, eps=eps)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide each sample by the root of its mean square over the last dims.

    Args:
        input: (*, normalized_shape).
        normalized_shape: sizes of those dims.
        weight: scale, of that shape.
        eps: added to the mean square; None: the smallest step of the input's dtype.
    """
    if eps is None:
        eps = _step_of(input.dtype)
    run = _rms_norm(input, weight, (normalized_shape, eps))
    if run is not None:
        return run(input, weight)  # type: ignore[no-any-return]
    shape = tuple(normalized_shape)
    _check_last_dims("rms_norm", input, shape, weight=weight)
    return ops.rms_norm(input, weight, normalized_shape=shape, eps=eps)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each sample over groups of channels.

    Args:
        input: (N, C, *).
        num_groups: divides C.
        weight: (C) scale.
        bias: (C) shift.
        eps: added to the variance.

    Raises:
        RuntimeError: C is no multiple of ``num_groups``, or sizes are not C.
    """
    run = _group_norm(input, weight, bias, (num_groups, eps))
    if run is not None:
        return run(input, weight, bias)  # type: ignore[no-any-return]
    if input.dim() < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {input.dim()}"
        )
    channels = input.shape[1]
    if num_groups <= 0 or channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input "
            f"of shape {list(input.shape)} and num_groups={num_groups}"
        )
    _check_per_channel("group_norm", channels, weight=weight, bias=bias)
    return ops.group_norm(input, weight, bias, num_groups=num_groups, eps=eps)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide by (k + alpha · mean of squares of ``size`` neighbouring channels) ** beta.

    Args:
        input: (N, C, *).
        size: how many channels count as neighbours.
        alpha: factor of the mean of squares.
        beta: exponent.
        k: added to it.
    """
    if input.dim() < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality input (got {input.dim()} dimensions)"
        )
    if input.numel() == 0:
        return input
    if input.dtype.category == 2 and mode.autocast is None and size > 0:
        made: Tensor = ops.local_response_norm(
            input, size=size, alpha=float(alpha), beta=float(beta), k=float(k)
        )
        return made
    squares = input.mul(input).reshape(input.shape[0], 1, input.shape[1], -1)
    padded = pad(squares, (0, 0, size // 2, (size - 1) // 2))
    mean = avg_pool2d(padded, (size, 1), stride=1).reshape(input.shape)
    return input / mean.mul(alpha).add(k).pow(beta)


@told
def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """Divide by the p-norm along ``dim``, or by ``eps`` where that is smaller."""
    is_usual = p == 2 and out is None and dim.__class__ is int
    if (
        is_usual and input.dtype.category == 2 and mode.autocast is None
    ):  # which has the norm's list
        return ops.normalize(input, dim=check_dim(dim, input.dim()), eps=float(eps))
    norm = input.norm(p, dim, keepdim=True).clamp(eps)
    return dovetail.div(input, norm, out=out)
