"""bincount of few numbers on the host's cores: one launch, which finds the largest too. Of more of
them, ``scatter_add``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import int64
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of, known
from dovetail_kernels.source import program

__all__ = ["enter"]

FEW = 1 << 14
"""Numbers and results that one work item goes through."""


def _fits(facts: Any) -> bool:
    out, device = facts.outputs[0], known(facts.outputs[0].device)
    is_few = facts.input.numel + out.numel <= FEW
    return device is not None and device.is_cpu and is_few and bool(out.numel)


def _bincount(facts: Any) -> Callable[..., None]:
    out, has_weights = facts.outputs[0], facts.weights is not None
    device = device_of(out.device)
    finds_ends = len(facts.outputs) > 1
    macros = {
        "HAS_WEIGHTS": int(has_weights),
        "FINDS_ENDS": int(finds_ends),
        "OUT": dialect.VALUES[out.dtype.name],
    }
    text = program(device, "bincount", macros, (out.dtype,))
    numbers = [NO_OFFSETS, np.uint64(facts.input.numel), np.uint64(out.numel)]
    size, buffers = ((1,), (1,)), 2 + has_weights + finds_ends
    launch = device.launch(text, "bincount", buffers, numbers, size, "bincount")
    place, queue = placing(buffers), launch.with_numbers

    def ended(input: Any, weights: Any, out: Any, ends: Any) -> None:
        queue(*(place(out, input, weights, ends) if has_weights else place(out, input, ends)))

    if finds_ends:
        return ended

    def weighed(input: Any, weights: Any, out: Any) -> None:
        queue(*place(out, input, weights))

    def counted(input: Any, weights: Any, out: Any) -> None:
        queue(*place(out, input))

    return weighed if has_weights else counted


def enter(table: KernelTable) -> None:
    """Enter them; the core has brought the numbers to int64."""
    options: dict[str, Any] = {"layout": "contiguous", "specialize": True, "when": _fits}
    table.add("bincount", _bincount, dtypes=(int64,), **options)
    table.add("bincount_counted", _bincount, dtypes=(int64,), **options)
