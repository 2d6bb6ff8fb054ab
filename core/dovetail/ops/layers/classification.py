"""Losses of class indices: nll_loss, and cross_entropy with log_softmax fused into it.

``input`` is (N, C, *) or (C); ``target`` holds classes, (N, *) or (). Shapes are checked in
``nn.functional``; here the classes are, where their values can be read without waiting.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.backend.sentences import TARGET
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.errors import OutOfRangeError
from dovetail.factories import zeros
from dovetail.ops.expose import operator
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.index import GATHER
from dovetail.ops.indexed.index_checks import host_values
from dovetail.ops.layers.loss import reduced
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.ops.schema import REGISTRY, ErrorInput, Inferred, Sample, Tolerance

__all__ = ["check_classes", "check_targets"]


def check_classes(target: Any, classes: int, ignore_index: int) -> None:
    """Check class indices that are in host memory.

    Raises:
        IndexError: one is outside [0, classes) and is not ``ignore_index``.
        TypeError: ``ignore_index`` is not an int.
    """
    whole_number("nll_loss", "ignore_index", ignore_index)
    if not state_of(target._spec.device).host_arrays or not target._spec.numel:
        return
    array = host_values(target)
    if array.min() >= 0 and array.max() < classes:
        return
    wrong = array[((array < 0) | (array >= classes)) & (array != ignore_index)]
    if wrong.size:
        raise OutOfRangeError(TARGET.format(index=wrong[0]))


def check_targets(input: Any, target: Any, ignore_index: int) -> None:
    """:func:`check_classes` of the targets of logits (N, C, *) or (C)."""
    if state_of(target._spec.device).host_arrays:
        check_classes(target, input._spec.shape[_class_dim(input)], ignore_index)
    else:
        whole_number("nll_loss", "ignore_index", ignore_index)


_PICK = GATHER.part_of("nll_loss", TARGET)


def _class_dim(x: Any) -> int:
    return 1 if x.ndim > 1 else 0


def _weights(target: Any, weight: Any, ignore_index: int) -> tuple[Any, Any, Any]:
    """(targets that may be used as indices, which are ignored, the factor of each)."""
    target = target.to(d.int64)
    ignored = target == ignore_index
    safe = target.masked_fill(ignored, 0)
    if weight is None:
        return safe, ignored, ignored.logical_not()
    each = call(_PICK, (weight, safe.reshape(-1)), (0,)).reshape(safe.shape)
    return safe, ignored, each.masked_fill(ignored, 0)


def _per_class(weight: Any, x: Any) -> Any:
    """``weight`` (C) shaped to broadcast with ``x`` (N, C, *)."""
    return weight.reshape((-1, *[1] * (x.ndim - _class_dim(x) - 1)))


def _infer_loss(input: Any, target: Any, weight: Any, *, reduction: str, **_: Any) -> Inferred:
    if weight is not None and weight.dtype is not input.dtype:
        raise RuntimeError(
            f"expected scalar type {type_name(input.dtype)} but found {type_name(weight.dtype)}"
        )
    shape = tuple(target.shape) if reduction == "none" else ()
    return Inferred((None, None, None), ((shape, input.dtype),))


# references and samples


def _one_hot(x: Any, t: Any, weight: Any, ignore_index: int) -> tuple[Any, int]:
    """(weights of the targets at their classes, 0 elsewhere; the dim of the classes)."""
    dim = min(1, x.ndim - 1)
    shape = (-1, *[1] * (x.ndim - 1 - dim))
    target = np.expand_dims(t, dim)
    chosen = (np.arange(x.shape[dim]).reshape(shape) == target) & (target != ignore_index)
    factor = np.ones(x.shape[dim]) if weight is None else weight
    return np.where(chosen, factor.reshape(shape), 0.0), dim


def _nll_reference(
    x: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    factor, dim = _one_hot(x, t, weight, ignore_index)
    loss = -(np.where(factor, x, 0.0) * factor).sum(dim)
    if reduction == "none":
        return loss
    return loss.sum() / (factor.sum() if reduction == "mean" else 1)


def _nll_slope(
    g: Any, t: Any, weight: Any = None, *, shape: Any, ignore_index: int, reduction: str
) -> Any:
    factor, dim = _one_hot(np.empty(shape), t, weight, ignore_index)
    share = np.expand_dims(g, dim) if reduction == "none" else g
    return -share * factor / (factor.sum() if reduction == "mean" else 1)


def _cross_entropy_slope(
    g: Any,
    p: Any,
    t: Any,
    weight: Any = None,
    *,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Any:
    hard, dim = _one_hot(p, t, weight, ignore_index)
    counts = np.expand_dims(t != ignore_index, dim)
    factor = np.ones(p.shape[dim]) if weight is None else weight
    soft = counts * factor.reshape((-1, *[1] * (p.ndim - 1 - dim))) / p.shape[dim]
    wanted = (1 - label_smoothing) * hard + label_smoothing * soft
    share = np.expand_dims(g, dim) if reduction == "none" else g
    slope = share * (p * wanted.sum(dim, keepdims=True) - wanted)
    return slope / (hard.sum() if reduction == "mean" else 1)


def _backward_samples(smooth: bool) -> Any:
    """Samples of a gradient, given the probabilities or the shape of the input."""

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        made = []
        for shape, places in _SHAPES:
            for reduction in ("mean", "sum", "none"):
                g = draw(rng, places if reduction == "none" else (), dtype, -2, 2)
                target, weight = rng.integers(0, 5, places), draw(rng, (5,), dtype, 0.5, 2)
                ignored = int(target.reshape(-1)[0]) if reduction == "sum" else -100
                options = {"ignore_index": ignored, "reduction": reduction}
                if not smooth:
                    made.append(Sample((g, target, weight), {"shape": shape, **options}))
                    continue
                p = draw(rng, shape, dtype, 0, 1)
                for w, smoothing in ((None, 0.0), (weight, 0.1)):
                    made.append(
                        Sample((g, p, target, w), {**options, "label_smoothing": smoothing})
                    )
        return made

    return samples


_SHAPES = (((4, 5), (4,)), ((5,), ()), ((2, 5, 3), (2, 3)), ((2, 5, 3, 2), (2, 3, 2)))


def _samples(smoothings: tuple[float, ...]) -> Any:
    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        made = []
        for shape, places in _SHAPES:
            for reduction in ("mean", "sum", "none"):
                for smoothing in smoothings:
                    x, target = draw(rng, shape, dtype, -4, 4), rng.integers(0, 5, places)
                    options: dict[str, Any] = {"reduction": reduction}
                    if smoothing:
                        options["label_smoothing"] = smoothing
                    weight = draw(rng, (5,), dtype, 0.5, 2)
                    made.append(Sample((x, target), options))
                    made.append(Sample((x, target, weight), {**options, "ignore_index": 2}))
        x, target = draw(rng, (4, 5), dtype, -4, 4), np.array([0, 3, -7, 1])
        if smoothings == (0.0,) and dtype in d.FLOATING:
            x[2, 0] = -np.inf  # of the ignored: must not reach the loss
        made.append(Sample((x, target), {"ignore_index": -7}, name="ignored outside"))
        made.append(Sample((x, np.array([0, 3, 2, 1], np.uint8)), name="uint8 target"))
        one = draw(rng, (3, 1), dtype, -4, 4)
        made.append(Sample((one, np.array([0, -100, 0])), name="one class"))
        return made

    return samples


def _errors() -> list[ErrorInput]:
    x = np.zeros((2, 5), np.float32)
    return [
        ErrorInput((x, np.array([1, 10])), {}, IndexError, r"Target 10 is out of bounds\."),
        ErrorInput((x, np.array([-1, 1])), {}, IndexError, r"Target -1 is out of bounds\."),
    ]


# nll_loss


@composite(
    "nll_loss_backward",
    inputs=("grad", "target", "weight"),
    infer=lambda grad, target, weight, *, shape, **_: Inferred(
        (None, None, None), ((shape, grad.dtype),)
    ),
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_nll_slope,
    samples=_backward_samples(smooth=False),
    tolerance=Tolerance(32, against="inputs"),
)
def nll_loss_backward(
    grad: Any, target: Any, weight: Any, *, shape: Any, ignore_index: int, reduction: str
) -> Any:
    """The gradient of ``nll_loss`` for its input, which has this ``shape``."""
    safe, ignored, factor = _weights(target, weight, ignore_index)
    share = -grad * factor
    if reduction == "mean":
        share = (share / factor.sum()).masked_fill(ignored, 0)  # 0 / 0 where all are ignored
    whole = zeros(shape, dtype=grad.dtype, device=grad.device)
    dim = _class_dim(whole)
    return whole.scatter(dim, safe.unsqueeze(dim), share.unsqueeze(dim))


def _prepare_nll(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    check_targets(input, target, ignore_index)
    return (input, target, weight), (ignore_index, reduction)


@composite(
    "nll_loss",
    inputs=("input", "target", "weight"),
    infer=_infer_loss,
    gradient={
        "input": lambda g, target, weight, specs, ignore_index, reduction: ops.nll_loss_backward(
            g,
            target,
            weight,
            shape=tuple(specs[0].shape),
            ignore_index=ignore_index,
            reduction=reduction,
        )
    },
    prepare=_prepare_nll,
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_nll_reference,
    samples=_samples((0.0,)),
    errors=_errors,
    tolerance=Tolerance(32, against="inputs"),
)
def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """Minus the log-probability ``input`` of each target, times the weight of its class.

    ``"mean"`` divides by the sum of those weights. Targets of ``ignore_index`` count for nothing.

    Raises:
        IndexError: a target outside [0, C).
    """
    dim = _class_dim(input)
    safe, ignored, factor = _weights(target, weight, ignore_index)
    picked = call(_PICK, (input, safe.unsqueeze(dim)), (dim,)).squeeze(dim)
    loss = (-picked * factor).masked_fill(ignored, 0)
    return loss.sum() / factor.sum() if reduction == "mean" else reduced(loss, reduction)


# cross_entropy: the probabilities are its second output, which backward needs


@composite(
    "cross_entropy_backward",
    inputs=("grad", "probabilities", "target", "weight"),
    infer=lambda grad, probabilities, target, weight, **_: Inferred(
        (None,) * 4, ((probabilities.shape, probabilities.dtype),)
    ),
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_cross_entropy_slope,
    samples=_backward_samples(smooth=True),
    tolerance=Tolerance(32, against="inputs"),
)
def cross_entropy_backward(
    grad: Any,
    probabilities: Any,
    target: Any,
    weight: Any,
    *,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Any:
    """The gradient of ``cross_entropy`` for its input, given softmax(input)."""
    dim = _class_dim(probabilities)
    safe, ignored, factor = _weights(target, weight, ignore_index)
    if reduction == "mean":
        grad = (grad / factor.sum()).masked_fill(ignored, 0)
    hard = (grad * (1 - label_smoothing) * factor).unsqueeze(dim)
    whole = hard
    if label_smoothing:
        classes = probabilities.shape[dim]
        soft = (grad * (label_smoothing / classes)).masked_fill(ignored, 0).unsqueeze(dim)
        whole = hard + soft * (classes if weight is None else weight.sum())
    result = probabilities * whole
    if label_smoothing:
        result = result - (soft if weight is None else soft * _per_class(weight, probabilities))
    return result.scatter_add(dim, safe.unsqueeze(dim), -hard)


def _cross_entropy_gradient(
    g: Any,
    out1: Any,
    target: Any,
    weight: Any,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    needs: Any,
) -> tuple[Any, ...]:
    parts = []
    if g[0] is not None:
        parts.append(
            ops.cross_entropy_backward(
                g[0],
                out1,
                target,
                weight,
                ignore_index=ignore_index,
                reduction=reduction,
                label_smoothing=label_smoothing,
            )
        )
    if g[1] is not None:
        parts.append(ops.softmax_backward(g[1], out1, dim=_class_dim(out1)))
    return (sum(parts[1:], parts[0]) if needs[0] else None), None, None


def _cross_entropy_reference(
    x: Any,
    t: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    dim = min(1, x.ndim - 1)
    logs = x - np.log(np.exp(x - x.max(dim, keepdims=True)).sum(dim, keepdims=True))
    logs = logs - x.max(dim, keepdims=True)
    hard = _nll_reference(logs, t, weight, ignore_index, reduction)
    if not label_smoothing:
        return hard
    factor = np.ones(x.shape[dim]) if weight is None else weight
    shape = (-1, *[1] * (x.ndim - dim - 1))
    smooth = np.where(t == ignore_index, 0, -(logs * factor.reshape(shape)).sum(dim))
    if reduction != "none":
        total = np.where(t == ignore_index, 0, factor[np.where(t == ignore_index, 0, t)]).sum()
        smooth = smooth.sum() / (total if reduction == "mean" else 1)
    return (1 - label_smoothing) * hard + label_smoothing / x.shape[dim] * smooth


@composite(
    "cross_entropy",
    inputs=("input", "target", "weight"),
    outputs=2,
    differentiable=(0, 1),
    infer=lambda input, target, weight, **attributes: Inferred(
        (None, None, None),
        (
            *_infer_loss(input, target, weight, **attributes).outs,
            (input.shape, input.dtype),
        ),
    ),
    gradient=_cross_entropy_gradient,
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_cross_entropy_reference,
    samples=_samples((0.0, 0.1)),
    errors=_errors,
    tolerance=Tolerance(32, against="inputs"),
)
def _cross_entropy(
    input: Any,
    target: Any,
    weight: Any,
    *,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Any:
    dim = _class_dim(input)
    logs = ops.log_softmax(input, dim)
    options = {"ignore_index": ignore_index, "reduction": reduction}
    loss = ops.nll_loss(logs, target, weight, **options)
    if label_smoothing:
        smooth = -(logs if weight is None else logs * _per_class(weight, input)).sum(dim)
        _, ignored, factor = _weights(target, weight, ignore_index)
        smooth = smooth.masked_fill(ignored, 0)
        smooth = smooth.sum() / factor.sum() if reduction == "mean" else reduced(smooth, reduction)
        loss = loss * (1 - label_smoothing) + smooth * (label_smoothing / input.shape[dim])
    return loss, logs.exp()


@operator(REGISTRY["cross_entropy"])
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """``nll_loss`` of ``log_softmax`` of logits; a share ``label_smoothing`` goes to all classes.

    Raises:
        IndexError: a target outside [0, C).
    """
    check_targets(input, target, ignore_index)
    loss, _ = call(
        REGISTRY["cross_entropy"],
        (input, target, weight),
        (ignore_index, reduction, label_smoothing),
    )
    return loss
