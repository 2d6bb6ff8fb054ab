"""Losses (PyTorch's ``torch.nn.functional`` page).

``reduction`` is ``"mean"``, ``"sum"`` or ``"none"``; ``size_average`` and ``reduce`` are PyTorch's
deprecated way of saying the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dovetail
from dovetail import ops
from dovetail.nn.functional.arguments import check_reduction, legacy_reduction
from dovetail.nn.functional.planned import finder
from dovetail.ops.calling import told
from dovetail.ops.layers.classification import check_targets
from dovetail.ops.layers.loss import reduced
from dovetail.warning import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovetail.nn.functional.arguments import BatchReduction, Reduction
    from dovetail.tensor import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
]


def _regression(
    function: Callable[..., Tensor],
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    **options: float,
) -> Tensor:
    """A loss of the difference of two tensors, which broadcast with a warning."""
    if input.size() != target.size():
        warn(
            f"Using a target size ({target.size()}) that is different to the input size "
            f"({input.size()}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
        )
        input, target = dovetail.broadcast_tensors(input, target)
    if weight is None:
        return function(input, target, reduction=reduction, **options)
    if weight.size() != input.size():
        raise ValueError("Weights and input must have the same size.")
    kind = input._spec.dtype
    if kind.category == 2 and kind is target._spec.dtype and kind is weight._spec.dtype:
        loss: Tensor = ops.weighted_loss(
            input, target, weight, loss=function.__name__, reduction=reduction, **options
        )
        return loss
    weighted = function(input, target, reduction="none", **options) * weight
    # The mean is over the weights, but for huber_loss over the elements, as PyTorch has it.
    if reduction == "mean" and "delta" not in options:
        return weighted.sum() / weight.sum()
    return reduced(weighted, reduction)  # type: ignore[no-any-return]


def _like(operand: Tensor, loss: Tensor) -> Tensor:
    """A loss in the dtype of the operand of floats that PyTorch writes it over."""
    kind = operand._spec.dtype
    return loss if kind is loss._spec.dtype or kind.category != 2 else loss.to(kind)


@told
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    return _regression(ops.l1_loss, input, target, weight, reduction)


@told
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)²."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    return _regression(ops.mse_loss, input, target, weight, reduction)


@told
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d² / (2 beta) where d = |input - target| is below ``beta``, d - beta / 2 elsewhere.

    Raises:
        RuntimeError: ``beta`` is negative.
    """
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    reduction = legacy_reduction(size_average, reduce, reduction)
    if beta == 0:
        return _regression(ops.l1_loss, input, target, None, reduction)
    return _regression(ops.smooth_l1_loss, input, target, None, reduction, beta=float(beta))


