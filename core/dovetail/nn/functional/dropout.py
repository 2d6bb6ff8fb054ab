"""Dropout of elements and of whole channels (``torch.nn.functional``)."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import dovetail
from dovetail import ops

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]


def _check_chance(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set elements to zero with chance ``p`` and scale the rest by 1 / (1 - p).

    Args:
        input: any shape.
        p: the chance.
        training: do it at all.
        inplace: write over the input.

    Raises:
        ValueError: ``p`` is no chance.
    """
    _check_chance(p)
    if not training or p == 0.0:
        return input
    result = ops.dropout(input, p)
    return input.copy_(result) if inplace else result


def _drop_channels(input: Tensor, p: float, inplace: bool) -> Tensor:
    """Zero whole slices of the first two dims."""
    if input.dim() < 2:
        raise RuntimeError(
            "Feature dropout requires at least 2 dimensions in the input, "
            f"got shape {tuple(input.shape)}"
        )
    shape = tuple(input.shape[:2]) + (1,) * (input.dim() - 2)
    ones = dovetail.ones(shape, dtype=input.dtype, device=input.device)
    result = input * ops.dropout(ones, p)
    return input.copy_(result) if inplace else result


def _over_channels(
    name: str, n: int, input: Tensor, p: float, training: bool, inplace: bool
) -> Tensor:
    """Channel dropout of a batch, or of one sample without the batch dim."""
    _check_chance(p)
    if input.dim() not in (n + 1, n + 2):
        warnings.warn(
            f"{name}: Received a {input.dim()}-D input to {name}, which is deprecated and will "
            "result in an error in a future release. To retain the behavior and silence this "
            "warning, please use dropout instead. Note that "
            f"{name} exists to provide channel-wise dropout on inputs with {n} spatial dimensions, "
            f"a channel dimension, and an optional batch dimension (i.e. {n + 1}D or {n + 2}D "
            "inputs).",
            stacklevel=3,
        )
    if not training or p == 0.0:
        return input
    if input.dim() == n + 1:
        result = _drop_channels(input.unsqueeze(0), p, False).squeeze(0)
        return input.copy_(result) if inplace else result
    return _drop_channels(input, p, inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Set whole channels of (N, C, L) or (C, L) to zero with chance ``p``."""
    _check_chance(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. Note that "
            "dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension, "
            "a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    return _over_channels("dropout1d", 1, input, p, training, inplace)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Set whole channels of (N, C, H, W) to zero with chance ``p``; (N, C, L) is taken too."""
    if input.dim() != 3:
        return _over_channels("dropout2d", 2, input, p, training, inplace)
    _check_chance(p)
    warnings.warn(
        "dropout2d: Received a 3-D input to dropout2d and assuming that channel-wise 1-D dropout "
        "behavior is desired - input is interpreted as shape (N, C, L), where C is the channel "
        "dim. This behavior will change in a future release to interpret the input as one without "
        "a batch dimension, i.e. shape (C, H, W). To maintain the 1-D channel-wise dropout "
        "behavior, please switch to using dropout1d instead.",
        stacklevel=2,
    )
    return _drop_channels(input, p, inplace) if training and p > 0.0 else input


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Set whole channels of (N, C, D, H, W) or (C, D, H, W) to zero with chance ``p``."""
    return _over_channels("dropout3d", 3, input, p, training, inplace)


#: What SELU tends to for large negative inputs: minus scale times alpha.
_SELU_FLOOR = -1.7580993408473766


def _alpha_drop(input: Tensor, p: float, shape: tuple[int, ...], inplace: bool) -> Tensor:
    if p == 1.0:
        result = input * 0
    else:
        keep = dovetail.rand(shape, dtype=dovetail.float32, device=input.device) >= p
        # Scale and shift that give the mixture mean 0 and variance 1 again.
        a = 1.0 / math.sqrt((_SELU_FLOOR**2 * p + 1) * (1 - p))
        b = -a * _SELU_FLOOR * p
        result = dovetail.where(keep, input, _SELU_FLOOR).mul(a).add(b)
    return input.copy_(result) if inplace else result


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps mean and variance, for SELU (Klambauer et al., 2017)."""
    _check_chance(p)
    if not training or p == 0.0:
        return input
    return _alpha_drop(input, p, tuple(input.shape), inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """``alpha_dropout`` of whole channels (slices of the first two dims)."""
    _check_chance(p)
    if not training or p == 0.0:
        return input
    if input.dim() < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    shape = tuple(input.shape[:2]) + (1,) * (input.dim() - 2)
    return _alpha_drop(input, p, shape, inplace)
