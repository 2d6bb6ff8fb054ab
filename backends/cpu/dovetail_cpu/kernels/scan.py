"""Scans of NumPy arrays along one axis.

float32 is accumulated in float64, as PyTorch does on the cpu: the error of a long running sum would
otherwise grow with its length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING, bfloat16, float16, float32

__all__ = ["enter"]

Kernel = Callable[..., None]
_WIDER = {float16: np.float32, bfloat16: np.float32, float32: np.float64}
_SHORT = 32
"""So few float32 additions are as accurate in float32."""


def _scan(ufunc: Any) -> Callable[[Any], Kernel]:
    def make(facts: Any) -> Kernel:
        spec, dim = facts.inputs[0], facts.attributes["dim"]
        kind = facts.outputs[0].dtype
        if not spec.ndim:
            return lambda x, out: np.copyto(out, x, casting="unsafe")
        wide = _WIDER.get(kind, kind.numpy)
        if kind is float32 and spec.shape[dim] <= _SHORT:
            wide = np.float32
        if wide == kind.numpy:
            return lambda x, out: ufunc.accumulate(x, dim, wide, out)
        return lambda x, out: np.copyto(out, ufunc.accumulate(x, dim, wide), casting="unsafe")

    return make


def _running(ufunc: Any) -> Callable[[Any], Kernel]:
    def make(facts: Any) -> Kernel:
        spec, dim = facts.inputs[0], facts.attributes["dim"]
        low = spec.dtype in (float16, bfloat16)

        def run(x: np.ndarray, values: np.ndarray, indices: np.ndarray) -> None:
            if not x.ndim:
                np.copyto(values, x)
                indices.fill(0)
                return
            wide = x.astype(np.float32) if low else x
            best = ufunc.accumulate(wide, dim)
            place = np.arange(x.shape[dim]).reshape([-1 if i == dim else 1 for i in range(x.ndim)])
            hit = wide == best
            if wide.dtype.kind == "f":
                hit |= wide != wide
            np.maximum.accumulate(np.where(hit, place, 0), dim, None, indices)
            np.copyto(values, best, casting="unsafe")

        return run

    return make


def logcumsumexp(input: np.ndarray, out: np.ndarray, *, dim: int) -> None:
    """``log(cumsum(exp(x)))``."""
    wide = np.float32 if input.dtype.itemsize == 2 else input.dtype
    x = input.astype(wide, copy=False)
    np.copyto(out, np.logaddexp.accumulate(x, dim) if x.ndim else x, casting="unsafe")


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.update(
        {
            "cumsum": _scan(np.add),
            "cumprod": _scan(np.multiply),
            "cummax": _running(np.maximum),
            "cummin": _running(np.minimum),
        },
        specialize=True,
    )
    table.add("logcumsumexp", logcumsumexp, dtypes=FLOATING)
