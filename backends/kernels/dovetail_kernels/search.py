"""Where values belong in sorted sequences: a launch, in which each value is a search."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING, INTEGRAL
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.source import element, program

__all__ = ["enter"]

WIDTH = 16
"""Searches side by side."""


def enter(table: KernelTable) -> None:
    """Enter it."""
    kinds = (*INTEGRAL, *FLOATING)
    table.add("searchsorted", _search, dtypes=kinds, layout="contiguous", specialize=True)


def _search(facts: Any) -> Any:
    (sequence, values), (out,) = facts.inputs, facts.outputs
    if not out.numel:
        return lambda *arrays: None
    kind = facts.op.infer(sequence, values, **facts.attributes).compute[0]
    device = device_of(out.device)
    macros = {
        "IS_CPU": int(device.is_cpu),
        "WIDTH": WIDTH if device.is_cpu else 1,
        "IS_RIGHT": int(facts.attributes["right"]),
        **element(device, "K", kind),
    }
    row = 0 if sequence.ndim == 1 else values.shape[-1]
    sizes = [np.uint64(n) for n in (out.numel, sequence.shape[-1], row)]
    launch = device.launch(
        program(device, "search", macros, (kind,)), "search", 3, [NO_OFFSETS, *sizes],
        device.workers(out.numel, 256), "searchsorted",
    )  # fmt: skip
    place = placing(3)

    def run(x: Any, y: Any, made: Any) -> None:
        launch.with_numbers(*place(made, x, y))

    return run
