"""Normalisation within a sample: layer_norm, rms_norm, group_norm.

Organised as ``norm.py`` says: each forward also gives the statistics that its backward needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.dispatch import call
from dovetail.ops.expose import operator
from dovetail.ops.families import draw
from dovetail.ops.layers.norm import channels_of, norm_record, scaled, total, wide, wide_dtype
from dovetail.ops.schema import REGISTRY, Inferred, Sample
from dovetail.spec import Spec

__all__: list[str] = []


# layer_norm and rms_norm: over the last dims


def _rows(x: Any, normalized_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The dims that are normalised over."""
    return tuple(range(x.ndim - len(normalized_shape), x.ndim))


def _infer_last(count: int) -> Callable[..., Inferred]:
    """Output and ``count`` statistics of shape (*, 1, …, 1)."""

    def infer(input: Spec, *others: Any, normalized_shape: tuple[int, ...], **_: Any) -> Inferred:
        lead = input.ndim - len(normalized_shape)
        row = (tuple(input.shape[:lead]) + (1,) * len(normalized_shape), wide_dtype(input.dtype))
        outs = ((input.shape, input.dtype), *[row] * count)
        return Inferred((None,) * (1 + len(others)), outs)

    return infer


def _infer_last_backward(count: int) -> Callable[..., Inferred]:
    """Gradients of the input and of ``count`` tensors of the normalised shape."""

    def infer(
        grad: Spec, input: Spec, *others: Any, normalized_shape: tuple[int, ...], **_: Any
    ) -> Inferred:
        one = (normalized_shape, wide_dtype(input.dtype))
        outs = ((input.shape, input.dtype), *[one] * count)
        return Inferred((None,) * (2 + len(others)), outs)

    return infer


def _last_slope(
    g: Any, x: Any, mean: Any, rstd: Any, weight: Any, normalized_shape: Any, centre: bool
) -> tuple[Any, ...]:
    dims = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    lead = tuple(range(x.ndim - len(normalized_shape)))
    normal = (x - mean) * rstd
    gw = g if weight is None else g * weight
    level = gw.mean(dims, keepdims=True) if centre else 0
    of_input = (gw - level - normal * (gw * normal).mean(dims, keepdims=True)) * rstd
    return of_input, (g * normal).sum(lead), g.sum(lead)


def _last_slope_samples(centre: bool) -> Callable[..., list[Sample]]:
    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        made = []
        for shape, last in _LAST[:-1]:
            wanted, row = shape[-last:], (*shape[:-last], *[1] * last)
            for weight in (draw(rng, wanted, dtype, 0.5, 2), None):
                pair = [draw(rng, shape, dtype, -2, 2) for _ in range(2)]
                mean = [draw(rng, row, dtype, -1, 1)] * centre
                rstd = draw(rng, row, dtype, 0.5, 2)
                made.append(Sample((*pair, *mean, rstd, weight), {"normalized_shape": wanted}))
        return made

    return samples


@norm_record(
    "layer_norm_backward",
    ("grad", "input", "mean", "rstd", "weight"),
    3,
    infer=_infer_last_backward(2),
    reference=lambda g, x, mean, rstd, weight=None, *, normalized_shape: _last_slope(
        g, x, mean, rstd, weight, normalized_shape, True
    ),
    samples=_last_slope_samples(True),
)
def layer_norm_backward(
    grad: Any, input: Any, mean: Any, rstd: Any, weight: Any, *, normalized_shape: tuple[int, ...]
) -> Any:
    """Gradients of ``layer_norm`` for input, weight and bias."""
    kind = input.dtype
    dims = _rows(input, normalized_shape)
    lead = tuple(range(dims[0]))
    g, x = wide(grad), wide(input)
    count = max(math.prod(normalized_shape), 1)
    normal = (x - mean) * rstd
    product = g * normal
    of_weight = product.sum(lead) if lead else product
    of_bias = g.sum(lead) if lead else g.clone()
    if weight is not None:
        g = g * wide(weight)
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
    count = max(math.prod(normalized_shape), 1)
    if g[1] is not None:
        of_input.append((g[1] / count).expand(input.shape))
    if g[2] is not None:
        of_input.append((wide(input) - out1) * (g[2] * out2**3 * (-1 / count)))
    return total(of_input) if needs[0] else None, of_weight, of_bias


