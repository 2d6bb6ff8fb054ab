"""Losses: a comparison per element, then ``reduction`` (``"none"``, ``"mean"`` or ``"sum"``).

Shapes and deprecated arguments are settled in ``nn.functional``; the operators take tensors of one
shape. The classification losses are in ``classification.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.backend.expressions import EXPRESSIONS
from dovetail.backend.state import state_of
from dovetail.ops.families import (
    broadcast_shapes,
    composite,
    draw,
    elementwise,
    pairs,
    result_strides,
)
from dovetail.ops.indexed.index_checks import host_values, true_anywhere
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.promotion import promote_specs
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = [
    "backward_record",
    "check_probabilities",
    "is_looked_at",
    "loss_record",
    "reduced",
    "share",
]

_TERMS = "binary_cross_entropy_terms"
REDUCTIONS = ("mean", "sum", "none")
SHAPES = ((), (7,), (3, 5), (0, 3))


def reduced(loss: Any, reduction: str) -> Any:
    """Mean or sum of a loss per element, or the loss itself; ``batchmean``: the sum by the size of
    the first dim."""
    if reduction == "none":
        return loss
    if reduction == "batchmean":
        return loss.sum() / loss.shape[0]
    return loss.mean() if reduction == "mean" else loss.sum()


def share(g: Any, input: Any, reduction: str) -> Any:
    """What of ``g`` reaches each element through the reduction."""
    if reduction == "batchmean":
        return g * (1 / input.shape[0])
    return g * (1 / max(input.numel(), 1)) if reduction == "mean" else g


def _infer(input: Any, target: Any, *others: Any, reduction: str, **_: Any) -> Inferred:
    specs = [s for s in (input, target, *others) if isinstance(s, Spec)]
    shape = broadcast_shapes(*[tuple(s.shape) for s in specs])
    kind = promote_specs(tuple(s for s in (input, target) if isinstance(s, Spec)))
    computed = (kind, kind, *[None if s is None else kind for s in others])
    if reduction != "none":
        return Inferred(computed, (((), kind),))
    return Inferred(computed, ((shape, kind, result_strides(specs, shape)),))


def backward_record(
    name: str,
    slope: Callable[..., Any],
    *inputs: str,
    low: float = -3.0,
    high: float = 3.0,
    optional: int = 0,
    options: tuple[dict[str, Any], ...] = ({},),
    at: int = 0,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The record of a gradient for an input; ``slope`` is its reference, per element.

    Args:
        optional: how many of the last inputs may be None.
        options: arguments to try.
        at: which of the inputs the gradient is for.
    """

    def infer(grad: Any, *others: Any, **_: Any) -> Inferred:
        return Inferred((None,) * (1 + len(others)), ((others[at].shape, others[at].dtype),))

    def reference(g: Any, *arrays: Any, reduction: str, **extra: Any) -> Any:
        return slope(*arrays, **extra) * g / (arrays[0].size if reduction == "mean" else 1)

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        made = []
        for shape in SHAPES[:-1]:
            for reduction in REDUCTIONS:
                for extra in options:
                    grad = draw(rng, shape if reduction == "none" else (), dtype, -2, 2)
                    tensors = [draw(rng, shape, dtype, low, high) for _ in inputs]
                    named = {"reduction": reduction, **extra}
                    made.append(Sample((grad, *tensors), named))
                    if optional:
                        given = tensors[:-optional]
                        made.append(Sample((grad, *given, *[None] * optional), named))
        return made

    return composite(
        name,
        inputs=("grad", *inputs),
        infer=infer,
        accepts=d.FLOATING,
        compute=d.float32,
        method=False,
        public=False,
        reference=reference,
        samples=samples,
        tolerance=Tolerance(32, against="inputs"),
    )


