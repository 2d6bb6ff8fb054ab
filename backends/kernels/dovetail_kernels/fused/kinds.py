"""What unique and unique_consecutive find, of few elements in one launch of one work group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.source import element, program

__all__ = ["enter"]

FEW = 1 << 14
"""Elements."""


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add("kinds_counted", _specialised, layout="contiguous", specialize=True, when=_fits)


def _fits(facts: Any) -> bool:
    return bool(0 < facts.rows.numel <= FEW and not facts.rows.dtype.is_complex)


def _specialised(facts: Any) -> Callable[..., None]:
    rows, order = facts.inputs
    device, has_order = device_of(rows.device), order is not None
    group = 1 if device.is_cpu else device.group
    macros = {
        "GROUP": group,
        "HAS_ORDER": int(has_order),
        **element(device, "X", rows.dtype),
    }
    text = program(device, "kinds", macros, (rows.dtype,))
    numbers = [NO_OFFSETS, *map(np.uint64, rows.shape)]
    launch = device.launch(text, "kinds", 5 + has_order, numbers, ((group,), (group,)), "unique")
    place, queue = placing(5 + has_order), launch.with_numbers

    def run(rows: Any, order: Any, *outs: Any) -> None:
        queue(*(place(*outs, rows, order) if has_order else place(*outs, rows)))

    return run