def _last_reference(
    x: Any, weight: Any, bias: Any, normalized_shape: Any, eps: float, centre: bool
) -> Any:
    dims = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    y = x - x.mean(dims, keepdims=True) if centre else x
    y = y / np.sqrt((y * y).mean(dims, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


# shapes, and how many of their last dims are normalised over
_LAST = (((5,), 1), ((3, 5), 1), ((2, 3, 4), 2), ((2, 3, 4), 1), ((0, 3), 1))


def _last_samples(affine: int) -> Callable[..., list[Sample]]:
    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        made = []
        for shape, last in _LAST:
            wanted = shape[-last:]
            options = {"normalized_shape": wanted, "eps": 1e-4}
            tensors = [draw(rng, wanted, dtype, 0.5, 2) for _ in range(affine)]
            made.append(Sample((draw(rng, shape, dtype, -3, 3), *tensors), options))
            made.append(Sample((draw(rng, shape, dtype, -3, 3), *[None] * affine), options))
        return made

    return samples


@norm_record(
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
    x = wide(input)
    count = max(math.prod(normalized_shape), 1)
    mean = x.sum(dims, keepdim=True) / count
    centred = x - mean
    rstd = (centred.square().sum(dims, keepdim=True) / count + eps).rsqrt()
    return scaled(centred * rstd, wide(weight), wide(bias)).to(kind), mean, rstd


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


@norm_record(
    "rms_norm_backward",
    ("grad", "input", "rstd", "weight"),
    2,
    infer=_infer_last_backward(1),
    reference=lambda g, x, rstd, weight=None, *, normalized_shape: _last_slope(
        g, x, 0, rstd, weight, normalized_shape, False
    )[:2],
    samples=_last_slope_samples(False),
)
def rms_norm_backward(
    grad: Any, input: Any, rstd: Any, weight: Any, *, normalized_shape: tuple[int, ...]
) -> Any:
    """Gradients of ``rms_norm`` for input and weight."""
    kind = input.dtype
    dims = _rows(input, normalized_shape)
    lead = tuple(range(dims[0]))
    g, x = wide(grad), wide(input)
    normal = x * rstd
    product = g * normal
    of_weight = product.sum(lead) if lead else product
    if weight is not None:
        g = g * wide(weight)
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
        count = max(math.prod(normalized_shape), 1)
        of_input.append(wide(input) * (g[1] * out1**3 * (-1 / count)))
    return total(of_input) if needs[0] else None, of_weight


@norm_record(
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
    x = wide(input)
    rstd = (x.square().sum(dims, keepdim=True) / max(math.prod(normalized_shape), 1) + eps).rsqrt()
    return scaled(x * rstd, wide(weight), None).to(kind), rstd


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


def _grouped(x: Any, num_groups: int) -> Any:
    """(N, C, *) as (N, groups, size)."""
    return x.reshape(x.shape[0], num_groups, math.prod(x.shape[1:]) // max(num_groups, 1))


def _infer_groups(input: Spec, *others: Any, num_groups: int, **_: Any) -> Inferred:
    row = ((input.shape[0], num_groups, 1), wide_dtype(input.dtype))
    return Inferred((None,) * (1 + len(others)), ((input.shape, input.dtype), row, row))


def _infer_groups_backward(grad: Spec, input: Spec, *others: Any, **_: Any) -> Inferred:
    one = ((input.shape[1],), wide_dtype(input.dtype))
    return Inferred((None,) * (2 + len(others)), ((input.shape, input.dtype), one, one))


def _group_slope(
    g: Any, x: Any, mean: Any, rstd: Any, weight: Any = None, *, num_groups: int
) -> tuple[Any, ...]:
    dims, shape = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    normal = ((x.reshape(x.shape[0], num_groups, -1) - mean) * rstd).reshape(x.shape)
    slope = g if weight is None else g * weight.reshape(shape)
    lines = [a.reshape(x.shape[0], num_groups, -1) for a in (slope, normal)]
    tilt = (lines[0] * lines[1]).mean(2, keepdims=True)
    of_input = (lines[0] - lines[0].mean(2, keepdims=True) - lines[1] * tilt) * rstd
    return of_input.reshape(x.shape), (g * normal).sum(dims), g.sum(dims)


def _group_slope_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for sample in _group_norm_samples(rng, dtype):
        x, weight, _ = sample.args
        groups, kind = sample.kwargs["num_groups"], wide_dtype(dtype)
        row = (x.shape[0], groups, 1)
        mean, rstd = draw(rng, row, kind, -1, 1), draw(rng, row, kind, 0.5, 2)
        g = draw(rng, x.shape, dtype, -2, 2)
        made.append(Sample((g, x, mean, rstd, weight), {"num_groups": groups}))
    return made


@norm_record(
    "group_norm_backward",
    ("grad", "input", "mean", "rstd", "weight"),
    3,
    infer=_infer_groups_backward,
    reference=_group_slope,
    samples=_group_slope_samples,
)
def group_norm_backward(
    grad: Any, input: Any, mean: Any, rstd: Any, weight: Any, *, num_groups: int
) -> Any:
    """Gradients of ``group_norm_train`` for input, weight and bias."""
    kind = input.dtype
    dims, shape = channels_of(input)
    g, x = wide(grad), wide(input)
    normal = (_grouped(x, num_groups) - mean) * rstd
    of_weight, of_bias = (g * normal.reshape(x.shape)).sum(dims), g.sum(dims)
    slope = _grouped(g if weight is None else g * wide(weight).reshape(shape), num_groups)
    count = max(slope.shape[2], 1)
    rest = slope.sum(2, keepdim=True) + normal * (slope * normal).sum(2, keepdim=True)
    return ((slope - rest / count) * rstd).reshape(x.shape).to(kind), of_weight, of_bias


def _group_norm_gradient(
    g: Any, input: Any, weight: Any, out1: Any, out2: Any, num_groups: int, needs: Any
) -> tuple[Any, ...]:
    of_input, of_weight, of_bias = [], None, None
    if g[0] is not None:
        one, of_weight, of_bias = ops.group_norm_backward(
            g[0], input, out1, out2, weight, num_groups=num_groups
        )
        of_input.append(one)
    if g[1] is not None or g[2] is not None:  # the statistics were used: second order
        lines = _grouped(wide(input), num_groups)
        count = max(lines.shape[2], 1)
        if g[1] is not None:
            of_input.append((g[1] / count).expand(lines.shape).reshape(input.shape))
        if g[2] is not None:
            slope = (lines - out1) * (g[2] * out2**3 * (-1 / count))
            of_input.append(slope.reshape(input.shape))
    return total(of_input) if needs[0] else None, of_weight, of_bias


def _group_train_reference(
    x: Any, weight: Any = None, bias: Any = None, *, num_groups: int, eps: float
) -> Any:
    grouped = x.reshape(x.shape[0], num_groups, -1)
    root = 1 / np.sqrt(grouped.var(2, keepdims=True) + eps)
    out = _group_norm_reference(x, weight, bias, num_groups=num_groups, eps=eps)
    return out, grouped.mean(2, keepdims=True), root


@norm_record(
    "group_norm_train",
    ("input", "weight", "bias"),
    3,
    infer=_infer_groups,
    gradient=_group_norm_gradient,
    node_name=lambda *facts, **attributes: "native_group_norm",
    reference=_group_train_reference,
    samples=_group_norm_samples,
)
def group_norm_train(input: Any, weight: Any, bias: Any, *, num_groups: int, eps: float) -> Any:
    """(what ``group_norm`` gives, mean, inverse deviation), the latter two of each group."""
    x = _grouped(wide(input), num_groups)
    count = max(x.shape[2], 1)
    mean = x.sum(2, keepdim=True) / count
    centred = x - mean
    rstd = (centred.square().sum(2, keepdim=True) / count + eps).rsqrt()
    _, shape = channels_of(input)
    affine = [None if t is None else wide(t).reshape(shape) for t in (weight, bias)]
    out = scaled((centred * rstd).reshape(input.shape), *affine)
    return out.to(input.dtype), mean, rstd


@norm_record(
    "group_norm",
    ("input", "weight", "bias"),
    1,
    recorded="group_norm_train",
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
    _, shape = channels_of(input)
    affine = [None if t is None else t.reshape(shape) for t in (weight, bias)]
    return scaled(normal, *affine).to(input.dtype)
