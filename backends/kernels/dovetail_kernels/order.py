"""Order: a stable sort along a dim."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import radix
from dovetail_kernels.arrays import offsets
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.source import element, program

__all__ = ["enter"]

RUN = 16
"""Elements of a run that one work item sorts by itself."""


def enter(table: KernelTable) -> None:
    """Enter the sort."""
    table.add("sort", _sort, specialize=True)


def _before(is_float: bool, descending: bool) -> str:
    """NaN counts as the largest."""
    if not is_float:
        return "((a) > (b))" if descending else "((a) < (b))"
    if descending:
        return "((a) > (b) || ((a) != (a) && (b) == (b)))"
    return "((a) < (b) || ((b) != (b) && (a) == (a)))"


def _sort(facts: Any) -> Any:
    source = ghost(facts.inputs[0])
    values, indices = map(ghost, facts.outputs)
    device, dim = device_of(facts.outputs[0].device), facts.attributes["dim"]
    kind, descending = source.dtype, facts.attributes["descending"]
    if not values.numel:
        return lambda *arrays: None
    if device.is_cpu:
        return radix.sorting(device, source, values, indices, dim, descending=descending)
    lines, count, walked, numbers = radix.ordered(source, values, indices, dim)
    macros = {
        "BEFORE(a, b)": _before(kind.category == 2, descending),
        "RUN": RUN,
        **element(device, "K", kind),
        **walked,
    }
    text = program(device, "sort", macros, (kind,))
    blocks = lines * (-(-count // RUN))
    runs = device.launch(text, "runs", 3, numbers, device.workers(blocks, 64), "sort")
    size = device.workers(lines * count, 1024)
    finish = device.launch(text, "finish", 4, numbers, size, "sort")
    widths = [np.uint64(n) for n in (lines, count, 0)]
    merge = device.launch(text, "merge", 4, widths, size, "sort")

    def run(x: Any, y: Any, at: Any) -> None:
        places_of = offsets(x, y, at)
        sizes = (lines * count * kind.itemsize, lines * count * 4) * 2
        with device.scratch(*sizes) as (keys, order, keys2, order2):
            runs.with_numbers((keys, order, x.buffer), places_of)
            width = RUN
            while width < count:
                merge.with_numbers((keys2, order2, keys, order), ((2, np.uint64(width)),))
                keys, order, keys2, order2 = keys2, order2, keys, order
                width *= 2
            finish.with_numbers((y.buffer, at.buffer, keys, order), places_of)

    return run
