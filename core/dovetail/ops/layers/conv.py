"""Convolution over one to three spatial dims, its two gradients, and its transpose.

All are one bilinear map seen from different sides, so each gradient is one of the others and any
order of differentiation stays among these three operators:

    conv(x, w)              y
    conv_grad_input(g, w)   x-shaped, linear in g and w
    conv_grad_weight(g, x)  w-shaped, linear in g and x

Shapes: x (N, C, *S), w (O, C / groups, *K), y and g (N, O, *S'). stride, padding and dilation have
one number per spatial dim. Arguments are read and checked in ``nn.functional``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.ops.families import composite, draw
from dovetail.ops.layout.windows import (
    dense_like,
    offsets,
    padded_array,
    padded_with,
    places_of,
    window_view,
)
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.spec import Spec, contiguous_strides

__all__ = ["side_by_side"]

Sizes = tuple[int, ...]
Record = Callable[[Callable[..., Any]], Callable[..., Any]]
_TOLERANCE = Tolerance(
    16, True, lambda input, weight, *rest: weight.size // max(weight.shape[0], 1)
)


def side_by_side(
    x: Any, kernel: Sizes, places: Sizes, stride: Sizes, padding: Sizes, dilation: Any, groups: int,
    fill: int = 0,
) -> Any:  # fmt: skip
    """(N, groups, C / groups * prod(K), prod(S')): the windows; ``fill`` is the padding."""
    padded = padded_with(fill, x, padding, padding)
    size, strides = window_view(tuple(padded.shape), kernel, places, stride, dilation)
    rows = x.shape[1] // groups * math.prod(kernel)
    windows = padded.as_strided(size, strides)
    return windows.reshape(x.shape[0], groups, rows, math.prod(places))


def _same_dtype(a: Spec, b: Spec | None, label: str = "weight") -> None:
    if b is not None and a.dtype is not b.dtype:
        raise RuntimeError(
            f"Input type ({a.dtype}) and {label} type ({b.dtype}) should be the same "
            "(conv: convert one with .to(dtype))"
        )


def _infer_conv(
    input: Spec,
    weight: Spec,
    bias: Spec | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Inferred:
    _same_dtype(input, weight)
    _same_dtype(input, bias, "bias")
    places = places_of(input.shape[2:], weight.shape[2:], stride, padding, dilation)
    shape = (input.shape[0], weight.shape[0], *places)
    return Inferred((None, None, None), ((shape, input.dtype, dense_like(input, shape)),))


def _infer_shape(name: str) -> Any:
    def infer(grad: Spec, other: Spec, **attributes: Any) -> Inferred:
        _same_dtype(grad, other)
        shape = attributes[name]
        strides = dense_like(grad, shape) if name == "input_shape" else None
        return Inferred((None, None), ((shape, grad.dtype, strides),))

    return infer


# float64 references: one kernel offset at a time


def _grouped(x: Any, groups: int, dim: int) -> Any:
    return x.reshape(*x.shape[:dim], groups, x.shape[dim] // groups, *x.shape[dim + 1 :])


def _conv_reference(
    x: Any, w: Any, b: Any = None, *, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Any:
    places = places_of(x.shape[2:], w.shape[2:], stride, padding, dilation)
    padded = padded_array(x, padding, padding)
    out = np.zeros((len(x), groups, len(w) // groups, *places))
    for offset, where in offsets(w.shape[2:], places, stride, dilation):
        seen = _grouped(padded[where], groups, 1)
        out += np.einsum("ngc...,goc->ngo...", seen, _grouped(w, groups, 0)[(..., *offset)])
    out = out.reshape(len(x), len(w), *places)
    return out if b is None else out + b.reshape(-1, *[1] * len(places))


def _grad_input_reference(
    g: Any, w: Any, *, input_shape: Sizes, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    size = [n + 2 * p for n, p in zip(input_shape[2:], padding, strict=True)]
    padded = np.zeros((*input_shape[:2], *size))
    grouped = _grouped(g, groups, 1)
    for offset, where in offsets(w.shape[2:], g.shape[2:], stride, dilation):
        part = np.einsum("ngo...,goc->ngc...", grouped, _grouped(w, groups, 0)[(..., *offset)])
        padded[where] += part.reshape(padded[where].shape)
    inner = tuple(slice(p, p + n) for p, n in zip(padding, input_shape[2:], strict=True))
    return padded[(..., *inner)]


def _grad_weight_reference(
    g: Any, x: Any, *, weight_shape: Sizes, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    out = np.zeros((groups, weight_shape[0] // groups, *weight_shape[1:]))
    padded, grouped = padded_array(x, padding, padding), _grouped(g, groups, 1)
    flat = grouped.reshape(*grouped.shape[:3], math.prod(g.shape[2:]))
    for offset, where in offsets(weight_shape[2:], g.shape[2:], stride, dilation):
        seen = _grouped(padded[where], groups, 1).reshape(
            len(x), groups, weight_shape[1], math.prod(g.shape[2:])
        )
        out[(..., *offset)] = np.einsum("ngcl,ngol->goc", seen, flat)
    return out.reshape(weight_shape)


# x, w and the options of convolutions to try
_TRIED: tuple[tuple[Sizes, Sizes, Any, Any, Any, int], ...] = (
    ((2, 3, 5), (4, 3, 2), 1, 0, 1, 1),
    ((1, 4, 7), (6, 2, 3), 2, 1, 2, 2),
    ((2, 3, 6, 5), (4, 3, 3, 3), 1, 1, 1, 1),
    ((2, 4, 7, 8), (6, 2, 3, 2), (2, 1), (1, 0), (1, 2), 2),
    ((1, 3, 5, 5), (3, 1, 1, 1), 1, 0, 1, 3),
    ((1, 3, 5), (3, 3, 3), 1, 0, 1, 1),
    ((1, 2, 9, 8), (4, 1, 3, 3), (3, 2), (2, 1), 1, 2),
    ((0, 2, 4, 4), (3, 2, 2, 2), 1, 0, 1, 1),
    ((1, 2, 4, 5, 4), (2, 2, 2, 3, 2), (1, 2, 1), (1, 1, 0), 1, 1),
)


def _tried() -> Any:
    for x, w, stride, padding, dilation, groups in _TRIED:
        n = len(x) - 2
        spread = [v if isinstance(v, tuple) else (v,) * n for v in (stride, padding, dilation)]
        options = dict(zip(("stride", "padding", "dilation"), spread, strict=True))
        y = (x[0], w[0], *places_of(x[2:], w[2:], *spread))
        yield x, w, y, {**options, "groups": groups}


def _conv_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for x, w, _, options in _tried():
        pair = (draw(rng, x, dtype, -1, 1), draw(rng, w, dtype, -1, 1))
        made.append(Sample((*pair, draw(rng, w[:1], dtype, -1, 1)), options))
        made.append(Sample((*pair, None), options))
    return made


def _grad_input_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample(
            (draw(rng, y, dtype, -1, 1), draw(rng, w, dtype, -1, 1)), {"input_shape": x, **options}
        )
        for x, w, y, options in _tried()
    ]


def _grad_weight_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample(
            (draw(rng, y, dtype, -1, 1), draw(rng, x, dtype, -1, 1)), {"weight_shape": w, **options}
        )
        for x, w, y, options in _tried()
    ]


def _bilinear(name: str, inputs: tuple[str, ...], gradient: Any, **fields: Any) -> Record:
    return composite(
        name,
        inputs=inputs,
        gradient=gradient,
        accepts=d.FLOATING,
        compute=d.float32,
        method=False,
        public=False,
        tolerance=_TOLERANCE,
        **fields,
    )


@_bilinear(
    "conv",
    ("input", "weight", "bias"),
    {
        "input": lambda g, weight, specs, stride, padding, dilation, groups: ops.conv_grad_input(
            g,
            weight,
            input_shape=tuple(specs[0].shape),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        ),
        "weight": lambda g, input, specs, stride, padding, dilation, groups: ops.conv_grad_weight(
            g,
            input,
            weight_shape=tuple(specs[1].shape),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        ),
        "bias": lambda g: g.sum((0, *range(2, g.ndim))),
    },
    infer=_infer_conv,
    reference=_conv_reference,
    samples=_conv_samples,
)
def conv(
    input: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Any:
    """Cross-correlation of ``input`` with ``weight``, plus ``bias`` (O) per output channel."""
    kernel = tuple(weight.shape[2:])
    places = places_of(input.shape[2:], kernel, stride, padding, dilation)
    columns = side_by_side(input, kernel, places, stride, padding, dilation, groups)
    matrix = weight.reshape(groups, weight.shape[0] // groups, columns.shape[2])
    out = matrix.matmul(columns).reshape(input.shape[0], weight.shape[0], *places)
    return out if bias is None else out + bias.reshape(-1, *[1] * len(places))


@_bilinear(
    "conv_grad_input",
    ("grad", "weight"),
    {
        "grad": lambda g, weight, stride, padding, dilation, groups: ops.conv(
            g, weight, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
        "weight": lambda g, grad, specs, stride, padding, dilation, groups: ops.conv_grad_weight(
            grad,
            g,
            weight_shape=tuple(specs[1].shape),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        ),
    },
    infer=_infer_shape("input_shape"),
    reference=_grad_input_reference,
    samples=_grad_input_samples,
)
def conv_grad_input(
    grad: Any,
    weight: Any,
    *,
    input_shape: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Any:
    """The gradient of ``conv`` for its input, of shape ``input_shape``, given its output's."""
    kernel, places = tuple(weight.shape[2:]), tuple(grad.shape[2:])
    batch, channels, *size = input_shape
    outputs = weight.shape[0] // groups
    matrix = weight.reshape(groups, outputs, -1 if weight.numel() else 0).transpose(1, 2)
    columns = matrix.matmul(grad.reshape(batch, groups, outputs, math.prod(places)))
    padded = (batch, channels, *(n + 2 * p for n, p in zip(size, padding, strict=True)))
    view = window_view(padded, kernel, places, stride, dilation)
    whole = ops.strided_backward(
        columns.reshape(view[0]),
        shape=padded,
        rule=("strided", (*view, 0, contiguous_strides(padded))),
    )
    for i, (start, n) in enumerate(zip(padding, size, strict=True)):
        whole = whole.narrow(2 + i, start, n)
    return whole.contiguous()


@_bilinear(
    "conv_grad_weight",
    ("grad", "input"),
    {
        "grad": lambda g, input, stride, padding, dilation, groups: ops.conv(
            input, g, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
        "input": lambda g, grad, specs, stride, padding, dilation, groups: ops.conv_grad_input(
            grad,
            g,
            input_shape=tuple(specs[1].shape),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        ),
    },
    infer=_infer_shape("weight_shape"),
    reference=_grad_weight_reference,
    samples=_grad_weight_samples,
)
def conv_grad_weight(
    grad: Any,
    input: Any,
    *,
    weight_shape: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Any:
    """The gradient of ``conv`` for its weight, of shape ``weight_shape``, given its output's."""
    kernel, places = weight_shape[2:], tuple(grad.shape[2:])
    columns = side_by_side(input, kernel, places, stride, padding, dilation, groups)
    rows = columns.shape[2]
    length = input.shape[0] * math.prod(places)
    right = columns.permute(1, 0, 3, 2).reshape(groups, length, rows)
    left = grad.reshape(input.shape[0], groups, weight_shape[0] // groups, math.prod(places))
    left = left.permute(1, 2, 0, 3).reshape(groups, weight_shape[0] // groups, length)
    return left.matmul(right).reshape(weight_shape)


def _transposed_shape(
    x: Any,
    w: Any,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Sizes:
    size = tuple(
        (n - 1) * s - 2 * p + q * (k - 1) + e + 1
        for n, k, s, p, e, q in zip(
            x.shape[2:], w.shape[2:], stride, padding, output_padding, dilation, strict=True
        )
    )
    if min(size) < 0:
        raise RuntimeError(
            f"conv_transpose: output sizes must not be negative, got {size} of input sizes "
            f"{tuple(x.shape[2:])} with kernel {tuple(w.shape[2:])}, stride {tuple(stride)} and "
            f"padding {tuple(padding)}"
        )
    return (x.shape[0], w.shape[1] * groups, *size)


def _infer_transpose(input: Spec, weight: Spec, bias: Any, **geometry: Any) -> Inferred:
    _same_dtype(input, weight)
    _same_dtype(input, bias, "bias")
    shape = _transposed_shape(input, weight, **geometry)
    return Inferred((None, None, None), ((shape, input.dtype),))


def _transpose_reference(
    x: Any, w: Any, b: Any = None, *, output_padding: Sizes, **options: Any
) -> Any:
    steps = (options[name] for name in ("stride", "padding", "dilation"))
    ends = (  # not by _transposed_shape: a mistake there must show
        s * (n - 1) + q * (k - 1) + 1 + e - p - p
        for n, k, e, s, p, q in zip(x.shape[2:], w.shape[2:], output_padding, *steps, strict=True)
    )
    shape = (len(x), w.shape[1] * options["groups"], *ends)
    out = _grad_input_reference(x, w, input_shape=shape, **options)
    return out if b is None else out + b.reshape(-1, *[1] * (x.ndim - 2))


def _transpose_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for _, w, y, options in _tried():
        extra = tuple(s - 1 for s in options["stride"])
        bias = draw(rng, (w[1] * options["groups"],), dtype, -1, 1)
        pair = (draw(rng, y, dtype, -1, 1), draw(rng, w, dtype, -1, 1))
        made.append(Sample((*pair, bias), {**options, "output_padding": extra}))
    return made


@composite(
    "conv_transpose",
    inputs=("input", "weight", "bias"),
    infer=_infer_transpose,
    accepts=d.FLOATING,
    method=False,
    public=False,
    reference=_transpose_reference,
    samples=_transpose_samples,
    tolerance=_TOLERANCE,
)
def conv_transpose(
    input: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Any:
    """``conv_grad_input`` as a layer: input (N, O, *S'), weight (O, C / groups, *K), bias (C)."""
    shape = _transposed_shape(input, weight, stride, padding, output_padding, dilation, groups)
    out = ops.conv_grad_input(
        input,
        weight,
        input_shape=shape,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return out if bias is None else out + bias.reshape(-1, *[1] * (input.ndim - 2))
