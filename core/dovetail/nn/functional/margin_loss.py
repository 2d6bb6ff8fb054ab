"""Losses of margins, distances and distributions, written in other operators.

Meanings follow PyTorch's ``torch.nn.functional`` page.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import dovetail
from dovetail import ops
from dovetail.autograd.mode import mode
from dovetail.nn.functional.arguments import legacy_reduction
from dovetail.nn.functional.linear import pairwise_distance
from dovetail.ops.calling import told
from dovetail.ops.indexed.index_checks import true_anywhere
from dovetail.ops.layers.loss import is_looked_at, reduced
from dovetail.ops.layers.margin_loss import (
    hinge_embedding_terms,
    margin_ranking_terms,
    poisson_nll_terms,
    soft_margin_terms,
)
from dovetail.ops.layers.row_losses import is_one_record

if TYPE_CHECKING:
    from dovetail.nn.functional.arguments import Reduction
    from dovetail.tensor import Tensor

__all__ = [
    "cosine_embedding_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "poisson_nll_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
]


def _have_record(*tensors: Tensor) -> bool:
    """Whether a loss of these is one record: they have one shape and dtype of floats.

    On the host, without a gradient, a record's plan costs more than the steps that it is made of.
    Of two devices it is the record that refuses.
    """
    first = tensors[0]._spec
    for tensor in tensors:
        spec = tensor._spec
        if spec.device is not first.device:
            return True
        if spec.shape != first.shape or spec.dtype is not first.dtype:
            return False
    if first.dtype.category != 2:
        return False
    return first.device.type != "cpu" or tensors[0]._node is not None


@told
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """x where the target is 1, max(0, margin - x) where it is -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _have_record(input, target):
        return ops.hinge_embedding_loss(input, target, reduction=reduction, margin=float(margin))
    return reduced(hinge_embedding_terms(input, target, margin), reduction)


@told
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """log(1 + exp(-target · input)), with targets 1 and -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    kind = input._spec.dtype
    if kind.category == 2 and target._spec.dtype is not kind:
        target = target.to(kind)
    if _have_record(input, target):
        return ops.soft_margin_loss(input, target, reduction=reduction)
    return reduced(soft_margin_terms(input, target), reduction)


@told
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """max(0, -target · (input1 - input2) + margin).

    Raises:
        RuntimeError: tensors of different numbers of dims.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    if _have_record(input1, input2, target):
        return ops.margin_ranking_loss(
            input1, input2, target, reduction=reduction, margin=float(margin)
        )
    return reduced(margin_ranking_terms(input1, input2, target, margin), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1.

    Args:
        input1: (N, D) or (D).
        input2: the same shape.
        target: (N) or (), values 1 and -1.
        margin: see above.
        size_average: deprecated.
        reduce: deprecated.
        reduction: mean, sum or none.

    Raises:
        RuntimeError: other shapes.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target.dim() not in (0, 1) or not input1.dim() == input2.dim() == target.dim() + 1:
        raise RuntimeError(
            "cosine_embedding_loss: inputs must be (N, D) for a target (N), or (D) for (), got "
            f"shapes {tuple(input1.shape)}, {tuple(input2.shape)} and {tuple(target.shape)}"
        )
    if (
        target.dtype.category in (1, 2)
        and target._spec.shape == input1._spec.shape[:-1]
        and is_one_record(input1, input2)
    ):
        return ops.cosine_embedding_loss(
            input1, input2, target, margin=float(margin), reduction=reduction
        )
    cosine = _cosine(input1, input2, target.dim())
    zero = dovetail.zeros_like(cosine, requires_grad=False)
    alike = dovetail.where(target == 1, 1 - cosine, zero)
    apart = dovetail.where(target == -1, (cosine - margin).clamp_min(0), zero)
    return reduced(alike + apart, reduction)


def _cosine(input1: Tensor, input2: Tensor, dim: int) -> Tensor:
    """The cosine as this loss computes it: a small constant is added to the squared norms."""
    tiny = 1e-12
    product = (input1 * input2).sum(dim)
    first = (input1 * input1).sum(dim) + tiny
    second = (input2 * input2).sum(dim) + tiny
    return product / (first * second).sqrt()


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with the p-norm as d.

    Args:
        anchor: (N, D) or (D).
        positive: the same.
        negative: the same.
        margin: greater than 0.
        p: the norm.
        eps: added inside the norm.
        swap: use the smaller of d(anchor, negative) and d(positive, negative).
        size_average: deprecated.
        reduce: deprecated.
        reduction: mean, sum or none.

    Raises:
        ValueError: the margin is not positive.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and "
            f"negative {negative.dim()}D inputs"
        )
    if 1 <= p < math.inf and is_one_record(anchor, positive, negative):
        return ops.triplet_margin_loss(
            anchor, positive, negative, margin=float(margin), eps=float(eps), p=float(p),
            swap=bool(swap), reduction=reduction,
        )  # fmt: skip
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = dovetail.minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced((margin + near - far).clamp_min(0), reduction)


@told
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """The negative log-likelihood of counts under Poisson distributions.

    Args:
        input: the rate, or its logarithm.
        target: the counts.
        log_input: the input is the logarithm.
        full: add Stirling's term for targets above 1.
        size_average: deprecated.
        eps: keeps the logarithm finite.
        reduce: deprecated.
        reduction: mean, sum or none.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if _have_record(input, target):
        return ops.poisson_nll_loss(
            input, target, reduction=reduction, log_input=bool(log_input), full=bool(full),
            eps=float(eps),
        )  # fmt: skip
    return reduced(poisson_nll_terms(input, target, log_input, full, eps), reduction)


def _is_one_dim_short(input: Tensor, var: Tensor) -> bool:
    """Whether one size differs from the input's, and is 1."""
    return [m for n, m in zip(input.shape, var.shape, strict=True) if n != m] == [1]


@told
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> Tensor:
    """The negative log-likelihood of values under normal distributions.

    Args:
        input: the means.
        target: the values.
        var: the variances: a number, or the input's shape, of which one dim may be 1, or the last
            missing.
        full: add the constant.
        eps: the variances are at least this.
        reduction: mean, sum or none.

    Raises:
        ValueError: a negative variance (a device whose kernel looks may find it later, and raises
            where values are next asked for), one of another shape, or another reduction.
        RuntimeError: variances of whole numbers.
    """
    is_known = isinstance(eps, (int, float)) and mode.autocast is None  # which has log's list
    is_seen = is_known and is_looked_at("gaussian_nll_loss", input, target, var)
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = dovetail.full_like(input, var, requires_grad=False)
    elif not is_seen and true_anywhere(var < 0):
        raise ValueError("var has negative entry/entries")
    if var.size() != input.size():
        if input.size()[:-1] == var.size():
            var = var.unsqueeze(-1)
        elif input.dim() != var.dim() or not _is_one_dim_short(input, var):
            raise ValueError("var is of incorrect size")
        if is_seen:
            var = var.expand(input.size())
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    if eps is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if var.dtype.category < 2:
        raise RuntimeError(f"gaussian_nll_loss: var must be floating-point, got {var.dtype}")
    if is_known and _have_record(input, target, var):
        return ops.gaussian_nll_loss(
            input, target, var, reduction=reduction, full=bool(full), eps=float(eps)
        )
    with dovetail.no_grad():
        floor = (eps - var).clamp_min(0)
    variance = var + floor  # at least eps, with the gradient of var itself
    loss = 0.5 * (variance.log() + (input - target) ** 2 / variance)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)
