"""cov and corrcoef of few observations without weights: one launch. Of more of them the core's
steps, of which one is a product of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import element, program

__all__ = ["enter"]

FEW = 1 << 15
"""Products of observations."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("cov", "corrcoef"):
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )


def _sizes(facts: Any) -> tuple[int, int]:
    """(variables, observations)."""
    source = facts.inputs[0]
    rows = source.shape[0] if source.ndim == 2 else 1
    return rows, source.numel // max(rows, 1)


def _fits(facts: Any) -> bool:
    rows, n = _sizes(facts)
    return all(w is None for w in facts.inputs[1:]) and 0 < rows * rows * n <= FEW


def _specialised(facts: Any) -> Callable[..., None]:
    (out,), source = facts.outputs, facts.inputs[0]
    device, work, name = device_of(out.device), accumulated(out.dtype), facts.op.name
    rows, n = _sizes(facts)
    macros = {
        "T": dialect.VALUES[work.name],
        "IS_CORRELATION": int(name == "corrcoef"),
        **element(device, "IN", source.dtype),
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "covariance", macros, (out.dtype, work))
    freedom = np.dtype(work.numpy).type(max(n - facts.attributes.get("correction", 1), 0))
    numbers: list[Any] = [NO_OFFSETS, np.uint32(rows), np.uint32(n), freedom]
    size = device.workers(rows * rows, max(1, 1024 // n))
    launch = device.launch(text, "covariance", 2, numbers, size, name)
    place, queue = placing(2), launch.with_numbers
    if name == "cov":
        return lambda x, counts, weights, out: queue(*place(out, x))
    return lambda x, out: queue(*place(out, x))
