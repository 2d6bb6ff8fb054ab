"""Losses of margins and of counts, an element at a time (``soft_margin_loss`` and its like).

As ``loss.py`` says. The terms are apart, for whole numbers have no records.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import ops
from dovetail.autograd.grad_mode import no_grad
from dovetail.ops.layers.loss import backward_record, loss_record, reduced, share

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


@backward_record(
    "hinge_embedding_loss_backward",
    lambda x, t, margin: (t != -1) * 1.0 - ((t != 1) & (x <= margin)),
    "input",
    "target",
    options=({"margin": 1.0}, {"margin": 0.5}),
)
def hinge_embedding_loss_backward(
    grad: Any, input: Any, target: Any, *, reduction: str, margin: float
) -> Any:
    """The gradient of ``hinge_embedding_loss`` for its input."""
    kind = input.dtype
    slope = target.ne(-1).to(kind) - (target.ne(1) & input.le(margin)).to(kind)
    return slope * share(grad, input, reduction)


@loss_record(
    "hinge_embedding_loss",
    lambda x, t, margin=1.0: (
        np.where(t != 1, np.maximum(margin - x, 0), 0) + np.where(t != -1, x, 0)
    ),
    options=({}, {"margin": 0.5}),
    edges=((2.0, 0.5, 1.0, -1.0, 3.0), (1.0, -1.0, -1.0, 1.0, -1.0)),
    gradient={
        "input": lambda g, input, target, margin, reduction: ops.hinge_embedding_loss_backward(
            g, input, target, reduction=reduction, margin=margin
        )
    },
)
def hinge_embedding_loss(
    input: Any, target: Any, *, reduction: str = "mean", margin: float = 1.0
) -> Any:
    """See :func:`hinge_embedding_terms`."""
    return reduced(hinge_embedding_terms(input, target, margin), reduction)


def soft_margin_terms(input: Any, target: Any) -> Any:
    """``log(1 + exp(-target * input))``."""
    return (-target * input).exp().log1p()


@backward_record(
    "soft_margin_loss_backward", lambda x, t: -t / (1 + np.exp(t * x)), "input", "target"
)
def soft_margin_loss_backward(grad: Any, input: Any, target: Any, *, reduction: str) -> Any:
    """The gradient of ``soft_margin_loss`` for its input; for its target, both are exchanged."""
    return (target * input).neg().sigmoid() * -share(grad, input, reduction) * target


@loss_record(
    "soft_margin_loss",
    lambda x, t: np.log1p(np.exp(-t * x)),
    gradient={
        "input": lambda g, input, target, reduction: ops.soft_margin_loss_backward(
            g, input, target, reduction=reduction
        ),
        "target": lambda g, input, target, reduction: ops.soft_margin_loss_backward(
            g, target, input, reduction=reduction
        ),
    },
)
def soft_margin_loss(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """See :func:`soft_margin_terms`."""
    return reduced(soft_margin_terms(input, target), reduction)


def margin_ranking_terms(input1: Any, input2: Any, target: Any, margin: float) -> Any:
    """``max(0, -target * (input1 - input2) + margin)``."""
    return (-target * (input1 - input2) + margin).clamp_min(0)


@backward_record(
    "margin_ranking_loss_backward",
    lambda x, y, t, margin: np.where(margin - t * (x - y) >= 0, -t, 0),
    "input1",
    "input2",
    "target",
    options=({"margin": 0.0}, {"margin": 0.5}),
)
def margin_ranking_loss_backward(
    grad: Any, input1: Any, input2: Any, target: Any, *, reduction: str, margin: float
) -> Any:
    """The gradient of ``margin_ranking_loss`` for its first input; the second's is its opposite."""
    is_kept = (-target * (input1 - input2) + margin).ge(0)
    return -target * ops.where(is_kept, share(grad, input1, reduction), 0.0)


def _ranking_gradient(
    g: Any, input1: Any, input2: Any, target: Any, margin: float, reduction: str, needs: Any
) -> tuple[Any, ...]:
    of_first = of_target = None
    if needs[0] or needs[1]:
        of_first = ops.margin_ranking_loss_backward(
            g, input1, input2, target, reduction=reduction, margin=margin
        )
    if needs[2]:
        difference = input1 - input2
        is_kept = (-target * difference + margin).ge(0)
        of_target = -difference * ops.where(is_kept, share(g, difference, reduction), 0.0)
    return of_first, -of_first if needs[1] else None, of_target


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


