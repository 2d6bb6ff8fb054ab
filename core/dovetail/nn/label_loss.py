"""Losses of several classes or labels, of sequences, and of triplets with a distance of one's own.

``reduction``, ``size_average`` and ``reduce`` are as in ``nn/loss.py``; meanings follow PyTorch's
pages of these names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dovetail.nn import functional as F
from dovetail.nn.loss import Loss, WeightedLoss
from dovetail.nn.padding import PairwiseDistance

if TYPE_CHECKING:
    from dovetail.nn.functional.arguments import Reduction
    from dovetail.tensor import Tensor

__all__ = [
    "CTCLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "TripletMarginWithDistanceLoss",
]


class CTCLoss(Loss):
    """Minus the log-likelihood of sequences of labels, over all their alignments.

    Args:
        blank: the class that says nothing.
        reduction: ``mean`` divides by the target lengths first.
        zero_infinity: 0 instead of infinity, where labels do not fit into the steps.
    """

    def __init__(
        self, blank: int = 0, reduction: Reduction = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        """(T, N, C), (N, S) or (sum of target_lengths), and lengths (N) -> a scalar, or (N)."""
        return F.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )


class MultiMarginLoss(WeightedLoss):
    """The mean over classes i of max(0, margin - x[y] + x[i]) ** p, without i = y.

    Args:
        p: 1 or 2.
        margin: see above.
        weight: (C) factors of the classes y.
        size_average: deprecated.
        reduce: deprecated.
        reduction: see the file.
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError("only p == 1 and p == 2 supported")
        if weight is not None and weight.dim() != 1:
            raise ValueError(
                "MultiMarginLoss: expected weight to be None or 1D tensor, got "
                f"{weight.dim()}D instead"
            )
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C) and (N), or (C) and () -> a scalar, or (N)."""
        return F.multi_margin_loss(
            input,
            target,
            p=self.p,
            margin=self.margin,
            weight=self.weight,
            reduction=self.reduction,
        )


class MultiLabelMarginLoss(Loss):
    """The sum over labels y and other classes i of max(0, 1 - x[y] + x[i]), over C."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C) or (C), and labels of that shape up to the first -1 -> a scalar, or (N)."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(WeightedLoss):
    """Binary cross-entropy of each label, averaged over the labels (the last dim)."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors (*, C) -> a scalar, or (*)."""
        return F.multilabel_soft_margin_loss(
            input, target, weight=self.weight, reduction=self.reduction
        )


class TripletMarginWithDistanceLoss(Loss):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with a distance of one's own.

    Args:
        distance_function: of two tensors, may be a module; None: ``PairwiseDistance()``.
        margin: greater than 0.
        swap: use the smaller of d(anchor, negative) and d(positive, negative).
        reduction: see the file.
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        if margin <= 0:
            raise ValueError(
                "TripletMarginWithDistanceLoss: expected margin to be greater than 0, got "
                f"{margin} instead"
            )
        self.distance_function: Any = (
            PairwiseDistance() if distance_function is None else distance_function
        )
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Three tensors (N, *) -> a scalar, or (N)."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
