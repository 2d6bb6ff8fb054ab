"""Adaptive pooling: the windows follow from the output's size.

Place i of m along a dim of n sees what lies from floor(i n / m) to ceil((i + 1) n / m).
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.factories import tensor
from dovetail.ops.families import draw
from dovetail.ops.layers.pool import pooled_result, pooling, scatter_back
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.spec import Spec

__all__: list[str] = []

Sizes = tuple[int, ...]


@functools.lru_cache(256)
def _spans(size: int, places: int) -> tuple[tuple[int, int], ...]:
    """(first, one past the last) that each place sees of a dim."""
    return tuple((i * size // places, -(-(i + 1) * size // places)) for i in range(places))


def _infer_adaptive(indices: bool) -> Any:
    def infer(input: Spec, output_size: Sizes) -> Inferred:
        if 0 in input.shape[1:]:
            raise RuntimeError(
                "adaptive pooling: Expected input to have non-zero size for non-batch dimensions, "
                f"but input has sizes {list(input.shape)}"
            )
        shape, dtype, strides = pooled_result(input, output_size)
        more = ((shape, d.int64, strides),) if indices else ()
        return Inferred((None,), ((shape, dtype, strides), *more))

    return infer


_TRIED: tuple[tuple[Sizes, Sizes], ...] = (
    ((2, 3, 7), (3,)), ((2, 3, 8), (4,)), ((2, 3, 4), (6,)), ((2, 2, 7, 5), (1, 1)),
    ((2, 2, 7, 5), (3, 4)), ((1, 2, 6, 4), (3, 2)), ((1, 2, 4, 5, 3), (2, 3, 2)),
)  # fmt: skip


def _adaptive_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [Sample((draw(rng, s, dtype, -9, 9),), {"output_size": size}) for s, size in _TRIED]


def _adaptive_reference(largest: bool) -> Any:
    def reference(x: Any, *, output_size: Sizes) -> Any:
        out = np.zeros((*x.shape[:2], *output_size))
        index = np.zeros(out.shape, np.int64)
        size = x.shape[2:]
        number = np.broadcast_to(np.arange(math.prod(size)).reshape(size), x.shape)
        spans = [_spans(n, m) for n, m in zip(size, output_size, strict=True)]
        for place in itertools.product(*map(range, output_size)):
            where = (..., *[slice(*spans[i][j]) for i, j in enumerate(place)])
            window = x[where].reshape(*x.shape[:2], -1)
            if not largest:
                out[(..., *place)] = window.mean(-1)
                continue
            best = window.argmax(-1)[..., None]
            out[(..., *place)] = np.take_along_axis(window, best, -1)[..., 0]
            seen = number[where].reshape(window.shape)
            index[(..., *place)] = np.take_along_axis(seen, best, -1)[..., 0]
        return (out, index) if largest else out

    return reference


@pooling(
    "adaptive_avg_pool",
    infer=_infer_adaptive(False),
    compute=d.float32,
    reference=_adaptive_reference(False),
    samples=_adaptive_samples,
    tolerance=Tolerance(16),
)
def adaptive_avg_pool(input: Any, *, output_size: Sizes) -> Any:
    """The means of windows that are chosen so that the output has this size."""
    size = tuple(input.shape[2:])
    if all(m == 1 for m in output_size):
        return input.mean(tuple(range(2, input.ndim)), keepdim=True)
    if 0 not in output_size and not any(n % m for n, m in zip(size, output_size, strict=True)):
        kernel = tuple(n // m for n, m in zip(size, output_size, strict=True))
        return ops.avg_pool(
            input,
            kernel_size=kernel,
            stride=kernel,
            padding=(0,) * len(kernel),
            ceil_mode=False,
            count_include_pad=True,
            divisor_override=None,
        )
    return ops.uneven_avg_pool(input, output_size=output_size)


def _uneven_gradient(g: Any, specs: Any) -> Any:
    return ops.uneven_avg_pool_grad(g, input_size=tuple(specs[0].shape[2:]))


@pooling(
    "uneven_avg_pool",
    infer=_infer_adaptive(False),
    gradient={"input": _uneven_gradient},
    compute=d.float32,
    reference=_adaptive_reference(False),
    samples=_adaptive_samples,
    tolerance=Tolerance(16),
    node_name=lambda input, **_: f"adaptive_avg_pool{len(input.shape) - 2}_d",
)
def uneven_avg_pool(input: Any, *, output_size: Sizes) -> Any:
    """:func:`adaptive_avg_pool`, whose windows may be of unequal sizes and share elements."""
    for i, (n, m) in enumerate(zip(tuple(input.shape[2:]), output_size, strict=True)):
        if n != m:
            input = _mean_along(input, 2 + i, m)
    return input


def _grad_reference(g: Any, *, input_size: Sizes) -> Any:
    out = np.zeros((*g.shape[:2], *input_size))
    spans = [_spans(n, m) for n, m in zip(input_size, g.shape[2:], strict=True)]
    for place in itertools.product(*map(range, g.shape[2:])):
        where = [slice(*spans[i][j]) for i, j in enumerate(place)]
        count = math.prod(part.stop - part.start for part in where)
        share = g[(..., *place)].reshape(*g.shape[:2], *[1] * len(where)) / count
        out[(..., *where)] += share
    return out


def _grad_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((draw(rng, (*s[:2], *size), dtype, -9, 9),), {"input_size": s[2:]})
        for s, size in _TRIED
    ]


@pooling(
    "uneven_avg_pool_grad",
    ("grad",),
    infer=lambda grad, input_size: Inferred(
        (None,), (((*grad.shape[:2], *input_size), grad.dtype),)
    ),
    gradient={
        "grad": lambda g, specs: ops.uneven_avg_pool(g, output_size=tuple(specs[0].shape[2:]))
    },
    compute=d.float32,
    reference=_grad_reference,
    samples=_grad_samples,
    tolerance=Tolerance(16),
)
def uneven_avg_pool_grad(grad: Any, *, input_size: Sizes) -> Any:
    """The gradient for an input of this size: an element's share of the windows that it is in."""
    for i, (n, m) in enumerate(zip(input_size, tuple(grad.shape[2:]), strict=True)):
        if n != m:
            grad = _spread_along(grad, 2 + i, n)
    return grad


