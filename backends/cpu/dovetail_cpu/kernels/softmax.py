"""softmax, log_softmax, cross_entropy and their gradients, a few rows at a time.

The dim of the classes is brought last; each row of classes is then dense, or copied to be.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.blocks import BLOCK, row_blocks, scratch
from dovetail_cpu.onednn import pointwise
from dovetail_cpu.onednn.session import current

__all__ = ["enter"]

_SHORT = 32
"""Rows of fewer elements are done column by column, and few of them by NumPy."""

Array = np.ndarray
Rows = Callable[..., None]
Native = Callable[..., bool]


def _largest(x: Array) -> Array:
    """(R, n) -> (R, 1)."""
    if x.shape[1] > 16 or len(x) < 256:
        return np.maximum.reduce(x, axis=1, keepdims=True)
    most = x[:, 0].copy()  # many short rows: column by column
    for column in range(1, x.shape[1]):
        np.maximum(most, x[:, column], out=most)
    return most[:, None]


def _total(x: Array) -> Array:
    """(R, n) -> (R, 1)."""
    return np.einsum("ij->i", x)[:, None]


def _softmax(x: Array, out: Array) -> None:
    np.subtract(x, _largest(x), out=out)
    np.exp(out, out=out)
    np.divide(out, _total(out), out=out)


def _log_softmax(x: Array, out: Array) -> None:
    np.subtract(x, _largest(x), out=out)
    e = np.exp(out, out=scratch(out.dtype, out.size).reshape(out.shape))
    np.subtract(out, np.log(_total(e)), out=out)


def _softmax_backward(grad: Array, output: Array, out: Array) -> None:
    inner = np.einsum("ij,ij->i", grad, output)[:, None]
    np.subtract(grad, inner, out=out)
    np.multiply(out, output, out=out)


def _log_softmax_backward(grad: Array, output: Array, out: Array) -> None:
    np.exp(output, out=out)
    np.multiply(out, _total(grad), out=out)
    np.subtract(grad, out, out=out)


def _over_rows(rows: Rows, native: Native | None) -> Callable[[Any], Callable[..., None]]:
    """``rows(*inputs, out)`` on matrices as a table entry: ``dim`` last, some rows at a time.

    Args:
        native: the same by oneDNN, for finite numbers; None: NumPy is as good.
    """

    def specialised(facts: Any) -> Callable[..., None]:
        spec, dim = facts.outputs[0], facts.attributes["dim"]
        n = spec.shape[dim] if spec.ndim else 1
        specs = (*facts.inputs, spec)
        is_last = dim in (-1, spec.ndim - 1) or spec.ndim == 0
        if not spec.numel:
            return lambda *arrays: None
        if not is_last or not all(s.is_contiguous for s in specs):
            return partial(_moved, rows, dim, n)
        shape = (spec.numel // n, n)
        is_large = n >= _SHORT and spec.numel >= _SHORT * _SHORT and spec.dtype is float32
        if native is not None and is_large:
            return partial(_accelerated, rows, native, shape)
        if spec.numel > BLOCK:
            return partial(_in_parts, rows, shape)
        if tuple(spec.shape) == shape:
            return rows
        return lambda *arrays: rows(*[a.reshape(shape) for a in arrays])

    return specialised


def _in_parts(rows: Rows, shape: tuple[int, int], *arrays: Array) -> None:
    tables = [a.reshape(shape) for a in arrays]
    for part in row_blocks(*shape):
        rows(*[t[part] for t in tables])


def _moved(rows: Rows, dim: int, n: int, *arrays: Array) -> None:
    """Dense copies with ``dim`` last, and the result moved back."""
    tables = [np.moveaxis(a, dim, -1).reshape(-1, n) for a in arrays[:-1]]
    result = np.empty_like(tables[0])
    for part in row_blocks(len(result), n):
        rows(*[t[part] for t in tables], result[part])
    moved = np.moveaxis(arrays[-1], dim, -1)
    moved[...] = result.reshape(moved.shape)


def _accelerated(rows: Rows, native: Native, shape: tuple[int, int], *arrays: Array) -> None:
    session = current()
    # oneDNN would turn infinities and NaN into numbers.
    is_finite = session is not None and np.isfinite(np.einsum("i->", arrays[0].reshape(-1)))
    if not (is_finite and native(session, *(a.reshape(shape) for a in arrays))):
        _in_parts(rows, shape, *arrays)


# cross_entropy: out0 is the loss, out1 the probabilities


def _safe(target: Array, ignore_index: int) -> tuple[Array, Array | None]:
    """(targets to index with, which of them count; None: all)."""
    kept = target != ignore_index
    return (target, None) if kept.all() else (np.where(kept, target, 0), kept)


def _factors(target: Array, kept: Array | None, weight: Array | None, dtype: Any) -> Array | None:
    """The factor of each target; None where all are 1."""
    if weight is not None:
        factor = weight[target]
        return factor if kept is None else factor * kept
    return None if kept is None else kept.astype(dtype)


def _as_table(x: Array, target: Array) -> tuple[Array, Array]:
    """(R, C) and (R,) of input (N, C, *) or (C) and target (N, *) or ()."""
    if x.ndim == 1:
        return x[None], target.reshape(1)
    if x.ndim > 2:
        x = np.moveaxis(x, 1, -1)
    return np.ascontiguousarray(x.reshape(-1, x.shape[-1])), target.reshape(-1)


def _put(table: Array, out: Array) -> None:
    """The inverse of :func:`_as_table`."""
    moved = np.moveaxis(out, 1, -1) if out.ndim > 2 else out
    moved[...] = table.reshape(moved.shape)


def cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None,
    loss: Array,
    probabilities: Array,
    *,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> None:
    """The loss of logits and class indices, and softmax(input)."""
    x, targets = _as_table(input, target)
    rows, classes = x.shape
    direct = probabilities.ndim == 2 and probabilities.flags.c_contiguous
    p = probabilities if direct else np.empty_like(x)
    safe, kept = _safe(targets, ignore_index)
    each = np.empty(rows, x.dtype)
    smooth = np.empty(rows, x.dtype) if label_smoothing else None
    counter = np.arange(rows)
    for part in row_blocks(rows, classes):
        q = p[part]
        np.subtract(x[part], _largest(x[part]), out=q)
        picked = q[counter[: len(q)], safe[part]]
        if smooth is not None:
            spread = np.einsum("ij->i", q) if weight is None else q @ weight
        np.exp(q, out=q)
        total = np.einsum("ij->i", q)
        logs = np.log(total)
        np.subtract(logs, picked, out=each[part])
        if smooth is not None:
            smooth[part] = logs * (classes if weight is None else weight.sum()) - spread
        np.divide(q, total[:, None], out=q)
    if not direct:
        _put(p, probabilities)
    factor = _factors(safe, kept, weight, x.dtype)
    if factor is not None:
        each *= factor
    if smooth is not None:
        if kept is not None:
            smooth *= kept
        each *= 1 - label_smoothing
        smooth *= label_smoothing / classes
        each += smooth
    if reduction == "none":
        loss[...] = each.reshape(loss.shape)
    elif reduction == "sum":
        loss[...] = each.sum()
    else:
        loss[...] = each.sum() / (x.dtype.type(rows) if factor is None else factor.sum())


def cross_entropy_backward(
    grad: Array,
    probabilities: Array,
    target: Array,
    weight: Array | None,
    out: Array,
    *,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> None:
    """The gradient of the loss for the logits."""
    p, targets = _as_table(probabilities, target)
    rows, classes = p.shape
    if not rows:
        return
    direct = out.ndim == 2 and out.flags.c_contiguous
    result = out if direct else np.empty_like(p)
    safe, kept = _safe(targets, ignore_index)
    factor = _factors(safe, kept, weight, p.dtype)
    share = grad.reshape(-1) if reduction == "none" else np.full(rows, grad[()], p.dtype)
    if reduction == "mean":
        total = p.dtype.type(rows) if factor is None else factor.sum()
        share = share / total if total else share * 0
    hard = share * p.dtype.type(1 - label_smoothing)
    if factor is not None:
        hard *= factor
    whole = hard
    if label_smoothing:
        soft = share * p.dtype.type(label_smoothing / classes)
        if kept is not None:
            soft *= kept
        whole = hard + soft * (classes if weight is None else weight.sum())
    counter = np.arange(rows)
    for part in row_blocks(rows, classes):
        q = result[part]
        np.multiply(p[part], whole[part, None], out=q)
        if label_smoothing:
            q -= soft[part, None] if weight is None else soft[part, None] * weight
        q[counter[: len(q)], safe[part]] -= hard[part]
    if not direct:
        _put(result, out)


def _whole_indices(facts: Any) -> bool:
    weight = facts.inputs[-1]
    return weight is None or weight.dtype is facts.inputs[0].dtype


def _forward(name: str) -> Native:
    return lambda session, x, out: pointwise.softmax(session, name, x, out)


def _backward(session: Any, grad: Array, output: Array, out: Array) -> bool:
    return pointwise.softmax_backward(session, "softmax", grad, output, out)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    floats = (float32, float64)
    for name, rows, native in (
        ("softmax", _softmax, _forward("softmax")),
        ("log_softmax", _log_softmax, _forward("log_softmax")),
        ("softmax_backward", _softmax_backward, _backward),
        ("log_softmax_backward", _log_softmax_backward, None),
    ):
        table.add(name, _over_rows(rows, native), dtypes=floats, specialize=True)
    for name, kernel in {
        "cross_entropy": cross_entropy,
        "cross_entropy_backward": cross_entropy_backward,
    }.items():
        table.add(name, kernel, dtypes=floats, when=_whole_indices)
