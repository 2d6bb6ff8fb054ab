"""Batch normalisation, and what all normalisations share.

Statistics are computed and returned in at least float32. Each forward operator also gives the
statistics that its ``*_backward`` needs; they are outputs like any other, so second order follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import observe, ops
from dovetail.autograd.grad_mode import mode
from dovetail.ops.expose import publish
from dovetail.ops.families import composite, draw
from dovetail.ops.layers.batch_norm_step import batch_norm_step
from dovetail.ops.layers.optimizer_steps import running_step
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.spec import Spec

__all__ = ["channels_of", "norm_record", "scaled", "total", "wide", "wide_dtype"]

_TOLERANCE = Tolerance(128, against="inputs")  # a constant row is all rounding errors

Record = Callable[[Callable[..., Any]], Callable[..., Any]]


def wide_dtype(dtype: d.dtype) -> d.dtype:
    """The dtype that statistics are computed in."""
    return d.float32 if dtype in (d.float16, d.bfloat16) else dtype


def wide(x: Any) -> Any:
    """Half and bfloat16 as float32, for computing in."""
    return x if x is None else x.to(wide_dtype(x.dtype))


def scaled(x: Any, weight: Any, bias: Any) -> Any:
    """``x * weight + bias``, either of which may be None."""
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias


def norm_record(name: str, inputs: tuple[str, ...], outputs: int, **fields: Any) -> Record:
    """The record of a normalisation or its gradient: every output is differentiable."""
    return composite(
        name,
        inputs=inputs,
        outputs=outputs,
        differentiable=tuple(range(outputs)),
        accepts=d.FLOATING,
        method=False,
        public=False,
        tolerance=_TOLERANCE,
        **fields,
    )


def total(parts: list[Any]) -> Any:
    """The sum of the parts that are there; None of none."""
    there = [p for p in parts if p is not None]
    return sum(there[1:], there[0]) if there else None


# batch_norm: over every dim but 1


def channels_of(x: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The dims that are summed over, and the shape in which (C) broadcasts with ``x``."""
    dims = (0, *range(2, x.ndim))
    return dims, (1, -1, *[1] * (x.ndim - 2))


def _infer_batch_norm(input: Spec, *others: Any, **_: Any) -> Inferred:
    kind = wide_dtype(input.dtype)
    channel = ((input.shape[1],), kind)
    outs = ((input.shape, input.dtype), channel, channel)
    return Inferred((None,) * (1 + len(others)), outs)


def _infer_batch_norm_backward(grad: Spec, input: Spec, *others: Any, **_: Any) -> Inferred:
    kind = wide_dtype(input.dtype)
    channel = ((input.shape[1],), kind)
    return Inferred((None,) * (2 + len(others)), ((input.shape, input.dtype), channel, channel))


