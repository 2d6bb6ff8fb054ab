"""Products, convolutions and pooling: what works on windows of an image, or on rows and columns.

As in ``instructions``: operands have a leading dim over tiles, and each function here makes one of
``(out, *inputs)`` from an instruction's parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dovetail_dlp.chip.half import is_half, widened

__all__ = ["conv", "conv_input", "conv_weight", "matmul", "pool", "spread", "vector_matmul"]

Array = Any
Function = Callable[..., None]


def _operand(x: Array) -> Array:
    """As the matrix unit multiplies and adds up: in float32, whatever it is given."""
    return x.astype(np.float32, copy=False)


def matmul(accumulate: bool) -> Function:
    def run(out: Array, a: Array, b: Array) -> None:
        made = np.matmul(_operand(a), _operand(b))
        out[...] = out + made if accumulate else made

    return run


def vector_matmul(accumulate: bool) -> Function:
    """In the dtype of the operands; half precision in float32."""

    def run(out: Array, a: Array, b: Array) -> None:
        kind = np.float32 if is_half(a.dtype) else out.dtype
        made = np.matmul(a.astype(kind, copy=False), b.astype(kind, copy=False))
        out[...] = out + made if accumulate else made

    return run


def _windows(
    x: Array, kernel: Any, stride: Any, dilation: Any, padding: Any, value: float
) -> Array:
    """(B, C, outer..., window...) of x: (B, C, spatial...)."""
    if any(p != (0, 0) for p in padding):
        x = np.pad(x, ((0, 0), (0, 0), *padding), constant_values=value)
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    axes = tuple(range(2, 2 + len(kernel)))
    view = sliding_window_view(x, spans, axes)
    steps = tuple(slice(None, None, s) for s in stride)
    inner = tuple(slice(None, None, d) for d in dilation)
    return view[(slice(None), slice(None), *steps, *inner)]


def _columns(x: Array, kernel: Any, stride: Any, dilation: Any, padding: Any) -> Array:
    """(B, C * window, outer) of x: (B, C, spatial...)."""
    view = _windows(x, kernel, stride, dilation, padding, 0)
    n = len(kernel)
    order = (0, 1, *range(2 + n, 2 + 2 * n), *range(2, 2 + n))
    batch, channels = view.shape[:2]
    return view.transpose(order).reshape(batch, channels * math.prod(kernel), -1)


def conv(stride: Any, padding: Any, dilation: Any, accumulate: bool) -> Function:
    """x: (C, spatial...), w: (O, C, kernel...), out: (O, outer...)."""

    def run(out: Array, x: Array, w: Array) -> None:
        columns = _columns(_operand(x), w.shape[3:], stride, dilation, padding)
        made = np.matmul(_operand(w).reshape(w.shape[0], w.shape[1], -1), columns).reshape(
            out.shape
        )
        out[...] = out + made if accumulate else made

    return run


def conv_weight(stride: Any, padding: Any, dilation: Any, accumulate: bool) -> Function:
    """The weight's gradient. g: (N, O, outer...), x: (N, C, spatial...), out: (O, C, kernel...)."""

    def run(out: Array, g: Array, x: Array) -> None:
        batch, images = x.shape[:2]
        whole = _operand(x).reshape(batch * images, *x.shape[2:])
        columns = _columns(whole, out.shape[3:], stride, dilation, padding)
        columns = columns.reshape(batch, images, *columns.shape[1:])
        flat = _operand(g).reshape(batch, images, g.shape[2], -1)
        made = np.matmul(flat, columns.swapaxes(2, 3)).sum(1).reshape(out.shape)
        out[...] = out + made if accumulate else made

    return run


def conv_input(stride: Any, padding: Any, dilation: Any, accumulate: bool) -> Function:
    """The input's gradient. g: (O, outer...), w: (O, C, kernel...), out: (C, spatial...)."""

    def run(out: Array, g: Array, w: Array) -> None:
        batch, channels, kernel = g.shape[0], w.shape[2], w.shape[3:]
        flat = _operand(w).reshape(w.shape[0], w.shape[1], -1).swapaxes(1, 2)
        columns = np.matmul(flat, _operand(g).reshape(batch, g.shape[1], -1))
        columns = columns.reshape(batch, channels, *kernel, *g.shape[2:])
        sizes = [n + a + b for n, (a, b) in zip(out.shape[2:], padding, strict=True)]
        made = np.zeros((batch, channels, *sizes), columns.dtype)
        for place in np.ndindex(*kernel):
            where = tuple(
                slice(p * d, p * d + (n - 1) * s + 1, s)
                for p, d, s, n in zip(place, dilation, stride, g.shape[2:], strict=True)
            )
            made[(slice(None), slice(None), *where)] += columns[(slice(None), slice(None), *place)]
        inner = tuple(slice(a, a + n) for n, (a, _) in zip(out.shape[2:], padding, strict=True))
        made = made[(slice(None), slice(None), *inner)]
        out[...] = out + made if accumulate else made

    return run


def pool(kind: str, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Function:
    """x: (C, spatial...), out: (C, outer...); ``kind`` is max, sum or argmax (row-major in x)."""
    lowest = -np.inf

    def run(out: Array, x: Array) -> None:
        n = len(kernel)
        if kind == "sum":
            view = _windows(widened(x), kernel, stride, dilation, padding, 0)
            out[...] = view.sum(tuple(range(-n, 0)), dtype=np.float32)
            return
        low = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else lowest
        view = _windows(widened(x), kernel, stride, dilation, padding, low)
        if kind == "max":
            out[...] = view.max(tuple(range(-n, 0)))
            return
        flat = view.reshape(*view.shape[:-n], -1)
        if any(p != (0, 0) for p in padding):  # the edge is never the largest, nor is it first
            inside = _windows(np.ones(x.shape, bool), kernel, stride, dilation, padding, 0)
            inside = inside.reshape(flat.shape)
            first = (inside & ((flat == flat.max(-1, keepdims=True)) | (flat != flat))).argmax(-1)
        else:
            first = flat.argmax(-1)
        places = np.unravel_index(first, kernel)
        flat = np.zeros(first.shape, np.int64)
        for dim, place in enumerate(places):
            begin = np.arange(out.shape[2 + dim]) * stride[dim] - padding[dim][0]
            begin = begin.reshape(-1, *[1] * (n - dim - 1))
            flat = flat * x.shape[2 + dim] + begin + place * dilation[dim]
        out[...] = flat

    return run


def spread(kernel: Any, stride: Any, padding: Any, dilation: Any) -> Function:
    """Every g (C, outer...) added to all places of its window in out (C, spatial...)."""

    def run(out: Array, g: Array) -> None:
        sizes = [n + a + b for n, (a, b) in zip(out.shape[2:], padding, strict=True)]
        made = np.zeros((*out.shape[:2], *sizes), np.float32)
        for place in np.ndindex(*kernel):
            where = tuple(
                slice(p * d, p * d + (n - 1) * s + 1, s)
                for p, d, s, n in zip(place, dilation, stride, g.shape[2:], strict=True)
            )
            made[(slice(None), slice(None), *where)] += g
        inner = tuple(slice(a, a + n) for n, (a, _) in zip(out.shape[2:], padding, strict=True))
        out[...] = made[(slice(None), slice(None), *inner)]

    return run
