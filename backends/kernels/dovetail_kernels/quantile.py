"""Quantiles of rows in order: a launch for all places and ways between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.faults import reporting, values_fault_of
from dovetail_kernels.source import program

__all__ = ["enter"]

WAYS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(facts: Any) -> Callable[..., None]:
    rows, q = facts.inputs
    (out,), options = facts.outputs, facts.attributes
    device = device_of(out.device)
    if not out.numel:
        return lambda *arrays: None
    macros = {
        "T": dialect.VALUES[out.dtype.name],
        "WAY": WAYS.index(options["interpolation"]),
    }
    text = program(device, "quantile", macros, (out.dtype,), ("fault",))
    name = "nanquantile" if options["skips_nan"] else "quantile"
    numbers = [
        NO_OFFSETS,
        *(np.uint64(n) for n in (out.numel, rows.shape[-1], q.numel)),
        np.int32(options["skips_nan"]),
        values_fault_of(name, "quantile() q values must be in the range [0, 1]"),
    ]
    size = device.workers(out.numel, 1024)
    launch = device.launch(text, "quantile", 4, numbers, size, name)
    return reporting(device, launch, placing(3))


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add(
        "quantile_in_order", _quantile, dtypes=(float32, float64), layout="contiguous",
        specialize=True,
    )  # fmt: skip
