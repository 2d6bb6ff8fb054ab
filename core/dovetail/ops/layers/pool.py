"""Pooling over one to three spatial dims, with its gradients.

Shapes: input (N, C, *S), output and indices (N, C, *P). kernel_size, stride, padding and dilation
have one number per spatial dim. An index is a place in the flattened S. Arguments are read and
checked in ``nn.functional``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.factories import arange, tensor, zeros
from dovetail.ops.families import composite, draw
from dovetail.ops.layout.windows import (
    counted_places,
    dense_like,
    offsets,
    padded_array,
    padded_with,
    pooled_places,
    window_view,
)
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.spec import Spec, contiguous_strides

__all__ = ["pooled_result", "pooling", "scatter_back"]

Sizes = tuple[int, ...]
Record = Callable[[Callable[..., Any]], Callable[..., Any]]


def pooling(name: str, inputs: tuple[str, ...] = ("input",), **fields: Any) -> Record:
    """The record of a pooling or of its gradient: no method, and public in ``nn.functional``."""
    fields.setdefault("accepts", d.FLOATING)
    return composite(name, inputs=inputs, method=False, public=False, **fields)


def _after(
    size: Sizes, kernel: Sizes, places: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Sizes:
    """Padding that is needed after each dim, so that every window has room."""
    return tuple(
        max((m - 1) * s + q * (k - 1) + 1 - n - p, 0)
        for n, k, m, s, p, q in zip(size, kernel, places, stride, padding, dilation, strict=True)
    )


def pooled_result(input: Spec, places: Sizes) -> tuple[Any, ...]:
    """What a pooling of ``input`` to these places gives, for its shape rule."""
    shape = (*input.shape[:2], *places)
    return shape, input.dtype, dense_like(input, shape)


def _as_shape(grad: Spec, *others: Any, input_shape: Sizes, **_: Any) -> Inferred:
    return Inferred((None,) * (1 + len(others)), ((input_shape, grad.dtype),))


# max_pool


def scatter_back(g: Any, out1: Any, specs: Any) -> Any:
    """The gradient of a max pooling whose second output is the indices."""
    return ops.max_pool_grad(g, out1, input_shape=tuple(specs[0].shape))


@pooling(
    "max_pool_grad",
    ("grad", "indices"),
    infer=_as_shape,
    gradient={
        "grad": lambda g, indices: g.flatten(2).gather(2, indices.flatten(2)).reshape(indices.shape)
    },
    compute=d.float32,
    reference=lambda g, indices, *, input_shape: _scatter_reference(g, indices, input_shape),
    samples=lambda rng, dtype: [
        Sample(
            (draw(rng, (2, 3, 2, 2), dtype, -1, 1), rng.integers(0, 20, (2, 3, 2, 2))),
            {"input_shape": (2, 3, 4, 5)},
        ),
        Sample(
            (draw(rng, (1, 3, 4), dtype, -1, 1), rng.integers(0, 9, (1, 3, 4))),
            {"input_shape": (1, 3, 9)},
        ),
    ],
)
def max_pool_grad(grad: Any, indices: Any, *, input_shape: Sizes) -> Any:
    """Zeros of ``input_shape`` with every gradient added at its index."""
    flat = (*input_shape[:2], math.prod(input_shape[2:]))
    whole = zeros(flat, dtype=grad.dtype, device=grad.device)
    return whole.scatter_add(2, indices.flatten(2), grad.flatten(2)).reshape(input_shape)


def _scatter_reference(g: Any, indices: Any, shape: Sizes) -> Any:
    out = np.zeros((shape[0] * shape[1], math.prod(shape[2:])))
    rows = np.arange(len(out))[:, None]
    np.add.at(out, (rows, indices.reshape(len(out), -1)), g.reshape(len(out), -1))
    return out.reshape(shape)


def _lowest(dtype: d.dtype) -> float:
    return -math.inf if dtype.is_floating_point else int(d.iinfo(dtype).min)


def _infer_max_pool(
    input: Spec,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> Inferred:
    size = tuple(input.shape[2:])
    places = pooled_places(size, kernel_size, stride, padding, dilation, ceil_mode)
    shape, dtype, strides = pooled_result(input, places)
    return Inferred((None,), ((shape, dtype, strides), (shape, d.int64, strides)))


def _max_pool_reference(
    x: Any, *, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Any:
    size = x.shape[2:]
    places = counted_places(size, kernel_size, stride, padding, dilation, ceil_mode)
    after = _after(size, kernel_size, places, stride, padding, dilation)
    least = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf
    padded = padded_array(x, padding, after, least)
    number = padded_array(np.arange(math.prod(size)).reshape(1, 1, *size), padding, after, -1)
    best = np.full((*x.shape[:2], *places), least, x.dtype)
    index = np.full(best.shape, -1, np.int64)
    for _, where in offsets(kernel_size, places, stride, dilation):
        larger = (padded[where] > best) | np.isnan(padded[where])
        larger |= (index < 0) & (number[where] >= 0)
        best = np.where(larger, padded[where], best)
        index = np.where(larger, number[where], index)
    return best, index


def _tried() -> Any:
    for shape, kernel, stride, padding, dilation, ceil in (
        ((2, 3, 8), 3, 2, 1, 1, False),
        ((1, 2, 7), 2, 2, 0, 2, True),
        ((1, 3, 9), 3, 2, 1, 1, False),
        ((1, 2, 7), 2, 2, 0, 1, True),
        ((1, 2, 5), 2, 3, 1, 1, True),
        ((1, 2, 6), 4, 1, 1, 1, True),
        ((1, 2, 2), 3, 2, 1, 1, True),
        ((2, 3, 6, 6), 2, 2, 0, 1, False),
        ((2, 2, 7, 8), 3, 2, 1, 1, True),
        ((1, 2, 7, 9), (3, 2), (1, 2), (1, 0), (2, 1), False),
        ((0, 2, 4, 4), 2, 2, 0, 1, False),
        ((1, 2, 5, 4, 6), 2, 2, 1, 1, True),
    ):
        n = len(shape) - 2
        names = ("kernel_size", "stride", "padding", "dilation")
        values = (kernel, stride, padding, dilation)
        spread = [v if isinstance(v, tuple) else (v,) * n for v in values]
        yield shape, {**dict(zip(names, spread, strict=True)), "ceil_mode": ceil}


@pooling(
    "max_pool",
    outputs=2,
    infer=_infer_max_pool,
    gradient={"input": scatter_back},
    accepts=(*d.FLOATING, *d.INTEGRAL),
    reference=_max_pool_reference,
    samples=lambda rng, dtype: [
        Sample((draw(rng, shape, dtype, -9, 9),), options) for shape, options in _tried()
    ],
    tolerance=Tolerance(0),
)
def max_pool(
    input: Any,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> Any:
    """(the largest value of each window, its index); the first of equal values, NaN before all."""
    size = tuple(input.shape[2:])
    places = pooled_places(size, kernel_size, stride, padding, dilation, ceil_mode)
    after = _after(size, kernel_size, places, stride, padding, dilation)
    padded = padded_with(_lowest(input.dtype), input, padding, after)
    view = window_view(tuple(padded.shape), kernel_size, places, stride, dilation)
    flat = (*input.shape[:2], math.prod(kernel_size), math.prod(places))
    windows = padded.as_strided(*view).reshape(flat)
    where = windows.argmax(2, keepdim=True)
    number = _numbers(size, kernel_size, places, stride, padding, dilation, input.device)
    shape = (*input.shape[:2], *places)
    indices = number.expand(flat).gather(2, where).reshape(shape)
    return windows.gather(2, where).reshape(shape), indices


def _numbers(
    size: Sizes,
    kernel: Sizes,
    places: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    device: Any,
) -> Any:
    """(prod(K), prod(P)): the index of what each offset sees; that of the edge in the padding."""
    n = len(size)
    number: Any = 0
    for i in range(n):
        start = arange(places[i], device=device) * stride[i] - padding[i]
        offset = arange(kernel[i], device=device) * dilation[i]
        along = start.reshape(-1, *[1] * (n - 1 - i)) + offset.reshape(-1, *[1] * (2 * n - 1 - i))
        number = number * size[i] + along.maximum(0).minimum(size[i] - 1)
    return number.reshape(math.prod(kernel), math.prod(places))


# avg_pool


def _divisor(
    size: Sizes,
    kernel: Sizes,
    places: Sizes,
    stride: Sizes,
    padding: Sizes,
    count_include_pad: bool,
    divisor_override: int | None,
) -> float | list[list[int]]:
    """How many elements each window has: a number, or lists whose outer product it is."""
    if divisor_override is not None:
        return divisor_override
    counts = []
    for n, k, m, s, p in zip(size, kernel, places, stride, padding, strict=True):
        start = [i * s - p for i in range(m)]
        end = [min(i + k, n + p) for i in start]
        if not count_include_pad:
            start, end = [max(i, 0) for i in start], [min(i, n) for i in end]
        counts.append([max(b - a, 1) for a, b in zip(start, end, strict=True)])
    if all(len(set(c)) <= 1 for c in counts):
        return math.prod(c[0] if c else 1 for c in counts)
    return counts


def _divided(x: Any, divisor: float | list[list[int]]) -> Any:
    """(N, C, *P) divided by the number of elements of each window."""
    if not isinstance(divisor, list):
        return x / divisor
    for i, counts in enumerate(reversed(divisor)):
        x = x / tensor(counts, dtype=x.dtype, device=x.device).reshape(-1, *[1] * i)
    return x


def _infer_avg_pool(
    input: Spec, kernel_size: Sizes, stride: Sizes, padding: Sizes, ceil_mode: bool, **_: Any
) -> Inferred:
    ones = (1,) * len(kernel_size)
    places = pooled_places(tuple(input.shape[2:]), kernel_size, stride, padding, ones, ceil_mode)
    return Inferred((None,), (pooled_result(input, places),))


def _avg_pool_reference(
    x: Any,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    size, ones = x.shape[2:], (1,) * len(kernel_size)
    places = counted_places(size, kernel_size, stride, padding, ones, ceil_mode)
    after = _after(size, kernel_size, places, stride, padding, ones)
    padded = padded_array(x, padding, after)
    mine = padded_array(np.ones((1, 1, *size)), padding, padding, float(count_include_pad))
    more = tuple(max(a - p, 0) for a, p in zip(after, padding, strict=True))
    mine = padded_array(mine, (0,) * len(size), more)
    seen = list(offsets(kernel_size, places, stride, ones))
    total = sum(padded[where] for _, where in seen)
    return total / (divisor_override or sum(mine[where] for _, where in seen))


def _averages(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for shape, options in _tried():
        if max(options.pop("dilation")) > 1:
            continue
        for counts, divisor in ((True, None), (False, None), (True, 3)):
            more = {"count_include_pad": counts, "divisor_override": divisor}
            made.append(Sample((draw(rng, shape, dtype, -3, 3),), {**options, **more}))
    return made


def _spread_reference(g: Any, *, input_shape: Sizes, **options: Any) -> Any:
    """Column by column of the map that ``avg_pool`` is."""
    size, places = math.prod(input_shape[2:]), math.prod(g.shape[2:])
    unit = np.eye(size).reshape(size, 1, *input_shape[2:])
    columns = _avg_pool_reference(unit, **options).reshape(size, places)
    return (g.reshape(-1, places) @ columns.T).reshape(input_shape)


def _spread_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for x, options in ((sample.args[0], sample.kwargs) for sample in _averages(rng, dtype)):
        ones = (1,) * len(options["kernel_size"])
        geometry = [options[name] for name in ("kernel_size", "stride", "padding")]
        places = counted_places(x.shape[2:], *geometry, ones, options["ceil_mode"])
        g = draw(rng, (*x.shape[:2], *places), dtype, -2, 2)
        made.append(Sample((g,), {"input_shape": x.shape, **options}))
    return made


def _average_again(
    g: Any,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    return ops.avg_pool(
        g,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


def _spread_back(
    g: Any,
    specs: Any,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    return ops.avg_pool_grad(
        g,
        input_shape=tuple(specs[0].shape),
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


@pooling(
    "avg_pool_grad",
    ("grad",),
    infer=_as_shape,
    gradient={"grad": _average_again},
    compute=d.float32,
    reference=_spread_reference,
    samples=_spread_samples,
    tolerance=Tolerance(16),
)
def avg_pool_grad(
    grad: Any,
    *,
    input_shape: Sizes,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """The gradient of ``avg_pool``: every gradient spread evenly over its window."""
    batch, channels, *size = input_shape
    places, n = tuple(grad.shape[2:]), len(kernel_size)
    divisor = _divisor(
        tuple(size), kernel_size, places, stride, padding, count_include_pad, divisor_override
    )
    ones = (1,) * n
    after = _after(tuple(size), kernel_size, places, stride, padding, ones)
    sides = zip(padding, size, after, strict=True)
    padded = (batch, channels, *(p + m + q for p, m, q in sides))
    view = window_view(padded, kernel_size, places, stride, ones)
    each = _divided(grad, divisor).reshape(batch, channels, *ones, *places).expand(view[0])
    whole = ops.strided_backward(
        each, shape=padded, rule=("strided", (*view, 0, contiguous_strides(padded)))
    )
    for i, (start, m) in enumerate(zip(padding, size, strict=True)):
        whole = whole.narrow(2 + i, start, m)
    return whole.contiguous()


@pooling(
    "avg_pool",
    infer=_infer_avg_pool,
    gradient={"input": _spread_back},
    compute=d.float32,
    reference=_avg_pool_reference,
    samples=_averages,
    tolerance=Tolerance(8),
)
def avg_pool(
    input: Any,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """The mean of each window; ``count_include_pad``: the zeros of the padding count.

    ``divisor_override`` takes the place of the number of elements.
    """
    size, ones = tuple(input.shape[2:]), (1,) * len(kernel_size)
    places = pooled_places(size, kernel_size, stride, padding, ones, ceil_mode)
    after = _after(size, kernel_size, places, stride, padding, ones)
    padded = padded_with(0, input, padding, after)
    view = window_view(tuple(padded.shape), kernel_size, places, stride, ones)
    flat = (*input.shape[:2], math.prod(kernel_size), math.prod(places))
    total = padded.as_strided(*view).reshape(flat).sum(2).reshape(*input.shape[:2], *places)
    return _divided(
        total,
        _divisor(size, kernel_size, places, stride, padding, count_include_pad, divisor_override),
    )
