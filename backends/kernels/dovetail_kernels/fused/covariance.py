"""cov and corrcoef of few observations: one launch. Of more of them the core's steps, of which one
is a product of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.backend.sentences import NEGATIVE
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.faults import reporting, values_fault_of
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
    source, *given = facts.inputs
    rows, n = _sizes(facts)
    if any(
        w is not None and w.dtype.is_floating_point and w.dtype is not source.dtype for w in given
    ):
        return False  # the result is of the larger
    return 0 < rows * rows * n <= FEW


def _specialised(facts: Any) -> Callable[..., None]:
    (out,), source = facts.outputs, facts.inputs[0]
    device, work, name = device_of(out.device), accumulated(out.dtype), facts.op.name
    rows, n = _sizes(facts)
    counts, weights = facts.inputs[1:] or (None, None)
    given = [w for w in (counts, weights) if w is not None]
    macros = {
        "T": dialect.VALUES[work.name],
        "IS_CORRELATION": int(name == "corrcoef"),
        "HAS_COUNTS": int(counts is not None),
        "HAS_WEIGHTS": int(weights is not None),
        **element(device, "COUNT", (counts or source).dtype),
        **element(device, "IN", source.dtype),
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "covariance", macros, (out.dtype, work), ("fault",) * bool(given))
    correction, kind = facts.attributes.get("correction", 1), np.dtype(work.numpy).type
    taken = correction if given else max(n - correction, 0)
    numbers: list[Any] = [NO_OFFSETS, np.uint32(rows), np.uint32(n), kind(taken)]
    size = device.workers(rows * rows, max(1, 1024 // n))
    place = placing(2 + len(given))
    if given:
        sentences = [NEGATIVE.format(label=label) for label in ("fweights", "aweights")]
        numbers.append(values_fault_of("cov", *sentences))
        buffers = 3 + len(given)
        launch = device.launch(text, "covariance", buffers, numbers, size, name)
        report = reporting(device, launch, place)
        return lambda *arrays: report(*[a for a in arrays if a is not None])
    queue = device.launch(text, "covariance", 2, numbers, size, name).with_numbers
    if name == "cov":
        return lambda x, counts, weights, out: queue(*place(out, x))
    return lambda x, out: queue(*place(out, x))
