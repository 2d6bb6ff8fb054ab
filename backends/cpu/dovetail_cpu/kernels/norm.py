"""batch_norm and layer_norm with their gradients, a block at a time.

Statistics take two passes (the mean, then what is left of it), as float32 needs. Sums over dense
rows are ``einsum``'s, which are the quickest that NumPy has; sums over rows are products with ones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.blocks import KEPT, row_blocks, scratch
from dovetail_cpu.onednn import pointwise
from dovetail_cpu.onednn.session import current

__all__ = ["enter"]

Array = np.ndarray


def _einsum(x: Array, y: Array) -> Array:
    return np.einsum("...l,...l->...", x, y)


_dot = getattr(np, "vecdot", _einsum)  # NumPy 2's is twice as fast

# batch_norm: (N, C, L), per channel


def _planes(x: Array) -> Array:
    """(N, C, *S) as (N, C, L), dense."""
    return np.ascontiguousarray(x).reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _tiles(x: Array) -> list[tuple[slice, slice]]:
    """Slices of samples and of channels, each as large as scratch memory."""
    batch, channels, length = x.shape
    samples = max(KEPT // max(channels * length, 1), 1)
    some = channels if samples > 1 else min(KEPT // max(length, 1), channels)
    some = max(some, 1)
    return [
        (slice(n, n + samples), slice(c, c + some))
        for n in range(0, batch, samples)
        for c in range(0, channels, some)
    ]


def _sum(x: Array, y: Array | None = None) -> Array:
    """(n, C, L) -> (C): the sums of x, or of x · y."""
    if x.shape[2] == 1:
        x = x[:, :, 0]
        return np.einsum("nc->c", x) if y is None else np.einsum("nc,nc->c", x, y[:, :, 0])
    if y is None:
        return np.einsum("ncl->nc", x).sum(0)
    return _dot(x, y).sum(0)


def _centred(part: Array, mean: Array) -> Array:
    """``part - mean`` in scratch memory."""
    work = scratch(part.dtype, part.size).reshape(part.shape)
    return np.subtract(part, mean[:, None], out=work)


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
    count = max(x.shape[0] * x.shape[2], 1)
    tiles = _tiles(x)
    mean[...] = var[...] = 0
    for tile in tiles:
        mean[tile[1]] += _sum(x[tile])
    mean /= count
    for tile in tiles:
        centred = _centred(x[tile], mean[tile[1]])
        var[tile[1]] += _sum(centred, centred)
    var /= count
    _scaled(x, mean, var, weight, bias, eps, out)


def _scaled(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    out: Array,
) -> None:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` as one product and one sum."""
    scale = 1 / np.sqrt(var + var.dtype.type(eps))
    if weight is not None:
        scale *= weight
    shift = -mean * scale
    if bias is not None:
        shift += bias
    direct = out.flags.c_contiguous
    y = out.reshape(x.shape) if direct else np.empty_like(x)
    for tile in _tiles(x):
        part = y[tile]
        np.multiply(x[tile], scale[tile[1], None], out=part)
        np.add(part, shift[tile[1], None], out=part)
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
    _scaled(_planes(input), mean, var, weight, bias, eps, out)


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
    tiles = _tiles(x)
    scale = 1 / np.sqrt(var + var.dtype.type(eps))
    of_weight[...] = of_bias[...] = 0
    for tile in tiles:
        of_weight[tile[1]] += _sum(g[tile], _centred(x[tile], mean[tile[1]]))
        of_bias[tile[1]] += _sum(g[tile])
    of_weight *= scale
    slope = scale if weight is None else scale * weight
    tilt, level = of_weight * scale / count, of_bias / count
    direct = of_input.flags.c_contiguous
    result = of_input.reshape(x.shape) if direct else np.empty_like(x)
    for tile in tiles:
        channels, part = tile[1], result[tile]
        centred = _centred(x[tile], mean[channels])
        np.multiply(centred, tilt[channels, None], out=centred)
        np.add(centred, level[channels, None], out=centred)
        np.subtract(g[tile], centred, out=part)
        np.multiply(part, slope[channels, None], out=part)
    if not direct:
        of_input[...] = result.reshape(of_input.shape)


# layer_norm: (R, n), per row


def _table(x: Array, columns: int) -> Array:
    return np.ascontiguousarray(x).reshape(-1, columns)


def _session_for(x: Array, *others: Array) -> Any:
    """oneDNN's session where it may work on these arrays."""
    if x.dtype != np.float32 or not all(a.flags.c_contiguous for a in others):
        return None
    return current()


def _vector(values: Array | None, like: Array, default: float) -> Array:
    """(n,): ``values``, or the default everywhere."""
    if values is None:
        return np.full(like.shape[1], default, like.dtype)
    return np.ascontiguousarray(values).reshape(-1)


def _native_forward(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    out: Array,
    mean: Array,
    rstd: Array,
    eps: float,
) -> bool:
    session = _session_for(x, out, mean, rstd)
    if session is None:
        return False
    variance = rstd.reshape(-1)  # until it is turned into what it should hold
    arrays = {
        "src": x,
        "dst": out.reshape(x.shape),
        "mean": mean.reshape(-1),
        "variance": variance,
        "scale": _vector(weight, x, 1.0),
        "shift": _vector(bias, x, 0.0),
    }
    if not pointwise.layer_norm(session, arrays, eps):
        return False
    np.add(variance, x.dtype.type(eps), out=variance)
    np.sqrt(variance, out=variance)
    np.reciprocal(variance, out=variance)
    return True


def _native_backward(
    g: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    of_input: Array,
    of_weight: Array,
    of_bias: Array,
) -> bool:
    session = _session_for(x, of_input, of_weight, of_bias, mean, rstd)
    if session is None:
        return False
    scale = _vector(weight, x, 1.0)
    arrays = {
        "src": x,
        "diff_dst": g,
        "diff_src": of_input.reshape(x.shape),
        "mean": mean.reshape(-1),
        "variance": 1 / np.square(rstd.reshape(-1)),  # eps is in it
        "scale": scale,
        "shift": scale,
        "diff_scale": of_weight.reshape(-1),
        "diff_shift": of_bias.reshape(-1),
    }
    return pointwise.layer_norm_backward(session, arrays, 0.0)


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
    if _native_forward(x, weight, bias, out, mean, rstd, eps):
        return
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
    if _native_backward(g, x, mean, rstd, weight, of_input, of_weight, of_bias):
        return
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
