"""Losses as modules; each calls the function of ``nn.functional`` (PyTorch's pages of these names).

``reduction`` is ``"mean"``, ``"sum"`` or ``"none"``. ``size_average`` and ``reduce`` are PyTorch's
deprecated way of saying the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.nn import functional as F
from dovetail.nn.functional.arguments import legacy_reduction
from dovetail.nn.module import Module

if TYPE_CHECKING:
    from dovetail.nn.functional.arguments import BatchReduction, Reduction
    from dovetail.tensor import Tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
    "WeightedLoss",
]


class Loss(Module):
    """A loss of two tensors."""

    reduction: Any  # a Reduction; KLDivLoss has one more

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        flags_given = size_average is not None or reduce is not None
        # The name itself is checked by the function, as PyTorch does.
        self.reduction = (
            legacy_reduction(size_average, reduce, reduction) if flags_given else reduction
        )


class WeightedLoss(Loss):
    """A loss whose ``weight`` is a buffer, so that it moves with the module."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class L1Loss(Loss):
    """|input - target|."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> a scalar, or their shape."""
        return F.l1_loss(input, target, reduction=self.reduction)


class MSELoss(Loss):
    """(input - target)²."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> a scalar, or their shape."""
        return F.mse_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """Quadratic below ``beta``, linear above (Girshick, 2015)."""

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: Reduction = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> a scalar, or their shape."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(Loss):
    """Quadratic below ``delta``, linear above (Huber, 1964)."""

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> a scalar, or their shape."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class NLLLoss(WeightedLoss):
    """The negative log-likelihood of classes, given log-probabilities.

    Args:
        weight: (C) a factor per class.
        size_average: deprecated.
        ignore_index: targets of this value count for nothing.
        reduce: deprecated.
        reduction: ``mean`` divides by the sum of the targets' weights.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C, *) and (N, *) int64, or (C) and () -> a scalar, or the target's shape."""
        return F.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class CrossEntropyLoss(WeightedLoss):
    """Cross entropy of logits with classes or with class probabilities.

    Args:
        weight: (C) a factor per class.
        size_average: deprecated.
        ignore_index: targets of this class count for nothing.
        reduce: deprecated.
        reduction: ``mean`` divides by the sum of the targets' weights.
        label_smoothing: how much of each target is spread over all classes.

    >>> import dovetail as dt
    >>> dt.nn.CrossEntropyLoss()(dt.zeros(1, 2), dt.tensor([1]))
    tensor(0.6931)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C, *) with (N, *) of int64 or (N, C, *) of probabilities -> a scalar, or (N, *)."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class BCELoss(WeightedLoss):
    """Binary cross entropy of probabilities; ``weight`` is a factor per element of the batch."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape, values in [0, 1] -> a scalar, or their shape."""
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """Binary cross entropy of logits.

    Args:
        weight: a factor per element of the batch.
        size_average: deprecated.
        reduce: deprecated.
        reduction: see the file.
        pos_weight: a factor of the positive examples, per class.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: Reduction = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape, targets in [0, 1] -> a scalar, or their shape."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


class KLDivLoss(Loss):
    """target · (log target - input), where ``input`` holds log-probabilities.

    Args:
        size_average: deprecated.
        reduce: deprecated.
        reduction: ``batchmean`` divides by the batch size, which is the divergence itself.
        log_target: the targets are logarithms too.
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: BatchReduction = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)  # type: ignore[arg-type]
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> a scalar, or their shape."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
