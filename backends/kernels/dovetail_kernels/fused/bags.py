"""Bags of rows by number: where they begin, looked at on the device, and their largest elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.backend.sentences import IN_SELF
from dovetail.dtypes import FLOATING
from dovetail_kernels.arrays import START, offsets
from dovetail_kernels.device import device_of
from dovetail_kernels.faults import bounds_fault_of, fault_of
from dovetail_kernels.source import element, program

__all__ = ["enter"]


def _bounds(facts: Any) -> Any:
    (given,), (out,) = facts.inputs, facts.outputs
    device = device_of(out.device)
    macros = {"IS_BOUNDS": 1, "IS_CPU": int(device.is_cpu)}
    text, faults = program(device, "bags", macros, (), ("fault",)), device.faults
    numbers: list[Any] = [np.uint64(n) for n in (0, 0, 0, out.numel, given.numel)]
    numbers += [np.int64(facts.attributes["length"]), bounds_fault_of()]
    size = device.workers(out.numel, 4096)
    launch = device.launch(text, "bag_bounds", 3, numbers, size, "bag_bounds")

    def run(given: Any, out: Any) -> None:
        launch.with_numbers((out.buffer, given.buffer, faults), offsets(out, given, START))
        device.suspect = True

    return run


def _largest(facts: Any) -> Any:
    weight, index, _ = facts.inputs
    (out,) = facts.outputs
    device, (rows, n) = device_of(out.device), weight.shape
    kind, faults = weight.dtype, device.faults
    macros = {"IS_LARGEST": 1, "IS_CPU": int(device.is_cpu), **element(device, "X", kind)}
    text = program(device, "bags", macros, (kind,), ("fault",))
    numbers: list[Any] = [np.uint64(m) for m in (*[0] * 5, out.numel, n, rows, index.numel)]
    numbers += [np.int64(facts.attributes["padding_idx"]), fault_of(facts.op, IN_SELF)]
    each = max(1, index.numel * n // out.numel)
    size = device.workers(out.numel, max(1, 4096 // each))
    launch = device.launch(text, "bag_largest", 5, numbers, size, "bag_largest")

    def run(weight: Any, index: Any, starts: Any, out: Any) -> None:
        buffers = (out.buffer, weight.buffer, index.buffer, starts.buffer, faults)
        launch.with_numbers(buffers, offsets(out, weight, index, starts, START))
        device.suspect = True

    return run


def _is_filled(facts: Any) -> bool:
    return all(t.numel for t in (*facts.inputs, *facts.outputs))


def enter(table: KernelTable) -> None:
    """Enter them."""
    options: dict[str, Any] = {"layout": "contiguous", "specialize": True, "when": _is_filled}
    table.add("bag_bounds", _bounds, **options)
    table.add("bag_largest", _largest, dtypes=FLOATING, **options)