@backward_record(
    "poisson_nll_loss_backward",
    lambda x, t, log_input, eps: np.exp(x) - t if log_input else 1 - t / (x + eps),
    "input",
    "target",
    low=0.1,
    options=({"log_input": True, "eps": 1e-8}, {"log_input": False, "eps": 1e-3}),
)
def poisson_nll_loss_backward(
    grad: Any, input: Any, target: Any, *, reduction: str, log_input: bool, eps: float
) -> Any:
    """The gradient of ``poisson_nll_loss`` for its input."""
    slope = input.exp() - target if log_input else 1 - target / (input + eps)
    return slope * share(grad, input, reduction)


def _poisson_gradient(
    g: Any, input: Any, target: Any, log_input: bool, full: bool, eps: float, reduction: str,
    needs: Any,
) -> tuple[Any, Any]:  # fmt: skip
    of_input = of_target = None
    if needs[0]:
        of_input = ops.poisson_nll_loss_backward(
            g, input, target, reduction=reduction, log_input=log_input, eps=eps
        )
    if needs[1]:
        slope = -input if log_input else -(input + eps).log()
        if full:
            slope = slope + (target.log() + 0.5 / target).masked_fill(target <= 1, 0)
        of_target = slope * share(g, input, reduction)
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


def _variance(var: Any, eps: float) -> Any:
    """``eps`` at least, with the gradient of ``var`` itself."""
    with no_grad():
        floor = (eps - var).clamp_min(0)
    return var + floor


@backward_record(
    "gaussian_nll_loss_backward",
    lambda x, t, var, eps: (x - t) / np.maximum(var, eps),
    "input",
    "target",
    "var",
    low=0.1,
    options=({"eps": 1e-6}, {"eps": 0.05}),
)
def gaussian_nll_loss_backward(
    grad: Any, input: Any, target: Any, var: Any, *, reduction: str, eps: float
) -> Any:
    """The gradient of ``gaussian_nll_loss`` for its input; the target's is its opposite."""
    return (input - target) / _variance(var, eps) * share(grad, input, reduction)


def _of_variance(x: Any, t: Any, var: Any, eps: float) -> Any:
    variance = np.maximum(var, eps)
    return (1 - (x - t) ** 2 / variance) / variance / 2


@backward_record(
    "gaussian_nll_loss_var_backward",
    _of_variance,
    "input",
    "target",
    "var",
    low=0.1,
    options=({"eps": 1e-6}, {"eps": 0.05}),
)
def gaussian_nll_loss_var_backward(
    grad: Any, input: Any, target: Any, var: Any, *, reduction: str, eps: float
) -> Any:
    """The gradient of ``gaussian_nll_loss`` for its variances."""
    variance = _variance(var, eps)
    slope = (1 - (input - target).square() / variance) / variance
    return slope * (share(grad, input, reduction) * 0.5)


def _gaussian_gradient(
    g: Any, input: Any, target: Any, var: Any, full: bool, eps: float, reduction: str, needs: Any
) -> tuple[Any, ...]:
    given, named = (g, input, target, var), {"reduction": reduction, "eps": eps}
    of_input = of_var = None
    if needs[0] or needs[1]:
        of_input = ops.gaussian_nll_loss_backward(*given, **named)
    if needs[2]:
        of_var = ops.gaussian_nll_loss_var_backward(*given, **named)
    return of_input, -of_input if needs[1] else None, of_var


def _gaussian_reference(x: Any, t: Any, var: Any, full: bool = False, eps: float = 1e-6) -> Any:
    variance = np.maximum(var, eps)
    constant = 0.5 * math.log(2 * math.pi) if full else 0.0
    return 0.5 * (np.log(variance) + (x - t) ** 2 / variance) + constant


@loss_record(
    "gaussian_nll_loss",
    _gaussian_reference,
    inputs=("input", "target", "var"),
    low=0.1,
    options=({}, {"full": True}, {"eps": 0.05}),
    gradient=_gaussian_gradient,
)
def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    *,
    reduction: str = "mean",
    full: bool = False,
    eps: float = 1e-6,
) -> Any:
    """``(log(v) + (input - target)² / v) / 2`` where v is ``var``, or ``eps`` if that is larger.

    ``full`` adds the constant of a density. A device's kernel refuses negative variances.
    """
    variance = _variance(var, eps)
    loss = 0.5 * (variance.log() + (input - target) ** 2 / variance)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)
