"""Normalisation: batch_norm, layer_norm, rms_norm, group_norm.

Statistics are computed and returned in at least float32. Each forward operator also gives the
statistics that its ``*_backward`` needs; they are outputs like any other, so second order follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.autograd.grad_mode import no_grad
from dovetail.dispatch import call
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import composite, draw
from dovetail.ops.schema import REGISTRY, Inferred, Sample, Tolerance
from dovetail.spec import Spec

__all__: list[str] = []

_TOLERANCE = Tolerance(64)


def _wide_dtype(dtype: d.dtype) -> d.dtype:
    return d.float32 if dtype in (d.float16, d.bfloat16) else dtype


def _wide(x: Any) -> Any:
    """Half and bfloat16 as float32, for computing in."""
    return x if x is None else x.to(_wide_dtype(x.dtype))


def _scaled(x: Any, weight: Any, bias: Any) -> Any:
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias


def _record(name: str, inputs: tuple[str, ...], outputs: int, **fields: Any) -> Any:
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


def _sum(parts: list[Any]) -> Any:
    """The sum of the parts that are there; None of none."""
    there = [p for p in parts if p is not None]
    return sum(there[1:], there[0]) if there else None


# batch_norm: over every dim but 1


def _channels(x: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The dims that are summed over, and the shape in which (C) broadcasts with ``x``."""
    dims = (0, *range(2, x.ndim))
    return dims, (1, -1, *[1] * (x.ndim - 2))


def _infer_batch_norm(input: Spec, *others: Any, **_: Any) -> Inferred:
    kind = _wide_dtype(input.dtype)
    channel = ((input.shape[1],), kind)
    outs = ((input.shape, input.dtype), channel, channel)
    return Inferred((None,) * (1 + len(others)), outs)


def _infer_batch_norm_backward(grad: Spec, input: Spec, *others: Any, **_: Any) -> Inferred:
    kind = _wide_dtype(input.dtype)
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


def _batch_norm_samples(training: bool) -> Callable[..., list[Sample]]:
    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        made = []
        for shape in ((6, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)):
            mean, shift = draw(rng, (3,), dtype, -1, 1), draw(rng, (3,), dtype, -1, 1)
            var, scale = draw(rng, (3,), dtype, 0.5, 2), draw(rng, (3,), dtype, 0.5, 2)
            statistics = () if training else (mean, var)
            for affine in ((scale, shift), (None, None), (scale, None)):
                x = draw(rng, shape, dtype, -3, 3)
                made.append(Sample((x, *statistics, *affine), {"eps": 1e-3}))
        return made

    return samples


