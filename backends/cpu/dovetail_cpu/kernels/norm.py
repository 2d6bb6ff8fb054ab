"""batch_norm and layer_norm with their gradients, a block at a time.

Statistics take two passes (the mean, then what is left of it), as float32 needs. Sums over dense
rows are ``einsum``'s, which are the quickest that NumPy has; sums over rows are products with ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.blocks import BLOCK, row_blocks, scratch

__all__ = ["enter"]

Array = np.ndarray


# batch_norm: (N, C, L), per channel


def _planes(x: Array) -> Array:
    """(N, C, *S) as (N, C, L), dense."""
    return np.ascontiguousarray(x).reshape(*x.shape[:2], -1)


def _samples(x: Array) -> Iterator[slice]:
    """Slices of the batch of about a block each."""
    step = max(BLOCK // max(x[0].size, 1), 1) if len(x) else 1
    for start in range(0, len(x), step):
        yield slice(start, min(start + step, len(x)))


def _sum(x: Array, y: Array | None = None) -> Array:
    """(n, C, L) -> (C): the sums of x, or of x · y."""
    if x.shape[2] == 1:
        x = x[:, :, 0]
        return np.einsum("nc->c", x) if y is None else np.einsum("nc,nc->c", x, y[:, :, 0])
    if y is None:
        return np.einsum("ncl->nc", x).sum(0)
    return np.einsum("ncl,ncl->nc", x, y).sum(0)


def _work(part: Array, number: int = 0) -> Array:
    return scratch(part.dtype, part.size, number).reshape(part.shape)


def batch_norm_train(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    out: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
) -> None:
    """The normalised input, and each channel's mean and biased variance."""
    x = _planes(input)
    count = x.shape[0] * x.shape[2]
    parts = list(_samples(x))
    np.divide(sum((_sum(x[p]) for p in parts), np.zeros_like(mean)), count, out=mean)
    var[...] = 0
    for p in parts:
        centred = np.subtract(x[p], mean[:, None], out=_work(x[p]))
        var += _sum(centred, centred)
    var /= count
    _scaled(x, mean, var, weight, bias, eps, out, parts)


def _scaled(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    out: Array,
    parts: list[slice],
) -> None:
    scale = 1 / np.sqrt(var + var.dtype.type(eps))
    if weight is not None:
        scale *= weight
    direct = out.flags.c_contiguous
    y = out.reshape(x.shape) if direct else np.empty_like(x)
    for p in parts:
        np.subtract(x[p], mean[:, None], out=y[p])
        np.multiply(y[p], scale[:, None], out=y[p])
        if bias is not None:
            np.add(y[p], bias[:, None], out=y[p])
    if not direct:
        out[...] = y.reshape(out.shape)


def batch_norm_eval(
    input: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    out: Array,
    *,
    eps: float,
) -> None:
    """The input normalised with a mean and a variance that are given."""
    x = _planes(input)
    _scaled(x, mean, var, weight, bias, eps, out, list(_samples(x)))


def batch_norm_train_backward(
    grad: Array,
    input: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    of_input: Array,
    of_weight: Array,
    of_bias: Array,
    *,
    eps: float,
) -> None:
    """Gradients for input, weight and bias."""
    g, x = _planes(grad), _planes(input)
    count = max(x.shape[0] * x.shape[2], 1)
    parts = list(_samples(x))
    scale = 1 / np.sqrt(var + var.dtype.type(eps))
    of_weight[...] = 0
    of_bias[...] = 0
    for p in parts:
        centred = np.subtract(x[p], mean[:, None], out=_work(x[p]))
        np.add(of_weight, _sum(g[p], centred), out=of_weight)
        np.add(of_bias, _sum(g[p]), out=of_bias)
    of_weight *= scale
    slope = scale if weight is None else scale * weight
    tilt, level = (of_weight * scale / count)[:, None], (of_bias / count)[:, None]
    direct = of_input.flags.c_contiguous
    result = of_input.reshape(x.shape) if direct else np.empty_like(x)
    for p in parts:
        centred = np.subtract(x[p], mean[:, None], out=_work(x[p]))
        np.multiply(centred, tilt, out=centred)
        np.add(centred, level, out=centred)
        np.subtract(g[p], centred, out=result[p])
        np.multiply(result[p], slope[:, None], out=result[p])
    if not direct:
        of_input[...] = result.reshape(of_input.shape)


