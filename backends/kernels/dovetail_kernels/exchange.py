"""What pivots of a factorization come to: an order of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import int32, int64
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.source import element, program

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add(
        "linalg_lu_permutation", _permutation, dtypes=(int32, int64), layout="contiguous",
        specialize=True,
    )  # fmt: skip


def _permutation(facts: Any) -> Any:
    (pivots,), (out,) = facts.inputs, facts.outputs
    device, size = device_of(out.device), facts.attributes["size"]
    if not out.numel:
        return lambda *arrays: None
    lines = out.numel // size
    text = program(device, "exchange", element(device, "PIVOT", pivots.dtype), (pivots.dtype,))
    numbers = [NO_OFFSETS, *(np.uint64(n) for n in (lines, pivots.shape[-1], size))]
    launch = device.launch(
        text, "exchange", 2, numbers, device.workers(lines, max(1, 4096 // size)), facts.op.name
    )
    place = placing(2)

    def run(x: Any, y: Any) -> None:
        launch.with_numbers(*place(y, x))

    return run