@_record(
    "batch_norm_train_backward",
    ("grad", "input", "mean", "var", "weight"),
    3,
    infer=_infer_batch_norm_backward,
)
def batch_norm_train_backward(
    grad: Any, input: Any, mean: Any, var: Any, weight: Any, *, eps: float
) -> Any:
    """Gradients of ``batch_norm_train`` for input, weight and bias.

    Source: Ioffe and Szegedy, "Batch Normalization", 2015.
    """
    kind = input.dtype
    dims, shape = _channels(input)
    g, x = _wide(grad), _wide(input)
    count = max(x.numel() // max(x.shape[1], 1), 1)
    scale = (var + eps).rsqrt()
    normal = (x - mean.reshape(shape)) * scale.reshape(shape)
    of_bias = g.sum(dims)
    of_weight = (g * normal).sum(dims)
    slope = scale if weight is None else scale * _wide(weight)
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
        _, shape = _channels(input)
        count = input.numel() // input.shape[1]
        if g[1] is not None:
            of_input.append((g[1] / count).reshape(shape).expand(input.shape))
        if g[2] is not None:
            centred = _wide(input) - out1.reshape(shape)
            of_input.append(centred * (g[2] * (2 / count)).reshape(shape))
    return _sum(of_input) if needs[0] else None, of_weight, of_bias


@_record(
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
    dims, shape = _channels(input)
    x = _wide(input)
    count = max(x.numel() // max(x.shape[1], 1), 1)
    mean = x.sum(dims) / count
    centred = x - mean.reshape(shape)
    var = centred.square().sum(dims) / count
    scale = (var + eps).rsqrt()
    scale = scale if weight is None else scale * _wide(weight)
    shift = None if bias is None else _wide(bias).reshape(shape)
    return _scaled(centred, scale.reshape(shape), shift).to(kind), mean, var


@_record(
    "batch_norm_eval",
    ("input", "mean", "var", "weight", "bias"),
    1,
    infer=lambda input, *others, **_: Inferred(
        (None,) * (1 + len(others)), ((input.shape, input.dtype),)
    ),
    reference=lambda x, mean, var, weight=None, bias=None, *, eps: _normal_reference(
        x, mean, var, weight, bias, eps
    ),
    samples=_batch_norm_samples(False),
)
def batch_norm_eval(input: Any, mean: Any, var: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    """``input`` normalised per channel with a mean and a variance that are given."""
    kind = input.dtype
    _, shape = _channels(input)
    scale = (_wide(var) + eps).rsqrt()
    scale = scale if weight is None else scale * _wide(weight)
    shift = -_wide(mean) * scale
    shift = shift if bias is None else shift + _wide(bias)
    return (_wide(input) * scale.reshape(shape) + shift.reshape(shape)).to(kind)


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
    out, mean, var = ops.batch_norm_train(input, weight, bias, eps=eps)
    if running_mean is not None or running_var is not None:
        count = input.numel() // max(input.shape[1], 1)
        with no_grad():
            if running_mean is not None:
                running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
            if running_var is not None:
                unbiased = momentum * count / max(count - 1, 1)
                running_var.mul_(1 - momentum).add_(var, alpha=unbiased)
    return out


# layer_norm and rms_norm: over the last dims


def _rows(x: Any, normalized_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The dims that are normalised over."""
    return tuple(range(x.ndim - len(normalized_shape), x.ndim))


def _infer_last(count: int) -> Callable[..., Inferred]:
    """Output and ``count`` statistics of shape (*, 1, …, 1)."""

    def infer(input: Spec, *others: Any, normalized_shape: tuple[int, ...], **_: Any) -> Inferred:
        lead = input.ndim - len(normalized_shape)
        row = (tuple(input.shape[:lead]) + (1,) * len(normalized_shape), _wide_dtype(input.dtype))
        outs = ((input.shape, input.dtype), *[row] * count)
        return Inferred((None,) * (1 + len(others)), outs)

    return infer


def _infer_last_backward(count: int) -> Callable[..., Inferred]:
    """Gradients of the input and of ``count`` tensors of the normalised shape."""

    def infer(
        grad: Spec, input: Spec, *others: Any, normalized_shape: tuple[int, ...], **_: Any
    ) -> Inferred:
        one = (normalized_shape, _wide_dtype(input.dtype))
        outs = ((input.shape, input.dtype), *[one] * count)
        return Inferred((None,) * (2 + len(others)), outs)

    return infer


@_record(
    "layer_norm_backward",
    ("grad", "input", "mean", "rstd", "weight"),
    3,
    infer=_infer_last_backward(2),
)
def layer_norm_backward(
    grad: Any, input: Any, mean: Any, rstd: Any, weight: Any, *, normalized_shape: tuple[int, ...]
) -> Any:
    """Gradients of ``layer_norm`` for input, weight and bias."""
    kind = input.dtype
    dims = _rows(input, normalized_shape)
    lead = tuple(range(dims[0]))
    g, x = _wide(grad), _wide(input)
    count = max(math.prod(normalized_shape), 1)
    normal = (x - mean) * rstd
    product = g * normal
    of_weight = product.sum(lead) if lead else product
    of_bias = g.sum(lead) if lead else g
    if weight is not None:
        g = g * _wide(weight)
        product = g * normal
    rest = g.sum(dims, keepdim=True) + normal * product.sum(dims, keepdim=True)
    return ((g - rest / count) * rstd).to(kind), of_weight, of_bias


def _layer_norm_gradient(
    g: Any, input: Any, weight: Any, out1: Any, out2: Any, normalized_shape: Any, needs: Any
) -> tuple[Any, ...]:
    of_input, of_weight, of_bias = [], None, None
    if g[0] is not None:
        one, of_weight, of_bias = ops.layer_norm_backward(
            g[0], input, out1, out2, weight, normalized_shape=normalized_shape
        )
        of_input.append(one)
    count = math.prod(normalized_shape)
    if g[1] is not None:
        of_input.append((g[1] / count).expand(input.shape))
    if g[2] is not None:
        of_input.append((_wide(input) - out1) * (g[2] * out2**3 * (-1 / count)))
    return _sum(of_input) if needs[0] else None, of_weight, of_bias


def _last_reference(
    x: Any, weight: Any, bias: Any, normalized_shape: Any, eps: float, centre: bool
) -> Any:
    dims = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    y = x - x.mean(dims, keepdims=True) if centre else x
    y = y / np.sqrt((y * y).mean(dims, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _last_samples(affine: int) -> Callable[..., list[Sample]]:
    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        made = []
        for shape, last in (((5,), 1), ((3, 5), 1), ((2, 3, 4), 2), ((2, 3, 4), 1), ((0, 3), 1)):
            wanted = shape[-last:]
            options = {"normalized_shape": wanted, "eps": 1e-4}
            tensors = [draw(rng, wanted, dtype, 0.5, 2) for _ in range(affine)]
            made.append(Sample((draw(rng, shape, dtype, -3, 3), *tensors), options))
            made.append(Sample((draw(rng, shape, dtype, -3, 3), *[None] * affine), options))
        return made

    return samples


@_record(
    "layer_norm",
    ("input", "weight", "bias"),
    3,
    infer=_infer_last(2),
    gradient=_layer_norm_gradient,
    reference=lambda x, weight=None, bias=None, *, normalized_shape, eps=1e-5: _last_reference(
        x, weight, bias, normalized_shape, eps, True
    ),
    samples=_last_samples(2),
)
def _layer_norm(
    input: Any, weight: Any, bias: Any, *, normalized_shape: tuple[int, ...], eps: float
) -> Any:
    kind = input.dtype
    dims = _rows(input, normalized_shape)
    x = _wide(input)
    count = max(math.prod(normalized_shape), 1)
    mean = x.sum(dims, keepdim=True) / count
    centred = x - mean
    rstd = (centred.square().sum(dims, keepdim=True) / count + eps).rsqrt()
    return _scaled(centred * rstd, _wide(weight), _wide(bias)).to(kind), mean, rstd


@operator(REGISTRY["layer_norm"])
def layer_norm(
    input: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    normalized_shape: tuple[int, ...],
    eps: float = 1e-5,
) -> Any:
    """The last dims brought to mean 0 and variance 1, then scaled and shifted elementwise.

    Source: Ba et al., "Layer Normalization", 2016.
    """
    inputs, attributes = (input, weight, bias), (tuple(normalized_shape), eps)
    return call(REGISTRY["layer_norm"], inputs, attributes)[0]


@_record("rms_norm_backward", ("grad", "input", "rstd", "weight"), 2, infer=_infer_last_backward(1))
def rms_norm_backward(
    grad: Any, input: Any, rstd: Any, weight: Any, *, normalized_shape: tuple[int, ...]
) -> Any:
    """Gradients of ``rms_norm`` for input and weight."""
    kind = input.dtype
    dims = _rows(input, normalized_shape)
    lead = tuple(range(dims[0]))
    g, x = _wide(grad), _wide(input)
    normal = x * rstd
    product = g * normal
    of_weight = product.sum(lead) if lead else product
    if weight is not None:
        g = g * _wide(weight)
        product = g * normal
    mean = product.sum(dims, keepdim=True) / max(math.prod(normalized_shape), 1)
    return ((g - normal * mean) * rstd).to(kind), of_weight


def _rms_norm_gradient(
    g: Any, input: Any, weight: Any, out1: Any, normalized_shape: Any, needs: Any
) -> tuple[Any, ...]:
    of_input, of_weight = [], None
    if g[0] is not None:
        one, of_weight = ops.rms_norm_backward(
            g[0], input, out1, weight, normalized_shape=normalized_shape
        )
        of_input.append(one)
    if g[1] is not None:
        count = math.prod(normalized_shape)
        of_input.append(_wide(input) * (g[1] * out1**3 * (-1 / count)))
    return _sum(of_input) if needs[0] else None, of_weight


@_record(
    "rms_norm",
    ("input", "weight"),
    2,
    infer=_infer_last(1),
    gradient=_rms_norm_gradient,
    reference=lambda x, weight=None, *, normalized_shape, eps: _last_reference(
        x, weight, None, normalized_shape, eps, False
    ),
    samples=_last_samples(1),
)
def _rms_norm(input: Any, weight: Any, *, normalized_shape: tuple[int, ...], eps: float) -> Any:
    kind = input.dtype
    dims = _rows(input, normalized_shape)
    x = _wide(input)
    rstd = (x.square().sum(dims, keepdim=True) / max(math.prod(normalized_shape), 1) + eps).rsqrt()
    return _scaled(x * rstd, _wide(weight), None).to(kind), rstd


@operator(REGISTRY["rms_norm"])
def rms_norm(
    input: Any, weight: Any = None, *, normalized_shape: tuple[int, ...], eps: float
) -> Any:
    """The last dims divided by the root of their mean square, then scaled elementwise.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019.
    """
    return call(REGISTRY["rms_norm"], (input, weight), (tuple(normalized_shape), eps))[0]


# group_norm: over groups of channels and the places


def _group_norm_reference(
    x: Any, weight: Any = None, bias: Any = None, *, num_groups: int, eps: float = 1e-5
) -> Any:
    grouped = x.reshape(x.shape[0], num_groups, -1)
    y = grouped - grouped.mean(2, keepdims=True)
    y = (y / np.sqrt((y * y).mean(2, keepdims=True) + eps)).reshape(x.shape)
    shape = (1, -1, *[1] * (x.ndim - 2))
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _group_norm_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for shape, groups in (((3, 4), 2), ((2, 6, 5), 3), ((2, 4, 3, 3), 4), ((2, 4, 3, 3), 1)):
        affine = [draw(rng, (shape[1],), dtype, 0.5, 2) for _ in range(2)]
        for tensors in (affine, [None, None]):
            x = draw(rng, shape, dtype, -3, 3)
            made.append(Sample((x, *tensors), {"num_groups": groups, "eps": 1e-4}))
    return made


@_record(
    "group_norm",
    ("input", "weight", "bias"),
    1,
    infer=lambda input, weight, bias, **_: Inferred((None,) * 3, ((input.shape, input.dtype),)),
    compute=d.float32,
    reference=_group_norm_reference,
    samples=_group_norm_samples,
)
def group_norm(
    input: Any, weight: Any = None, bias: Any = None, *, num_groups: int, eps: float = 1e-5
) -> Any:
    """Groups of channels of (N, C, *) brought to mean 0 and variance 1, then scaled and shifted.

    Source: Wu and He, "Group Normalization", 2018.
    """
    batch = input.shape[0]
    size = math.prod(input.shape[1:]) // max(num_groups, 1)
    grouped = input.reshape(batch, num_groups, size)
    normal = ops.layer_norm(grouped, normalized_shape=(size,), eps=eps).reshape(input.shape)
    _, shape = _channels(input)
    return _scaled(
        normal,
        None if weight is None else weight.reshape(shape),
        None if bias is None else bias.reshape(shape),
    )
