"""Losses of a difference whose elements have weights: mse_loss, l1_loss and huber_loss with them.

All tensors have one shape and dtype. A mean is over the weights, but of huber_loss over the
elements, as PyTorch has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.ops.families import composite, draw
from dovetail.ops.layers.loss import REDUCTIONS, SHAPES, reduced, share
from dovetail.ops.schema import Inferred, Sample, Tolerance

__all__: list[str] = []

_DISTANCES: dict[str, Callable[..., Any]] = {
    "mse_loss": lambda z, delta: z**2,
    "l1_loss": lambda z, delta: np.abs(z),
    "huber_loss": lambda z, delta: np.where(
        np.abs(z) < delta, z * z / 2, delta * (np.abs(z) - delta / 2)
    ),
}
_SLOPES: dict[str, Callable[..., Any]] = {
    "mse_loss": lambda z, delta: 2 * z,
    "l1_loss": lambda z, delta: np.sign(z),
    "huber_loss": lambda z, delta: np.clip(z, -delta, delta),
}
"""By the loss without weights, what it and its slope are of a difference."""

_COMMON: dict[str, Any] = {
    "accepts": d.FLOATING, "compute": d.float32, "method": False, "public": False,
    "tolerance": Tolerance(32, against="inputs"),
}  # fmt: skip


def _options(loss: str, delta: float) -> dict[str, float]:
    return {"delta": delta} if loss == "huber_loss" else {}


def _by_weights(loss: str, reduction: str) -> bool:
    """Whether a sum is divided by that of the weights."""
    return reduction == "mean" and loss != "huber_loss"


def _shares(total: Any, weight: Any, loss: str, reduction: str) -> Any:
    """A reference's sum, divided as the reduction says."""
    if _by_weights(loss, reduction):
        return total / weight.sum()
    return total / weight.size if reduction == "mean" else total


def _loss_reference(
    x: Any, y: Any, w: Any, *, loss: str, reduction: str, delta: float = 1.0
) -> Any:
    each = _DISTANCES[loss](x - y, delta) * w
    return each if reduction == "none" else _shares(each.sum(), w, loss, reduction)


def _slope_reference(
    g: Any, x: Any, y: Any, w: Any, *, loss: str, reduction: str, delta: float = 1.0
) -> Any:
    return _SLOPES[loss](x - y, delta) * w * _shares(g, w, loss, reduction)


def _samples(has_grad: bool) -> Callable[..., list[Sample]]:
    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        made = []
        for shape in SHAPES[:-1]:
            for reduction in REDUCTIONS:
                for loss in _DISTANCES:
                    tensors = [draw(rng, shape, dtype, -3, 3) for _ in range(2)]
                    tensors.append(draw(rng, shape, dtype, 0.5, 2))
                    if has_grad:
                        of = shape if reduction == "none" else ()
                        tensors.insert(0, draw(rng, of, dtype, -2, 2))
                    named = {"loss": loss, "reduction": reduction, "delta": 0.5}
                    made.append(Sample(tuple(tensors), named))
        return made

    return samples


@composite(
    "weighted_loss_backward",
    inputs=("grad", "input", "target", "weight"),
    infer=lambda grad, input, *_, **__: Inferred((None,) * 4, ((input.shape, input.dtype),)),
    reference=_slope_reference,
    samples=_samples(True),
    **_COMMON,
)
def weighted_loss_backward(
    grad: Any, input: Any, target: Any, weight: Any, *, loss: str, reduction: str,
    delta: float = 1.0,
) -> Any:  # fmt: skip
    """The gradient of ``weighted_loss`` for its input."""
    if _by_weights(loss, reduction):
        part = grad / weight.sum()
        return ops.weighted_loss_backward(
            part, input, target, weight, loss=loss, reduction="sum", delta=delta
        )
    part = share(grad, input, reduction) * weight
    slope = getattr(ops, f"{loss}_backward")
    return slope(part, input, target, reduction="none", **_options(loss, delta))


def _gradient(
    g: Any, input: Any, target: Any, weight: Any, out: Any, needs: Any,
    loss: str, reduction: str, delta: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    first = second = third = None
    if needs[0] or needs[1]:
        first = ops.weighted_loss_backward(
            g, input, target, weight, loss=loss, reduction=reduction, delta=delta
        )
        second = -first if needs[1] else None
    if needs[2]:
        third = getattr(ops, loss)(input, target, reduction="none", **_options(loss, delta))
        if _by_weights(loss, reduction):
            third = (third - out) * (g / weight.sum())
        else:
            third = third * share(g, input, reduction)
    return first, second, third


@composite(
    "weighted_loss",
    inputs=("input", "target", "weight"),
    infer=lambda input, *_, reduction, **__: Inferred(
        (None,) * 3, ((tuple(input.shape) if reduction == "none" else (), input.dtype),)
    ),
    gradient=_gradient,
    reference=_loss_reference,
    samples=_samples(False),
    **_COMMON,
)
def weighted_loss(
    input: Any, target: Any, weight: Any, *, loss: str, reduction: str, delta: float = 1.0
) -> Any:
    """``loss`` of each element times its weight, reduced; ``delta`` is that of ``huber_loss``."""
    if _by_weights(loss, reduction):
        total = ops.weighted_loss(input, target, weight, loss=loss, reduction="sum", delta=delta)
        return total / weight.sum()
    function = getattr(ops, loss)
    each = function(input, target, reduction="none", **_options(loss, delta)) * weight
    return reduced(each, reduction)