# layer_norm: (R, n), per row


def _table(x: Array, columns: int) -> Array:
    return np.ascontiguousarray(x).reshape(-1, columns)


def layer_norm(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    out: Array,
    mean: Array,
    rstd: Array,
    *,
    normalized_shape: tuple[int, ...],
    eps: float,
) -> None:
    """The normalised input, and each row's mean and 1 / sqrt(variance + eps)."""
    n = math.prod(normalized_shape)
    if not out.size:
        return
    x = _table(input, n)
    direct = out.flags.c_contiguous
    y = out.reshape(x.shape) if direct else np.empty_like(x)
    means, scales = mean.reshape(-1), rstd.reshape(-1)
    affine = [None if v is None else v.reshape(-1) for v in (weight, bias)]
    for p in row_blocks(len(x), n):
        np.divide(np.einsum("ij->i", x[p]), n, out=means[p])
        np.subtract(x[p], means[p, None], out=y[p])
        variance = np.einsum("ij,ij->i", y[p], y[p]) / x.dtype.type(n) + x.dtype.type(eps)
        np.divide(1, np.sqrt(variance), out=scales[p])
        np.multiply(y[p], scales[p, None], out=y[p])
        if affine[0] is not None:
            np.multiply(y[p], affine[0], out=y[p])
        if affine[1] is not None:
            np.add(y[p], affine[1], out=y[p])
    if not direct:
        out[...] = y.reshape(out.shape)


def layer_norm_backward(
    grad: Array,
    input: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    of_input: Array,
    of_weight: Array,
    of_bias: Array,
    *,
    normalized_shape: tuple[int, ...],
) -> None:
    """Gradients for input, weight and bias."""
    n = math.prod(normalized_shape)
    of_weight[...] = 0
    of_bias[...] = 0
    if not of_input.size:
        return
    g, x = _table(grad, n), _table(input, n)
    direct = of_input.flags.c_contiguous
    result = of_input.reshape(x.shape) if direct else np.empty_like(x)
    means, scales = mean.reshape(-1, 1), rstd.reshape(-1, 1)
    sums = [v.reshape(-1) for v in (of_weight, of_bias)]
    factor = None if weight is None else weight.reshape(-1)
    for p in row_blocks(len(x), n):
        size = (p.stop - p.start, n)
        normal = scratch(x.dtype, size[0] * n).reshape(size)
        work = scratch(x.dtype, size[0] * n, 1).reshape(size)
        np.subtract(x[p], means[p], out=normal)
        np.multiply(normal, scales[p], out=normal)
        ones = np.ones(size[0], x.dtype)
        np.multiply(normal, g[p], out=work)
        sums[0] += ones @ work
        sums[1] += ones @ g[p]
        slope = g[p]
        if factor is not None:
            slope = np.multiply(g[p], factor, out=work)
        level = np.einsum("ij->i", slope)[:, None] / x.dtype.type(n)
        tilt = np.einsum("ij,ij->i", slope, normal)[:, None] / x.dtype.type(n)
        np.multiply(normal, tilt, out=normal)
        np.add(normal, level, out=normal)
        np.subtract(slope, normal, out=result[p])
        np.multiply(result[p], scales[p], out=result[p])
    if not direct:
        of_input[...] = result.reshape(of_input.shape)


def _one_dtype(facts: Any) -> bool:
    return len({s.dtype for s in facts.inputs if s is not None}) == 1


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    for kernel in (
        batch_norm_train,
        batch_norm_train_backward,
        batch_norm_eval,
        layer_norm,
        layer_norm_backward,
    ):
        table.add(kernel.__name__, kernel, dtypes=(float32, float64), when=_one_dtype)
