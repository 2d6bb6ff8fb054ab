"""Reductions of NumPy arrays; float16 and bfloat16 are accumulated in float32."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import bfloat16, bool_, float16, float64
from dovetail_cpu.kernels.dense import (
    MEDIUM,
    ROW,
    SMALL,
    Kernel,
    Whole,
    along_columns,
    along_rows,
    is_dense,
    trailing,
    two_stage,
    widened,
)

__all__ = ["enter", "extremes", "float_total"]

_FEW = 16
"""Along so short a last axis, comparing whole columns is faster than one reduction per row."""

_ones: dict[Any, np.ndarray] = {}
_add: Any = np.add.reduce
_multiply: Any = np.multiply.reduce


def total(facts: Any) -> Kernel:
    """Sum over dims, in the dtype of the output."""
    spec, out = facts.inputs[0], facts.outputs[0]
    dim, keep = facts.attributes["dim"], facts.attributes["keepdim"]
    kind = out.dtype
    if spec.dtype is bool_ and len(dim) == spec.ndim and kind.category == 1:
        return lambda x, out: out.fill(np.count_nonzero(x))
    if spec.dtype is kind and kind.category == 2:
        return widened(float_total(spec, out, dim), kind)
    axis = None if len(dim) == spec.ndim else dim
    if kind in (float16, bfloat16):
        return lambda x, out: np.copyto(
            out, _add(x, axis, np.float32, None, keep), casting="unsafe"
        )
    return lambda x, out: _add(x, axis, kind.numpy, out, keep)


def float_total(spec: Any, out: Any, dim: tuple[int, ...]) -> Kernel:
    """Sum of a float32 or float64 array over dims."""
    shape = tuple(spec.shape)
    keep = out.ndim == spec.ndim
    if not is_dense(spec):
        return lambda x, out: _add(x, dim, None, out, keep)
    if len(dim) == spec.ndim and spec.numel <= SMALL:
        return _dot_ones(spec, out)
    if len(dim) == spec.ndim and spec.numel <= MEDIUM:
        return lambda x, out: _add(x.reshape(-1), 0, None, out.reshape(()))
    end, others = trailing(shape, dim)
    length = math.prod(shape[end:])
    if not others and length <= ROW:
        if len(shape) == 2 and not keep:
            return lambda x, out: np.einsum("ij->i", x, out=out)
        return lambda x, out: np.einsum("ij->i", x.reshape(-1, length), out=out.reshape(-1))
    if spec.numel <= SMALL:
        return lambda x, out: _add(x, dim, None, out, keep)
    sums = two_stage(shape, dim, along_rows, np.add)
    return lambda x, out: np.copyto(out, sums(x).reshape(out.shape))


def _dot_ones(spec: Any, out: Any) -> Kernel:
    kind = np.float64 if spec.dtype is float64 else np.float32
    ones = _ones.setdefault((spec.numel, kind), np.ones(spec.numel, kind))
    if spec.ndim == 1 and not out.ndim:
        return lambda x, out: x.dot(ones, out)
    if not out.ndim:
        return lambda x, out: x.reshape(-1).dot(ones, out)
    return lambda x, out: x.reshape(-1).dot(ones, out.reshape(()))


def product(facts: Any) -> Kernel:
    """Product over one dim or all, in the dtype of the output."""
    spec, kind = facts.inputs[0], facts.outputs[0].dtype
    dim, keep = facts.attributes["dim"], facts.attributes["keepdim"]
    acc = np.float32 if kind in (float16, bfloat16) else kind.numpy
    axis = None if len(dim) == spec.ndim else dim
    if axis is None and is_dense(spec) and spec.dtype is kind and spec.numel > SMALL:

        def whole(x: np.ndarray, out: np.ndarray) -> None:
            flat = np.asarray(x.reshape(-1, 1), acc)
            np.copyto(out, along_columns(np.multiply, flat)[0], casting="unsafe")

        return whole
    if acc == kind.numpy:
        return lambda x, out: _multiply(x, axis, acc, out, keep)
    return lambda x, out: np.copyto(out, _multiply(x, axis, acc, None, keep), casting="unsafe")


def extremes(ufunc: Any, spec: Any, dim: tuple[int, ...]) -> Whole:
    """The largest (or smallest) elements over dims, without the reduced dims."""
    if not is_dense(spec) or not dim or spec.numel <= SMALL:
        return lambda x: ufunc.reduce(x, dim)

    def rows(x: np.ndarray) -> np.ndarray:
        if x.shape[1] > _FEW:
            return ufunc.reduce(x, 1)  # type: ignore[no-any-return]
        found = x[:, 0].copy()
        for i in range(1, x.shape[1]):
            ufunc(found, x[:, i], out=found)
        return found  # type: ignore[no-any-return]

    return two_stage(tuple(spec.shape), dim, rows, ufunc)


def _extreme(ufunc: Any) -> Callable[[Any], Kernel]:
    def make(facts: Any) -> Kernel:
        spec, out = facts.inputs[0], facts.outputs[0]
        dim = facts.attributes.get("dim", tuple(range(spec.ndim)))
        whole = len(dim) == spec.ndim
        if spec.numel <= SMALL or (whole and spec.dtype.category < 2):
            axis, keep = None if whole else dim, out.ndim == spec.ndim
            plain: Kernel = lambda x, out: ufunc.reduce(x, axis, None, out, keep)
            return widened(plain, spec.dtype)
        found = extremes(ufunc, spec, dim)
        return widened(lambda x, out: np.copyto(out, found(x).reshape(out.shape)), spec.dtype)

    return make


def _arg(function: str) -> Callable[[Any], Kernel]:
    def make(facts: Any) -> Kernel:
        dim, out = facts.attributes["dim"], facts.outputs[0]
        axis = None if len(dim) == facts.inputs[0].ndim else dim[0]
        keep = bool(facts.attributes["keepdim"] and out.ndim)

        def run(x: np.ndarray, out: np.ndarray) -> None:
            getattr(x, function)(axis, out, keepdims=keep)

        return widened(run, facts.inputs[0].dtype)

    return make


def _pick(ufunc: Any, function: str) -> Callable[[Any], Kernel]:
    """Value and index of the largest (or smallest) along one dim."""

    def make(facts: Any) -> Kernel:
        spec, out = facts.inputs[0], facts.outputs[0]
        dim = facts.attributes["dim"]
        keep = bool(facts.attributes["keepdim"] and out.ndim)
        dims = (dim,) if spec.ndim else ()
        small = spec.numel <= SMALL
        found = extremes(ufunc, spec, dims)

        def run(x: np.ndarray, values: np.ndarray, indices: np.ndarray) -> None:
            if small:
                ufunc.reduce(x, dims, None, values, keep)
            else:
                np.copyto(values, found(x).reshape(values.shape))
            if dims:
                getattr(x, function)(dim, indices, keepdims=keep)
            else:
                indices.fill(0)

        return widened(run, spec.dtype)

    return make


def _truth(ufunc: Any) -> Callable[[Any], Kernel]:
    def make(facts: Any) -> Kernel:
        spec, out = facts.inputs[0], facts.outputs[0]
        dim, keep = facts.attributes["dim"], facts.attributes["keepdim"]
        if spec.ndim and not dim:
            return lambda x, out: np.copyto(out, x != 0)
        axis = None if len(dim) == spec.ndim else dim
        if out.dtype is bool_:
            return lambda x, out: ufunc.reduce(x, axis, None, out, keep)
        return lambda x, out: np.copyto(out, ufunc.reduce(x, axis, None, None, keep))

    return make


def count_nonzero(facts: Any) -> Kernel:
    """How many elements are not zero."""
    spec, dim = facts.inputs[0], facts.attributes["dim"]
    if len(dim) == spec.ndim:
        return lambda x, out: out.fill(np.count_nonzero(x))
    return lambda x, out: _add(x != 0, dim, np.int64, out)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.update(
        {
            "sum": total,
            "prod": product,
            "amax": _extreme(np.maximum),
            "amin": _extreme(np.minimum),
            "max": _extreme(np.maximum),
            "min": _extreme(np.minimum),
            "argmax": _arg("argmax"),
            "argmin": _arg("argmin"),
            "max_dim": _pick(np.maximum, "argmax"),
            "min_dim": _pick(np.minimum, "argmin"),
            "any": _truth(np.logical_or),
            "all": _truth(np.logical_and),
            "count_nonzero": count_nonzero,
        },
        specialize=True,
    )
