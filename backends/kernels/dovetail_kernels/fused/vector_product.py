"""linalg.cross in one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.dtypes import FLOATING
from dovetail_kernels.arrays import NO_OFFSETS, joined, part, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.source import element, loop_numbers, places, program

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add("linalg_cross", _specialised, dtypes=FLOATING, specialize=True)


def _specialised(facts: Any) -> Callable[..., None]:
    (out,), dim = facts.outputs, facts.attributes["dim"]
    device = device_of(out.device)
    if not out.numel:
        return lambda *arrays: None
    views = [ghost(spec) for spec in (out, *facts.inputs)]
    loops = collapse(*(part(v, [i for i in range(out.ndim) if i != dim]) for v in views))
    macros = {
        **element(device, "IN", out.dtype),
        **places("OUTER", loops, "c", ("to", "from", "with")),
    }
    text = program(device, "vector_product", macros, (out.dtype,))
    count = out.numel // 3
    steps = joined([v.element_strides[dim] for v in views], 8, np.uint64)
    numbers = [NO_OFFSETS, np.uint64(count), steps, *loop_numbers(loops)]
    launch = device.launch(text, "vector_product", 3, numbers, device.workers(count), "cross")
    place, queue = placing(3), launch.with_numbers

    def run(input: Any, other: Any, out: Any) -> None:
        queue(*place(out, input, other))

    return run
