"""What pivots of a factorization come to: an order of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.backend.sentences import PIVOTS
from dovetail.dtypes import int32, int64
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.faults import reporting, values_fault_of
from dovetail_kernels.source import element, program

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter it, and as it is of pivots that a user gave."""
    for name in ("linalg_lu_permutation", "lu_checked_permutation"):
        table.add(
            name, _permutation, dtypes=(int32, int64), layout="contiguous", specialize=True
        )  # fmt: skip


def _permutation(facts: Any) -> Any:
    (pivots,), (out,) = facts.inputs, facts.outputs
    device, size = device_of(out.device), facts.attributes["size"]
    if not out.numel:
        return lambda *arrays: None
    of = facts.attributes.get("of")
    lines = out.numel // size
    macros = {"IS_CHECKED": int(of is not None), **element(device, "PIVOT", pivots.dtype)}
    text = program(device, "exchange", macros, (pivots.dtype,), ("fault",))
    numbers = [NO_OFFSETS, *(np.uint64(n) for n in (lines, pivots.shape[-1], size))]
    workers = device.workers(lines, max(1, 4096 // size))
    if of is not None:
        numbers.append(values_fault_of(of, *PIVOTS[of]))
        launch = device.launch(text, "exchange", 3, numbers, workers, of)
        return reporting(device, launch, placing(2))
    launch = device.launch(text, "exchange", 2, numbers, workers, facts.op.name)
    place = placing(2)

    def run(x: Any, y: Any) -> None:
        launch.with_numbers(*place(y, x))

    return run