def _reduced_reference(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reference per element, reduced as ``reduction`` says."""

    def reference(*arrays: Any, reduction: str = "mean", **options: Any) -> Any:
        loss = function(*arrays, **options)
        return {"none": lambda x: x, "mean": np.mean, "sum": np.sum}[reduction](loss)

    return reference


def _at_edges(dtype: d.dtype, edges: tuple[tuple[float, ...], ...]) -> list[Sample]:
    arrays = tuple(np.array(numbers).astype(dtype.numpy) for numbers in edges)
    return [Sample(arrays, {"reduction": "none"}, "edges")] if edges else []


def loss_record(
    name: str,
    reference: Callable[..., Any],
    *,
    inputs: tuple[str, ...] = ("input", "target"),
    low: float = -3.0,
    high: float = 3.0,
    options: tuple[dict[str, Any], ...] = ({},),
    edges: tuple[tuple[float, ...], ...] = (),
    gradient: Any = None,
    infer: Callable[..., Inferred] = _infer,
    accepts: tuple[d.dtype, ...] = d.FLOATING,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The record of a loss.

    Args:
        options: arguments to try, all inputs drawn from [low, high].
        edges: inputs to try besides, of special numbers; those left out are None.
    """

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        made = []
        for shape in SHAPES:
            # Whole numbers have no mean.
            for reduction in REDUCTIONS if dtype.category > 1 else REDUCTIONS[1:]:
                for extra in options:
                    tensors = [draw(rng, shape, dtype, low, high) for _ in inputs]
                    made.append(Sample(tuple(tensors), {"reduction": reduction, **extra}))
        return made

    return composite(
        name,
        inputs=inputs,
        infer=infer,
        gradient=gradient,
        accepts=accepts,
        compute=d.float32,
        method=False,
        public=False,
        reference=_reduced_reference(reference),
        samples=lambda rng, dtype: [*samples(rng, dtype), *_at_edges(dtype, edges)],
        tolerance=Tolerance(32, against="inputs"),
    )


# regression


@backward_record("mse_loss_backward", lambda x, t: 2 * (x - t), "input", "target")
def mse_loss_backward(grad: Any, input: Any, target: Any, *, reduction: str) -> Any:
    """The gradient of ``mse_loss`` for its input."""
    return (input - target) * (share(grad, input, reduction) * 2)


def _both(backward: Any, needs: Any, *tensors: Any, **named: Any) -> tuple[Any, Any]:
    """The gradients of a loss of the difference of two tensors, given that of the first."""
    grad = backward(*tensors, **named)
    return grad, -grad if needs[1] else None


def _mse_gradient(g: Any, input: Any, target: Any, reduction: str, needs: Any) -> Any:
    return _both(ops.mse_loss_backward, needs, g, input, target, reduction=reduction)


@loss_record("mse_loss", lambda x, y: (x - y) ** 2, gradient=_mse_gradient)
def mse_loss(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """``(input - target)²``."""
    return reduced((input - target).square(), reduction)


def _infer_distance(input: Any, target: Any, *, reduction: str) -> Inferred:
    """As a loss, but real of complex numbers, and summed in int64 of whole ones."""
    compute, ((shape, kind, *strides),) = _infer(input, target, reduction=reduction)
    if kind.category < 2:
        kind = d.int64 if reduction == "sum" else kind
    return Inferred(compute, ((shape, kind.to_real(), *strides),))


@backward_record("l1_loss_backward", lambda x, t: np.sign(x - t), "input", "target")
def l1_loss_backward(grad: Any, input: Any, target: Any, *, reduction: str) -> Any:
    """The gradient of ``l1_loss`` for its input, of real tensors."""
    return (input - target).sgn() * share(grad, input, reduction)


def _l1_gradient(g: Any, input: Any, target: Any, reduction: str, needs: Any) -> tuple[Any, Any]:
    if input.dtype.is_complex or target.dtype.is_complex:
        grad = (input - target).sgn() * share(g, input, reduction)
        return grad, -grad if needs[1] else None
    return _both(ops.l1_loss_backward, needs, g, input, target, reduction=reduction)


@loss_record(
    "l1_loss",
    lambda x, y: np.abs(x - y),
    gradient=_l1_gradient,
    infer=_infer_distance,
    accepts=d.NUMBER,
)
def l1_loss(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """``|input - target|``; its gradient where they are equal is 0."""
    return reduced((input - target).abs(), reduction)


def _huber_reference(x: Any, y: Any, delta: float = 1.0) -> Any:
    z = np.abs(x - y)
    return np.where(z < delta, z * z / 2, delta * (z - delta / 2))


@backward_record(
    "smooth_l1_loss_backward",
    lambda x, t, beta: np.clip((x - t) / beta, -1, 1),
    "input",
    "target",
    options=({"beta": 1.0}, {"beta": 0.5}),
)
def smooth_l1_loss_backward(
    grad: Any, input: Any, target: Any, *, reduction: str, beta: float
) -> Any:
    """The gradient of ``smooth_l1_loss`` for its input."""
    slope = ((input - target) * (1 / beta)).clamp(-1, 1)
    return slope * share(grad, input, reduction)


def _smooth_l1_gradient(
    g: Any, input: Any, target: Any, reduction: str, beta: float, needs: Any
) -> tuple[Any, Any]:
    backward = ops.smooth_l1_loss_backward
    return _both(backward, needs, g, input, target, reduction=reduction, beta=beta)


@loss_record(
    "smooth_l1_loss",
    lambda x, y, beta=1.0: _huber_reference(x, y, beta) / beta,
    options=({}, {"beta": 0.5}),
    gradient=_smooth_l1_gradient,
)
def smooth_l1_loss(input: Any, target: Any, *, reduction: str = "mean", beta: float = 1.0) -> Any:
    """``z² / (2 beta)`` where z = |input - target| is below ``beta``, ``z - beta / 2`` elsewhere.

    Source: Girshick, "Fast R-CNN", 2015.
    """
    difference = input - target
    z = difference.abs()
    near = difference.square() * (0.5 / beta)
    return reduced(ops.where(z < beta, near, z - 0.5 * beta), reduction)


@backward_record(
    "huber_loss_backward",
    lambda x, t, delta: np.clip(x - t, -delta, delta),
    "input",
    "target",
    options=({"delta": 1.0}, {"delta": 0.5}),
)
def huber_loss_backward(grad: Any, input: Any, target: Any, *, reduction: str, delta: float) -> Any:
    """The gradient of ``huber_loss`` for its input."""
    return (input - target).clamp(-delta, delta) * share(grad, input, reduction)


def _huber_gradient(
    g: Any, input: Any, target: Any, reduction: str, delta: float, needs: Any
) -> tuple[Any, Any]:
    backward = ops.huber_loss_backward
    return _both(backward, needs, g, input, target, reduction=reduction, delta=delta)


@loss_record(
    "huber_loss",
    _huber_reference,
    options=({}, {"delta": 0.5}),
    gradient=_huber_gradient,
)
def huber_loss(input: Any, target: Any, *, reduction: str = "mean", delta: float = 1.0) -> Any:
    """``z² / 2`` where z = |input - target| is below ``delta``, else ``delta (z - delta / 2)``."""
    difference = input - target
    z = difference.abs()
    near = difference.square() * 0.5
    return reduced(ops.where(z < delta, near, (z - 0.5 * delta) * delta), reduction)


# distributions


def _kl_reference(x: Any, y: Any, log_target: bool = False) -> Any:
    if log_target:
        return np.exp(y) * (y - x)
    return np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0) - y * x


@backward_record(
    "kl_div_backward",
    lambda x, t, log_target: -np.exp(t) if log_target else -t,
    "input",
    "target",
    low=0.1,
    high=1.0,
    options=({"log_target": False}, {"log_target": True}),
)
def kl_div_backward(grad: Any, input: Any, target: Any, *, reduction: str, log_target: bool) -> Any:
    """The gradient of ``kl_div`` for its input."""
    return -(target.exp() if log_target else target) * share(grad, input, reduction)


def _kl_gradient(
    g: Any, input: Any, target: Any, reduction: str, log_target: bool, needs: Any
) -> tuple[Any, Any]:
    of_input = of_target = None
    if needs[0]:
        of_input = ops.kl_div_backward(g, input, target, reduction=reduction, log_target=log_target)
    if needs[1]:
        slope = (
            target.exp() * (target - input + 1) if log_target
            else ops.where(target.eq(0), 0.0, target.log()) + target / target - input
        )  # fmt: skip
        of_target = slope * share(g, input, reduction)
    return of_input, of_target


@loss_record(
    "kl_div",
    _kl_reference,
    gradient=_kl_gradient,
    low=0.1,
    high=1.0,
    options=({}, {"log_target": True}),
    edges=((-1.0, -2.0, 0.5), (0.0, 1.0, 0.5)),
)
def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Any:
    """``target (log target - input)``, where ``input`` holds log-probabilities.

    With ``log_target``, ``target`` holds logarithms too.
    """
    if log_target:
        return reduced(target.exp() * (target - input), reduction)
    return reduced(ops.xlogy(target, target) - target * input, reduction)


def _weighted(loss: Any, weight: Any) -> Any:
    return loss if weight is None else loss * weight


def _times(slope: Callable[..., Any]) -> Callable[..., Any]:
    """A reference that takes a weight (or None) after the input and the target."""
    return lambda x, t, weight, *rest: slope(x, t, *rest) * (1 if weight is None else weight)


@backward_record(
    "binary_cross_entropy_backward",
    _times(lambda x, t: (1 - t) / (1 - x) - t / x),
    "input",
    "target",
    "weight",
    low=0.1,
    high=0.9,
    optional=1,
)
def binary_cross_entropy_backward(
    grad: Any, input: Any, target: Any, weight: Any, *, reduction: str
) -> Any:
    """The gradient of ``binary_cross_entropy`` for its input."""
    slope = (input - target) / ((1 - input) * input).clamp(1e-12, None)
    return _weighted(slope * share(grad, input, reduction), weight)


def _log_at_least(x: Any) -> Any:
    return x.log().maximum(-100.0)


def _bce_gradient(
    g: Any, input: Any, target: Any, weight: Any, reduction: str, needs: Any
) -> tuple[Any, ...]:
    part = share(g, input, reduction) if needs[1] or needs[2] else None
    return (
        ops.binary_cross_entropy_backward(g, input, target, weight, reduction=reduction)
        if needs[0]
        else None,
        _weighted((_log_at_least(1 - input) - _log_at_least(input)) * part, weight)
        if needs[1]
        else None,
        _bce(input, target) * part if needs[2] else None,
    )


def _bce(input: Any, target: Any) -> Any:
    return (target - 1) * _log_at_least(1 - input) - target * _log_at_least(input)


def _bce_terms(x: Any, t: Any) -> Any:
    return -(t * np.maximum(np.log(x), -100) + (1 - t) * np.maximum(np.log(1 - x), -100))


elementwise(
    _TERMS,
    inputs=("input", "target"),
    tensors_only=True,
    accepts=d.FLOATING,
    decompose=_bce,
    reference=_bce_terms,
    samples=pairs(0.1, 0.9),
    ulp=16,
    inplace=False,
    method=False,
    public=False,
    doc="The loss of each element; a device's kernel of it refuses what is outside of [0, 1].",
)


def _bce_reference(x: Any, t: Any, weight: Any = None) -> Any:
    loss = _bce_terms(x, t)
    return loss if weight is None else loss * weight


@loss_record(
    "binary_cross_entropy",
    _bce_reference,
    inputs=("input", "target", "weight"),
    low=0.1,
    high=0.9,
    edges=((0.0, 1.0, 0.0, 1.0), (0.25, 0.5, 1.0, 0.0)),
    gradient=_bce_gradient,
)
def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean"
) -> Any:
    """``-target log(input) - (1 - target) log(1 - input)``; the logarithms are at least -100.

    Raises:
        RuntimeError: an input or a target outside [0, 1]. A device that computes the loss by a
            kernel of its own may find it later, and raises where values are next asked for.
    """
    check_probabilities(input, target)
    terms = ops.binary_cross_entropy_terms(input, target)
    return reduced(_weighted(terms, weight), reduction)


def check_probabilities(input: Any, target: Any) -> None:
    """Raise RuntimeError for values outside [0, 1], unless a kernel looks at them."""
    device = input._spec.device
    state = state_of(device)
    if device.type == "meta" or state.table.entries(_TERMS):
        return
    for x, refusal in zip((input, target), EXPRESSIONS[_TERMS].refuses, strict=True):
        if state.host_arrays:
            values = host_values(x)
            is_wrong = values.size and not (values.min() >= 0 and values.max() <= 1)
        else:
            is_wrong = true_anywhere((x.ge(0) & x.le(1)).logical_not())
        if is_wrong:
            raise RuntimeError(refusal.text)


def is_looked_at(name: str, input: Tensor, *others: Tensor | float) -> bool:
    """Whether a kernel of the device looks at the values of a loss of floats, so that the host need
    not."""
    spec = input._spec
    tensors = tuple([x._spec for x in others if not isinstance(x, (int, float))])
    found = spec.memo.get((name, tensors))
    if found is None:
        found = spec.memo[name, tensors] = _has_kernel(name, spec, tensors)
    return bool(found)


def _has_kernel(name: str, spec: Spec, others: tuple[Spec, ...]) -> bool:
    if spec.batch is not None or not spec.numel or any(s.shape != spec.shape for s in others[:1]):
        return False
    if any(s.batch is not None or s.device is not spec.device for s in others):
        return False
    if spec.dtype.category != 2 or any(s.dtype is not spec.dtype for s in others):
        return False
    return bool(state_of(spec.device).table.entries(name))


def _logits_slope(x: Any, t: Any, positive: Any) -> Any:
    sigmoid = 1 / (1 + np.exp(-x))
    return (1 - t) * sigmoid - t * (1 - sigmoid) * (1 if positive is None else positive)


@backward_record(
    "binary_cross_entropy_with_logits_backward",
    _times(_logits_slope),
    "input",
    "target",
    "weight",
    "pos_weight",
    low=0.1,
    optional=2,
)
def binary_cross_entropy_with_logits_backward(
    grad: Any, input: Any, target: Any, weight: Any, pos_weight: Any, *, reduction: str
) -> Any:
    """The gradient of ``binary_cross_entropy_with_logits`` for its input."""
    if pos_weight is None:
        slope = input.sigmoid() - target
    else:
        positive = pos_weight * target
        slope = (positive + 1 - target) * input.sigmoid() - positive
    return _weighted(slope * share(grad, input, reduction), weight)


def _logits_loss(input: Any, target: Any, pos_weight: Any) -> Any:
    negative = -ops.logsigmoid(input)  # -log σ(x), and -log(1 - σ(x)) = that + x
    if pos_weight is not None:
        return (1 - target) * input + ((pos_weight - 1) * target + 1) * negative
    return (1 - target) * input + negative


def _logits_gradient(
    g: Any, input: Any, target: Any, weight: Any, pos_weight: Any, reduction: str, needs: Any
) -> tuple[Any, ...]:
    backward = ops.binary_cross_entropy_with_logits_backward
    part = _weighted(share(g, input, reduction), weight) if any(needs[1:]) else None
    falls = ops.logsigmoid(input) if needs[3] or (needs[1] and pos_weight is not None) else None
    of_target = of_weight = of_positive = None
    if needs[1]:
        of_target = (-input if pos_weight is None else falls * (1 - pos_weight) - input) * part
    if needs[2]:
        of_weight = _logits_loss(input, target, pos_weight) * share(g, input, reduction)
    if needs[3]:
        of_positive = -falls * target * part
    of_input = None
    if needs[0]:
        of_input = backward(g, input, target, weight, pos_weight, reduction=reduction)
    return of_input, of_target, of_weight, of_positive


def _logits_reference(x: Any, t: Any, weight: Any = None, pos_weight: Any = None) -> Any:
    positive = 1 if pos_weight is None else pos_weight
    loss = t * positive * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)
    return loss if weight is None else loss * weight


@loss_record(
    "binary_cross_entropy_with_logits",
    _logits_reference,
    inputs=("input", "target", "weight", "pos_weight"),
    low=0.1,
    high=3.0,
    edges=((0.0, -30.0, 30.0), (0.25, 0.5, 1.0)),
    gradient=_logits_gradient,
)
def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    pos_weight: Any = None,
    *,
    reduction: str = "mean",
) -> Any:
    """Binary cross entropy of ``sigmoid(input)``, without its loss of precision.

    ``pos_weight`` multiplies the part of the positive class.
    """
    return reduced(_weighted(_logits_loss(input, target, pos_weight), weight), reduction)