@told
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d² / 2 where d = |input - target| is below ``delta``, delta · (d - delta / 2) elsewhere.

    Raises:
        RuntimeError: ``delta`` is not positive.
    """
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    check_reduction(reduction)
    loss = _regression(ops.huber_loss, input, target, weight, reduction, delta=float(delta))
    return loss if weight is not None else _like(input, loss)


_cross_entropy = finder("cross_entropy", first=True)
_nll_loss = finder("nll_loss")


def _check_classes(name: str, input: Tensor, target: Tensor, weight: Tensor | None) -> int:
    """Check input (N, C, *) or (C) against class indices (N, *) or (); the number of classes."""
    if input.dim() == 0:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if input.dim() > 1 and target.dim() > 0 and input.shape[0] != target.shape[0]:
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size "
            f"({target.shape[0]})."
        )
    if target.dtype not in (dovetail.int64, dovetail.uint8):
        raise RuntimeError(
            f"{name}: expected target dtype to be Long or Byte (int64 or uint8), "
            f"got {target.dtype}; convert with .long()"
        )
    expected = (*input.shape[:1], *input.shape[2:]) if input.dim() > 1 else ()
    if tuple(target.shape) != expected:
        raise RuntimeError(
            f"{name}: target must be input's shape without the classes (dim 1), {expected}, "
            f"got shape {tuple(target.shape)} for input of shape {tuple(input.shape)}"
        )
    classes = input.shape[1 if input.dim() > 1 else 0]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but "
            f"got weight tensor of shape: {list(weight.shape)} ({name})"
        )
    return classes


@told
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """The negative log-likelihood of classes, given log-probabilities.

    Args:
        input: (N, C, *) or (C).
        target: (N, *) or () of int64, values in [0, C).
        weight: (C) a factor per class.
        size_average: deprecated.
        ignore_index: targets of this value count for nothing.
        reduce: deprecated.
        reduction: ``mean`` divides by the sum of the targets' weights.

    Raises:
        IndexError: a target outside [0, C).
    """
    if size_average is None and reduce is None:
        run = _nll_loss(input, target, weight, (ignore_index, reduction))
        if run is not None:
            check_targets(input, target, ignore_index)
            return run(input, target, weight)  # type: ignore[no-any-return]
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_classes("nll_loss", input, target, weight)
    return ops.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)


@told
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of logits with classes or with class probabilities.

    Args:
        input: (N, C, *) or (C), logits.
        target: (N, *) or () of int64; or the input's shape, probabilities.
        weight: (C) a factor per class.
        size_average: deprecated.
        ignore_index: targets of this class count for nothing.
        reduce: deprecated.
        reduction: ``mean`` divides by the sum of the targets' weights (by N for probabilities).
        label_smoothing: how much of each target is spread over all classes.

    Raises:
        IndexError: a class outside [0, C).
        RuntimeError: shapes or dtypes that do not fit; a smoothing outside [0, 1].

    >>> import dovetail as dt
    >>> dt.nn.functional.cross_entropy(dt.zeros(1, 2), dt.tensor([1]))
    tensor(0.6931)
    """
    if size_average is None and reduce is None:
        attributes = (ignore_index, reduction, label_smoothing)
        run = _cross_entropy(input, target, weight, attributes)
        if run is not None:
            check_targets(input, target, ignore_index)
            return run(input, target, weight)  # type: ignore[no-any-return]
    reduction = legacy_reduction(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.dim() > 0 and input.size() == target.size():
        return _probability_cross_entropy(
            input, target, weight, ignore_index, reduction, label_smoothing
        )
    _check_classes("cross_entropy", input, target, weight)
    return ops.cross_entropy(
        input,
        target,
        weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=float(label_smoothing),
    )


def _probability_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Tensor:
    if not target.is_floating_point():
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {target.dtype}"
        )
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    dim = 1 if input.dim() > 1 else 0
    classes = input.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    product = dovetail.log_softmax(input, dim) * target
    if weight is not None:
        if tuple(weight.shape) != (classes,):
            raise RuntimeError(
                "cross_entropy: weight tensor should be defined either for all "
                f"{classes} classes or no classes but got weight tensor of shape: "
                f"{list(weight.shape)}"
            )
        product = product * weight.reshape((classes,) + (1,) * (input.dim() - dim - 1))
    if reduction == "none":
        return -product.sum(dim)
    # Probabilities: the mean is over samples, whatever the weights.
    total = product.sum()
    return total / -(product.numel() / classes if classes else 0) if reduction == "mean" else -total


@told
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Binary cross entropy of probabilities; logarithms are at least -100.

    Args:
        input: any shape, values in [0, 1].
        target: the same shape, values in [0, 1].
        weight: a factor per element; broadcasts.
        size_average: deprecated.
        reduce: deprecated.
        reduction: see the file.

    Raises:
        ValueError: shapes that differ.
        RuntimeError: an input outside [0, 1].
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target.size() != input.size():
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size "
            f"({input.size()}) is deprecated. Please ensure they have the same size."
        )
    if weight is not None and weight.size() != input.size():
        weight = weight.expand(input.size())
    return ops.binary_cross_entropy(input, target, weight, reduction=reduction)


@told
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross entropy of logits.

    Args:
        input: any shape.
        target: the same shape, values in [0, 1].
        weight: a factor per element; broadcasts.
        size_average: deprecated.
        reduce: deprecated.
        reduction: see the file.
        pos_weight: a factor of the positive part; broadcasts.

    Raises:
        ValueError: shapes that differ.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target.size() != input.size():
        raise ValueError(
            f"Target size ({target.size()}) must be the same as input size ({input.size()})"
        )
    loss = ops.binary_cross_entropy_with_logits(
        input, target, weight, pos_weight, reduction=reduction
    )
    return _like(target, loss)


@told
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: BatchReduction = "mean",
    log_target: bool = False,
) -> Tensor:
    """target · (log target - input), where ``input`` holds log-probabilities.

    Args:
        input: any shape.
        target: probabilities, or their logarithms; broadcasts.
        size_average: deprecated.
        reduce: deprecated.
        reduction: also ``batchmean``: the sum divided by the batch size.
        log_target: the targets are logarithms.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    elif reduction == "mean":
        warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.'mean' will be changed to behave the same as 'batchmean' in the next major "
            "release.",
        )
    by_batch = reduction == "batchmean"
    if not by_batch:
        check_reduction(reduction)
    if input._spec.shape != target._spec.shape:
        input, target = dovetail.broadcast_tensors(input, target)
    if by_batch and not (input.dim() and input.shape[0]):
        result = ops.kl_div(input, target, reduction="sum", log_target=log_target)
        return result / 0 if input.dim() else result
    return ops.kl_div(input, target, reduction=reduction, log_target=log_target)