def _spread_along(g: Any, dim: int, size: int) -> Any:
    """What :func:`_mean_along` of ``size`` elements takes on its way back."""
    spans = _spans(size, g.shape[dim])
    source = [i for i, (a, b) in enumerate(spans) for _ in range(a, b)]
    target = [k for a, b in spans for k in range(a, b)]
    last = (1,) * (g.ndim - dim - 1)
    counts = tensor([b - a for a, b in spans], dtype=g.dtype, device=g.device)
    places = [tensor(x, dtype=d.int64, device=g.device) for x in (source, target)]
    shares = (g / counts.reshape(-1, *last)).index_select(dim, places[0])
    whole = g.new_zeros((*g.shape[:dim], size, *g.shape[dim + 1 :]))
    return whole.index_add(dim, places[1], shares)


def _mean_along(x: Any, dim: int, places: int) -> Any:
    spans = _spans(x.shape[dim], places)
    width = max((b - a for a, b in spans), default=1)
    index = [min(a + k, b - 1) for a, b in spans for k in range(width)]
    inside = [[a + k < b for k in range(width)] for a, b in spans]
    shape = (*x.shape[:dim], places, width, *x.shape[dim + 1 :])
    windows = x.index_select(dim, tensor(index, dtype=d.int64, device=x.device)).reshape(shape)
    last = (1,) * (x.ndim - dim - 1)
    mask = tensor(inside, dtype=d.bool_, device=x.device).reshape(places, width, *last)
    counts = tensor([b - a for a, b in spans], dtype=x.dtype, device=x.device)
    return ops.where(mask, windows, 0.0).sum(dim + 1) / counts.reshape(-1, *last)


@pooling(
    "adaptive_max_pool",
    outputs=2,
    infer=_infer_adaptive(True),
    gradient={"input": scatter_back},
    reference=_adaptive_reference(True),
    samples=_adaptive_samples,
    tolerance=Tolerance(0),
)
def adaptive_max_pool(input: Any, *, output_size: Sizes) -> Any:
    """(largest values, indices) of windows that are chosen so that the output has this size."""
    size = tuple(input.shape[2:])
    number = np.zeros((), np.int64)
    for n, m in zip(size, output_size, strict=True):
        spans = _spans(n, m)
        width = max((b - a for a, b in spans), default=1)
        along = [[min(a + k, b - 1) for k in range(width)] for a, b in spans]
        number = np.add.outer(number * n, np.reshape(np.array(along, np.int64), (m, width)))
    order = (*range(0, number.ndim, 2), *range(1, number.ndim, 2))
    number = number.transpose(order).reshape(math.prod(output_size), -1)
    seen = tensor(number, device=input.device)
    flat = (*input.shape[:2], *number.shape)
    windows = input.flatten(2).index_select(2, seen.reshape(-1)).reshape(flat)
    where = windows.argmax(3, keepdim=True)
    shape = (*input.shape[:2], *output_size)
    indices = seen.expand(flat).gather(3, where).reshape(shape)
    return windows.gather(3, where).reshape(shape), indices
