"""bincount of few numbers on the host's cores: one launch. Of more of them, ``scatter_add``."""

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
    macros = {"HAS_WEIGHTS": int(has_weights), "OUT": dialect.VALUES[out.dtype.name]}
    text = program(device, "bincount", macros, (out.dtype,))
    numbers = [NO_OFFSETS, np.uint64(facts.input.numel), np.uint64(out.numel)]
    size = ((1,), (1,))
    launch = device.launch(text, "bincount", 2 + has_weights, numbers, size, "bincount")
    place, queue = placing(2 + has_weights), launch.with_numbers

    def weighed(input: Any, weights: Any, out: Any) -> None:
        queue(*place(out, input, weights))

    def counted(input: Any, weights: Any, out: Any) -> None:
        queue(*place(out, input))

    return weighed if has_weights else counted


def enter(table: KernelTable) -> None:
    """Enter it; the core has brought the numbers to int64."""
    table.add(
        "bincount", _bincount, dtypes=(int64,), layout="contiguous", specialize=True, when=_fits
    )  # fmt: skip
