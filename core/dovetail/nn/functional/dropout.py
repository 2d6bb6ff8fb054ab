"""Dropout of elements and of whole channels (``torch.nn.functional``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail import ops
from dovetail.warning import warn

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
    return (ops.dropout_ if inplace else ops.dropout)(input, p, training)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps mean and variance, for SELU (Klambauer et al., 2017)."""
    _check_chance(p)
    return (ops.alpha_dropout_ if inplace else ops.alpha_dropout)(input, p, training)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """``alpha_dropout`` of whole channels (slices of the first two dims)."""
    _check_chance(p)
    function: Any = ops.feature_alpha_dropout_ if inplace else ops.feature_alpha_dropout
    return function(input, p, training)  # type: ignore[no-any-return]


def _features(input: Tensor, p: float, training: bool, inplace: bool, is_batch: bool) -> Tensor:
    """Drop slices of the first two dims; of the first dim of one sample."""
    function: Any = ops.feature_dropout_ if inplace else ops.feature_dropout
    if is_batch:
        return function(input, p, training)  # type: ignore[no-any-return]
    result = function(input.unsqueeze(0), p, training)
    return input if inplace else result.squeeze(0)


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
    return _features(input, p, training, inplace, input.dim() == 3)


def _warn_of_dims(name: str, n: int, input: Tensor) -> None:
    warn(
        f"{name}: Received a {input.dim()}-D input to {name}, which is deprecated and will result "
        "in an error in a future release. To retain the behavior and silence this warning, please "
        f"use dropout instead. Note that {name} exists to provide channel-wise dropout on inputs "
        f"with {n} spatial dimensions, a channel dimension, and an optional batch dimension (i.e. "
        f"{n + 1}D or {n + 2}D inputs).",
    )


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Set whole channels of (N, C, H, W) to zero with chance ``p``; (N, C, L) is taken too."""
    _check_chance(p)
    if input.dim() not in (3, 4):
        _warn_of_dims("dropout2d", 2, input)
    elif input.dim() == 3:
        warn(
            "dropout2d: Received a 3-D input to dropout2d and assuming that channel-wise 1-D "
            "dropout behavior is desired - input is interpreted as shape (N, C, L), where C is the "
            "channel dim. This behavior will change in a future release to interpret the input as "
            "one without a batch dimension, i.e. shape (C, H, W). To maintain the 1-D channel-wise "
            "dropout behavior, please switch to using dropout1d instead.",
        )
    return _features(input, p, training, inplace, True)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Set whole channels of (N, C, D, H, W) or (C, D, H, W) to zero with chance ``p``."""
    _check_chance(p)
    if input.dim() not in (4, 5):
        _warn_of_dims("dropout3d", 3, input)
    return _features(input, p, training, inplace, input.dim() != 4)