def _normal_reference(x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Any:
    shape = (1, -1, *[1] * (x.ndim - 2))
    y = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _train_reference(x: Any, weight: Any = None, bias: Any = None, *, eps: float) -> Any:
    dims = (0, *range(2, x.ndim))
    mean, var = x.mean(dims), x.var(dims)
    return _normal_reference(x, mean, var, weight, bias, eps), mean, var


def _train_slope(g: Any, x: Any, mean: Any, var: Any, weight: Any = None, *, eps: float) -> Any:
    dims, shape = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    scale = 1 / np.sqrt(var + eps).reshape(shape)
    normal = (x - mean.reshape(shape)) * scale
    slope = g - g.mean(dims, keepdims=True) - normal * (g * normal).mean(dims, keepdims=True)
    of_input = slope * scale * (1 if weight is None else weight.reshape(shape))
    return of_input, (g * normal).sum(dims), g.sum(dims)


def _train_slope_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for x, *affine in (sample.args for sample in _batch_norm_samples(True)(rng, dtype)):
        kind = wide_dtype(dtype)  # as the forward pass gives them
        mean, var = draw(rng, (3,), kind, -1, 1), draw(rng, (3,), kind, 0.5, 2)
        g = draw(rng, x.shape, dtype, -2, 2)
        made.append(Sample((g, x, mean, var, affine[0]), {"eps": 1e-3}))
    return made


def _batch_norm_samples(training: bool) -> Callable[..., list[Sample]]:
    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        made = []
        for shape in ((6, 3), (1, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)):
            mean, shift = draw(rng, (3,), dtype, -1, 1), draw(rng, (3,), dtype, -1, 1)
            var, scale = draw(rng, (3,), dtype, 0.5, 2), draw(rng, (3,), dtype, 0.5, 2)
            statistics = () if training else (mean, var)
            for affine in ((scale, shift), (None, None), (scale, None)):
                x = draw(rng, shape, dtype, -3, 3)
                made.append(Sample((x, *statistics, *affine), {"eps": 1e-3}))
        return made

    return samples


@norm_record(
    "batch_norm_train_backward",
    ("grad", "input", "mean", "var", "weight"),
    3,
    infer=_infer_batch_norm_backward,
    reference=_train_slope,
    samples=_train_slope_samples,
)
def batch_norm_train_backward(
    grad: Any, input: Any, mean: Any, var: Any, weight: Any, *, eps: float
) -> Any:
    """Gradients of ``batch_norm_train`` for input, weight and bias.

    Source: Ioffe and Szegedy, "Batch Normalization", 2015.
    """
    kind = input.dtype
    dims, shape = channels_of(input)
    g, x = wide(grad), wide(input)
    count = max(math.prod(x.shape[i] for i in dims), 1)
    scale = (var + eps).rsqrt()
    normal = (x - mean.reshape(shape)) * scale.reshape(shape)
    of_bias = g.sum(dims)
    of_weight = (g * normal).sum(dims)
    slope = scale if weight is None else scale * wide(weight)
    rest = normal * (of_weight / count).reshape(shape) + (of_bias / count).reshape(shape)
    return ((g - rest) * slope.reshape(shape)).to(kind), of_weight, of_bias


def _train_gradient(
    g: Any, input: Any, weight: Any, out1: Any, out2: Any, eps: float, needs: Any
) -> tuple[Any, ...]:
    of_input, of_weight, of_bias = [], None, None
    if g[0] is not None:
        one, of_weight, of_bias = ops.batch_norm_train_backward(
            g[0], input, out1, out2, weight, eps=eps
        )
        of_input.append(one)
    if g[1] is not None or g[2] is not None:  # the statistics were used: second order
        _, shape = channels_of(input)
        count = max(input.numel() // max(input.shape[1], 1), 1)
        if g[1] is not None:
            of_input.append((g[1] / count).reshape(shape).expand(input.shape))
        if g[2] is not None:
            centred = wide(input) - out1.reshape(shape)
            of_input.append(centred * (g[2] * (2 / count)).reshape(shape))
    return total(of_input) if needs[0] else None, of_weight, of_bias


@norm_record(
    "batch_norm_train",
    ("input", "weight", "bias"),
    3,
    infer=_infer_batch_norm,
    gradient=_train_gradient,
    reference=_train_reference,
    samples=_batch_norm_samples(True),
)
def batch_norm_train(input: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    """(normalised input, mean, biased variance), the statistics being those of each channel."""
    kind = input.dtype
    dims, shape = channels_of(input)
    x = wide(input)
    count = max(math.prod(x.shape[i] for i in dims), 1)
    mean = x.sum(dims) / count
    centred = x - mean.reshape(shape)
    var = centred.square().sum(dims) / count
    scale = (var + eps).rsqrt()
    scale = scale if weight is None else scale * wide(weight)
    shift = None if bias is None else wide(bias).reshape(shape)
    return scaled(centred, scale.reshape(shape), shift).to(kind), mean, var


def _eval_gradient(
    g: Any, input: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float, needs: Any
) -> tuple[Any, ...]:
    """Statistics that are given are as the other numbers of a channel."""
    dims, shape = channels_of(input)
    grad, root = wide(g), (wide(var) + eps).rsqrt()
    slope = root if weight is None else root * wide(weight)
    of_input = (grad * slope.reshape(shape)).to(input.dtype) if needs[0] else None
    level, steep = None, None
    if needs[1] or needs[4]:
        level = grad.sum(dims)
    if needs[2] or needs[3]:
        steep = ((wide(input) - wide(mean).reshape(shape)) * grad).sum(dims) * root
    return (
        of_input,
        (level * -slope).to(mean.dtype) if needs[1] else None,
        (steep * slope * root * -0.5).to(var.dtype) if needs[2] else None,
        steep.to(weight.dtype) if steep is not None and needs[3] else None,
        level.to(bias.dtype) if level is not None and needs[4] else None,
    )


@norm_record(
    "batch_norm_eval",
    ("input", "mean", "var", "weight", "bias"),
    1,
    infer=lambda input, *others, **_: Inferred(
        (None,) * (1 + len(others)), ((input.shape, input.dtype),)
    ),
    reference=lambda x, mean, var, weight=None, bias=None, *, eps: _normal_reference(
        x, mean, var, weight, bias, eps
    ),
    gradient=_eval_gradient,
    samples=_batch_norm_samples(False),
)
def batch_norm_eval(input: Any, mean: Any, var: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    """``input`` normalised per channel with a mean and a variance that are given."""
    kind = input.dtype
    _, shape = channels_of(input)
    scale = (wide(var) + eps).rsqrt()
    scale = scale if weight is None else scale * wide(weight)
    shift = wide(mean) * -scale  # a mean of bools has no negative
    shift = shift if bias is None else shift + wide(bias)
    return (wide(input) * scale.reshape(shape) + shift.reshape(shape)).to(kind)


@publish(method=False)
def batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Any:
    """Each channel of (N, C, *) brought to mean 0 and variance 1, then scaled and shifted.

    In training with the batch's own statistics, which ``running_mean`` and ``running_var`` (the
    unbiased variance) take in with weight ``momentum``, in place; otherwise with the running ones.
    """
    if not training:
        return ops.batch_norm_eval(input, running_mean, running_var, weight, bias, eps=eps)
    if running_mean is not None and running_var is not None:
        made = batch_norm_step(input, weight, bias, running_mean, running_var, None, momentum, eps)
        if made is not None:
            return made
    out, mean, var = ops.batch_norm_train(input, weight, bias, eps=eps)
    if running_mean is not None or running_var is not None:
        spec = input._spec
        count = spec.numel // max(spec.shape[1], 1)
        unbiased = momentum * count / max(count - 1, 1)
        if running_mean is None:
            _take_in([running_var], [var], [unbiased], momentum)
        elif running_var is None:
            _take_in([running_mean], [mean], [momentum], momentum)
        else:
            values = [running_mean, running_var]
            _take_in(values, [mean, var], [momentum, unbiased], momentum)
    return out


def _take_in(values: list[Any], batch: list[Any], weights: list[float], momentum: float) -> None:
    """Running values keep ``1 - momentum`` of themselves, and take in the batch's by weights."""
    step = None
    if not (observe.active and observe.is_watched()):
        step = running_step(values, batch)
    if step is not None:
        step(keep=1 - momentum, weights=weights)
        return
    outer, mode.grad = mode.grad, False
    try:
        for value, of_batch, weight in zip(values, batch, weights, strict=True):
            value.mul_(1 - momentum).add_(of_batch, alpha=weight)
    finally:
        mode.grad = outer
