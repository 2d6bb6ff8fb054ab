"""Reductions on NumPy arrays; half and bfloat16 accumulate in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import bfloat16, float16, float32, float64

__all__ = ["enter"]

SMALL = (
    1024  # a dot product with ones is the quickest sum of this many; beyond, NumPy's pairwise one
)
_ones: dict[Any, np.ndarray] = {}


def _axis(facts: Any) -> Any:
    dims = facts.attributes["dim"]
    return None if len(dims) == facts.inputs[0].ndim else dims


def total(facts: Any) -> Callable[..., Any]:
    """Sum over dims."""
    spec = facts.inputs[0]
    kind, axis, keep = facts.outputs[0].dtype, _axis(facts), facts.attributes["keepdim"]
    full = axis is None and not keep
    if full and spec.ndim == 1 and 0 < spec.numel <= SMALL and kind in (float32, float64):
        return _dot_ones(spec.numel, kind.numpy)
    reduce = np.add.reduce
    if full and spec.is_contiguous and kind in (float32, float64):
        return lambda x, out: reduce(x.reshape(-1), 0, None, out)
    if kind in (bfloat16, float16):
        return lambda x, out: np.copyto(
            out, reduce(x.astype(np.float32), axis, None, None, keep), casting="unsafe"
        )
    return lambda x, out: reduce(x, axis, None, out, keep)


def _dot_ones(n: int, kind: Any) -> Callable[..., Any]:
    ones = _ones.setdefault((n, kind), np.ones(n, kind))
    return lambda x, out: x.dot(ones, out)


def product(facts: Any) -> Callable[..., Any]:
    """Product over dims."""
    kind, axis, keep = facts.outputs[0].dtype, _axis(facts), facts.attributes["keepdim"]
    reduce = np.multiply.reduce
    if kind in (bfloat16, float16):
        return lambda x, out: np.copyto(
            out, reduce(x.astype(np.float32), axis, None, None, keep), casting="unsafe"
        )
    return lambda x, out: reduce(x, axis, None, out, keep)


def _extreme(ufunc: Any) -> Callable[..., Any]:
    def make(facts: Any) -> Callable[..., Any]:
        axis, keep = _axis(facts), facts.attributes["keepdim"]
        return lambda x, out: ufunc.reduce(x, axis, None, out, keep)

    return make


def _arg(function: Any) -> Callable[..., Any]:
    def make(facts: Any) -> Callable[..., Any]:
        axis, keep = _axis(facts), facts.attributes["keepdim"]
        low = facts.inputs[0].dtype is bfloat16

        def run(x: np.ndarray, out: np.ndarray) -> None:
            wide = x.astype(np.float32) if low else x
            found = function(wide, None if axis is None else axis[0], keepdims=keep)
            np.copyto(out, found)

        return run

    return make


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.update(
        {
            "sum": total,
            "prod": product,
            "amax": _extreme(np.maximum),
            "amin": _extreme(np.minimum),
            "argmax": _arg(np.argmax),
            "argmin": _arg(np.argmin),
        },
        specialize=True,
    )
