"""An approximate softmax over many classes (PyTorch's page ``AdaptiveLogSoftmaxWithLoss``)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import dovetail
from dovetail.nn import functional as F
from dovetail.nn.containers import ModuleList, Sequential
from dovetail.nn.linear import Linear
from dovetail.nn.module import Module

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class _ASMoutput(NamedTuple):
    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax whose rare classes are in clusters, each with a smaller map of its own.

    Args:
        in_features: size of each input.
        n_classes: how many classes, the most frequent first.
        cutoffs: where each cluster begins; what is before the first is in the head.
        div_value: cluster i works on in_features / div_value ** (i + 1) numbers.
        head_bias: whether the head has a bias.
        device: where the parameters are.
        dtype: their dtype.

    Source: Grave et al., "Efficient softmax approximation for GPUs", 2017.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        given = list(cutoffs)
        if not given:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            given != sorted(set(given))
            or min(given) <= 0
            or max(given) > n_classes - 1
            or any(int(c) != c for c in given)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing "
                "order, where each value is between 1 and n_classes-1"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*given, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = given[0]
        self.n_clusters = len(given)
        self.head_size = self.shortlist_size + self.n_clusters
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **place)
        self.tail = ModuleList()
        for i, (start, end) in enumerate(itertools.pairwise(self.cutoffs)):
            hidden = int(in_features // div_value ** (i + 1))
            first = Linear(in_features, hidden, bias=False, **place)
            self.tail.append(Sequential(first, Linear(hidden, end - start, bias=False, **place)))

    def reset_parameters(self) -> None:
        """Draw the start values again."""
        self.head.reset_parameters()
        pairs: Any = self.tail
        for first, second in pairs:
            first.reset_parameters()
            second.reset_parameters()

    def _check(self, input: Tensor, target: Tensor) -> None:
        if target.dim() > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target.dim() == 1 and input.size(0) != target.size(0):
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if input.dim() != target.dim() + 1:
            raise RuntimeError(
                f"{target.dim()}D target tensor expects {target.dim() + 1}D input tensors, but "
                f"found inputs with size {input.size()}"
            )
        low, high = (int(target.min()), int(target.max())) if target.numel() else (0, 0)
        if low < 0 or high >= self.n_classes:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{low}, {high}] were found. "
            )

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        """(N, in_features) and (N), or without N -> log-likelihoods of the targets, and the loss.

        Raises:
            RuntimeError: other shapes, or targets outside the classes.
        """
        self._check(input_, target_)
        is_batched = target_.dim() > 0
        input = input_ if is_batched else input_.unsqueeze(0)
        target = target_ if is_batched else target_.unsqueeze(0)
        head = F.log_softmax(self.head(input), dim=1)
        places = target
        output = input.new_zeros(target.size(0))
        for i, (start, end) in enumerate(itertools.pairwise(self.cutoffs)):
            inside = (target >= start) & (target < end)
            rows = inside.nonzero().squeeze(1)
            if not rows.numel():
                continue
            places = places.masked_fill(inside, self.shortlist_size + i)
            cluster = F.log_softmax(self.tail[i](input.index_select(0, rows)), dim=1)
            local = cluster.gather(1, (target.index_select(0, rows) - start).unsqueeze(1))
            output = output.index_copy(0, rows, local.squeeze(1))
        output = output + head.gather(1, places.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return _ASMoutput(output if is_batched else output.squeeze(0), loss)

    def log_prob(self, input: Tensor) -> Tensor:
        """(N, in_features) -> (N, n_classes): the log-likelihoods of all classes."""
        head = F.log_softmax(self.head(input), dim=1)
        parts = [head[:, : self.shortlist_size]]
        for i in range(self.n_clusters):
            cluster = F.log_softmax(self.tail[i](input), dim=1)
            parts.append(cluster + head[:, self.shortlist_size + i].unsqueeze(1))
        return dovetail.cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """(N, in_features) -> (N): the likeliest class; clusters are looked into where needed."""
        output = self.head(input).argmax(1)
        outside = output >= self.shortlist_size
        rows = outside.nonzero().squeeze(1)
        if not rows.numel():
            return output  # type: ignore[no-any-return]
        likeliest = self.log_prob(input.index_select(0, rows)).argmax(1)
        return output.index_copy(0, rows, likeliest)  # type: ignore[no-any-return]
