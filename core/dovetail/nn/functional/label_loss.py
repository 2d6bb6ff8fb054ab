"""Margin losses of several classes or labels, written in other operators.

Meanings follow PyTorch's ``torch.nn.functional`` page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dovetail
from dovetail import ops
from dovetail.autograd.mode import mode
from dovetail.dispatch import call
from dovetail.nn.functional.activation import logsigmoid
from dovetail.nn.functional.arguments import check_reduction, legacy_reduction
from dovetail.nn.functional.linear import pairwise_distance
from dovetail.ops.calling import told
from dovetail.ops.indexed.index import GATHER
from dovetail.ops.indexed.index_checks import check_bounds, true_anywhere
from dovetail.ops.layers.label_margins import OUTSIDE
from dovetail.ops.layers.loss import is_looked_at, reduced
from dovetail.ops.layers.row_losses import is_one_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovetail.nn.functional.arguments import Reduction
    from dovetail.tensor import Tensor

__all__ = [
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _rows(input: Tensor) -> Tensor:
    """(N, C) from (N, C), (C) or ().

    Raises:
        RuntimeError: other shapes, or no classes.
    """
    if input.dim() > 2 or (input.dim() and not input.shape[-1]):
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}"
        )
    return input if input.dim() == 2 else input.reshape(1, -1)


def _need_long(target: Tensor) -> None:
    if target.dtype is not dovetail.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype}")


_PICK = GATHER.part_of("multi_margin_loss", OUTSIDE)


@told
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """The mean over classes i of max(0, margin - x[y] + x[i]) ** p, without i = y.

    Args:
        input: (N, C) or (C).
        target: (N) or (), classes y, int64.
        p: 1 or 2.
        margin: see above.
        weight: (C) factors of the classes y.
        size_average: deprecated.
        reduce: deprecated.
        reduction: mean, sum or none.

    Raises:
        ValueError: another p, or weights of another number of dims.
        RuntimeError: other shapes and dtypes, or a target outside [0, C).
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    x = _rows(input)
    batch, classes = x.shape
    if target.dim() > 1 or target.numel() != batch:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input "
            f"samples (batch size). Expected target size [{batch}], but got {list(target.shape)}. "
            f"Input has shape {list(input.shape)}."
        )
    if weight is not None and weight.numel() != classes:
        raise RuntimeError(
            f"inconsistent weight size, expected {classes} but got {list(weight.shape)}"
        )
    if weight is not None and weight.dtype is not input.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype} but found {weight.dtype}")
    _need_long(target)
    check_bounds(target, classes, OUTSIDE)
    is_alone = reduction == "none" and input.dim() < 2 and target.dim() == 0
    if x.dtype.category == 2:
        y = target if target.dim() else target.reshape(1)
        loss = ops.multi_margin_loss(x, y, weight, p=p, margin=float(margin), reduction=reduction)
        return loss.squeeze(0) if is_alone else loss  # type: ignore[no-any-return]
    column = target.reshape(-1, 1)
    gaps = dovetail.relu(margin - call(_PICK, (x, column), (1,)) + x)
    if p == 2:
        gaps = gaps * gaps
    if weight is not None:
        gaps = gaps * weight.index_select(0, column.reshape(-1)).unsqueeze(1)
    others = dovetail.arange(classes, device=x.device) != column
    loss = ops.where(others, gaps, 0.0).sum(1) / classes
    if is_alone:
        return loss.squeeze(0)  # type: ignore[no-any-return]
    return reduced(loss, reduction)  # type: ignore[no-any-return]


@told
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """The sum over labels y and other classes i of max(0, 1 - x[y] + x[i]), over C.

    Args:
        input: (N, C) or (C).
        target: the same shape of int64: labels, up to the first -1.
        size_average: deprecated.
        reduce: deprecated.
        reduction: mean, sum or none.

    Raises:
        RuntimeError: other shapes and dtypes, or a label outside [-1, C).
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    x = _rows(input)
    if target.numel() != input.numel() or target.dim() != input.dim():
        raise RuntimeError(
            f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
        )
    _need_long(target)
    labels = target if x is input else target.reshape(x.shape)
    classes = x.shape[1]
    is_seen = is_looked_at("multilabel_margin_loss", x)
    if not is_seen and labels.numel() and true_anywhere((labels < -1) | (labels >= classes)):
        raise RuntimeError("argument #2 'target' is out of range")
    is_alone = reduction == "none" and input.dim() < 2
    if x.dtype.category == 2:
        loss = ops.multilabel_margin_loss(x, labels, reduction=reduction)
        return loss.squeeze(0) if is_alone else loss  # type: ignore[no-any-return]
    counts = (labels >= 0).to(dovetail.int64).cumprod(1) > 0
    places = labels.clamp(min=0)
    zeros = dovetail.zeros_like(labels)
    is_label = zeros.scatter_add(1, places, counts.to(dovetail.int64)) > 0
    gaps = dovetail.relu(1 - x.gather(1, places).unsqueeze(2) + x.unsqueeze(1))
    compared = counts.unsqueeze(2) & ~is_label.unsqueeze(1)
    loss = ops.where(compared, gaps, 0.0).sum((1, 2)) / classes
    if is_alone:
        return loss.squeeze(0)  # type: ignore[no-any-return]
    return reduced(loss, reduction)  # type: ignore[no-any-return]


def _is_logits_loss(input: Tensor, target: Tensor, weight: Tensor | None) -> bool:
    """Whether the mean over labels is that of :func:`binary_cross_entropy_with_logits`."""
    if mode.autocast is not None or not is_one_record(input, target):
        return False
    return weight is None or (
        weight.dtype is input.dtype and weight._spec.shape == input._spec.shape[-1:]
    )


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Binary cross-entropy of each label, averaged over the labels (the last dim).

    Args:
        input: (*, C), logits.
        target: the same shape, 0 or 1.
        weight: (C) factors of the labels.
        size_average: deprecated.
        reduce: deprecated.
        reduction: mean, sum or none.

    Raises:
        ValueError: another reduction.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    if reduction in ("none", "mean", "sum") and _is_logits_loss(input, target, weight):
        by = "mean" if reduction == "mean" else "none"
        loss = ops.binary_cross_entropy_with_logits(input, target, weight, None, reduction=by)
        if reduction == "mean":
            return loss
        loss = loss.mean(-1)
        return loss if reduction == "none" else loss.sum()
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    last = input.dim() - 1
    loss = loss.sum(dim=last) / input.size(last)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    return reduced(loss, reduction)  # type: ignore[no-any-return]


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with a distance of one's own.

    Args:
        anchor: (N, *), or what the distance takes.
        positive: the same.
        negative: the same.
        distance_function: of two tensors; None: the 2-norm of their difference.
        margin: greater than 0.
        swap: use the smaller of d(anchor, negative) and d(positive, negative).
        reduction: mean, sum or none.

    Raises:
        ValueError: another reduction, or a margin that is not positive.
        RuntimeError: tensors of different numbers of dims.
    """
    check_reduction(reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and "
            f"negative {negative.dim()}D inputs"
        )
    if distance_function is None and not swap and is_one_record(anchor, positive, negative):
        return ops.triplet_margin_loss(  # type: ignore[no-any-return]
            anchor, positive, negative, margin=float(margin), eps=1e-6, reduction=reduction
        )
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = dovetail.minimum(far, distance(positive, negative))
    return reduced((margin + near - far).clamp_min(0), reduction)  # type: ignore[no-any-return]
