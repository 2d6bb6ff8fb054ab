"""Losses of margins and of counts, an element at a time (``soft_margin_loss`` and its like).

As ``loss.py`` says. The terms are apart, for whole numbers have no records.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import ops
from dovetail.ops.layers.loss import loss_record, reduced, share

__all__ = [
    "hinge_embedding_terms",
    "margin_ranking_terms",
    "poisson_nll_terms",
    "soft_margin_terms",
]


def hinge_embedding_terms(input: Any, target: Any, margin: float) -> Any:
    """``x`` where the target is 1, ``max(0, margin - x)`` where it is -1, both elsewhere."""
    apart = ops.where(target.ne(1), (margin - input).clamp_min(0), 0)
    return apart + ops.where(target.ne(-1), input, 0)


def _hinge_gradient(g: Any, input: Any, target: Any, margin: float, reduction: str) -> Any:
    kind = input.dtype
    slope = target.ne(-1).to(kind) - (target.ne(1) & input.le(margin)).to(kind)
    return slope * share(g, input, reduction)


@loss_record(
    "hinge_embedding_loss",
    lambda x, t, margin=1.0: (
        np.where(t != 1, np.maximum(margin - x, 0), 0) + np.where(t != -1, x, 0)
    ),
    options=({}, {"margin": 0.5}),
    edges=((2.0, 0.5, 1.0, -1.0, 3.0), (1.0, -1.0, -1.0, 1.0, -1.0)),
    gradient={"input": _hinge_gradient},
)
def hinge_embedding_loss(
    input: Any, target: Any, *, reduction: str = "mean", margin: float = 1.0
) -> Any:
    """See :func:`hinge_embedding_terms`."""
    return reduced(hinge_embedding_terms(input, target, margin), reduction)


def soft_margin_terms(input: Any, target: Any) -> Any:
    """``log(1 + exp(-target * input))``."""
    return (-target * input).exp().log1p()


def _soft_margin_slope(g: Any, input: Any, target: Any, reduction: str) -> Any:
    return (target * input).neg().sigmoid() * -share(g, input, reduction)


@loss_record(
    "soft_margin_loss",
    lambda x, t: np.log1p(np.exp(-t * x)),
    gradient={
        "input": lambda g, input, target, reduction: (
            _soft_margin_slope(g, input, target, reduction) * target
        ),
        "target": lambda g, input, target, reduction: (
            _soft_margin_slope(g, input, target, reduction) * input
        ),
    },
)
def soft_margin_loss(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """See :func:`soft_margin_terms`."""
    return reduced(soft_margin_terms(input, target), reduction)


def margin_ranking_terms(input1: Any, input2: Any, target: Any, margin: float) -> Any:
    """``max(0, -target * (input1 - input2) + margin)``."""
    return (-target * (input1 - input2) + margin).clamp_min(0)


def _ranking_gradient(
    g: Any, input1: Any, input2: Any, target: Any, margin: float, reduction: str, needs: Any
) -> tuple[Any, ...]:
    difference = input1 - input2
    kept = ops.where((-target * difference + margin).ge(0), share(g, difference, reduction), 0.0)
    of_first = -target * kept
    return of_first, -of_first if needs[1] else None, -difference * kept if needs[2] else None


@loss_record(
    "margin_ranking_loss",
    lambda x, y, t, margin=0.0: np.maximum(-t * (x - y) + margin, 0),
    inputs=("input1", "input2", "target"),
    options=({}, {"margin": 0.5}),
    gradient=_ranking_gradient,
)
def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, *, reduction: str = "mean", margin: float = 0.0
) -> Any:
    """See :func:`margin_ranking_terms`."""
    return reduced(margin_ranking_terms(input1, input2, target, margin), reduction)


def poisson_nll_terms(input: Any, target: Any, log_input: bool, full: bool, eps: float) -> Any:
    """The negative log-likelihood of counts; ``full``: with Stirling's term for those above 1."""
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return loss


def _poisson_gradient(
    g: Any, input: Any, target: Any, log_input: bool, full: bool, eps: float, reduction: str,
    needs: Any,
) -> tuple[Any, Any]:  # fmt: skip
    part = share(g, input, reduction)
    of_input = of_target = None
    if needs[0]:
        slope = input.exp() - target if log_input else 1 - target / (input + eps)
        of_input = slope * part
    if needs[1]:
        slope = -input if log_input else -(input + eps).log()
        if full:
            slope = slope + (target.log() + 0.5 / target).masked_fill(target <= 1, 0)
        of_target = slope * part
    return of_input, of_target


def _poisson_reference(
    x: Any, t: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Any:
    loss = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    stirling = t * np.log(t) - t + 0.5 * np.log(2 * np.pi * t)
    return loss + np.where(t > 1, stirling, 0) if full else loss


@loss_record(
    "poisson_nll_loss",
    _poisson_reference,
    low=0.1,
    options=({}, {"log_input": False}, {"full": True}, {"log_input": False, "full": True}),
    gradient=_poisson_gradient,
)
def poisson_nll_loss(
    input: Any,
    target: Any,
    *,
    reduction: str = "mean",
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
) -> Any:
    """See :func:`poisson_nll_terms`."""
    return reduced(poisson_nll_terms(input, target, log_input, full, eps), reduction)
