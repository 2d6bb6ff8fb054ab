"""histc between ends that are given: a launch for few elements, else two or three."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import Size, device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.source import element, program

__all__ = ["enter"]

FEW = 1 << 13
"""Elements that one work group counts."""


def _histc(facts: Any) -> Callable[..., None]:
    (given,), (out,), options = facts.inputs, facts.outputs, facts.attributes
    device, work, bins = device_of(out.device), accumulated(out.dtype), options["bins"]
    is_few = given.numel <= FEW
    size = device.workers(given.numel, max(FEW, 4 * bins))
    if is_few:
        group = 1 if device.is_cpu else device.group
        size = (group,), (group,)
    parts = size[0][0] if device.is_cpu else 1
    macros = {
        "IS_CPU": int(device.is_cpu),
        "IS_WHOLE": int(is_few),
        "T": dialect.VALUES[work.name],
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "histogram", macros, (out.dtype,))
    ends = [work.numpy.type(options[name]) for name in ("min", "max")]
    numbers = [NO_OFFSETS, np.uint64(given.numel), np.int32(bins), *ends]
    counted = device.launch(text, "counted", 3, numbers, size, "histc")
    take, give = device.room(4 * parts * bins)
    place, queue = placing(2), counted.with_numbers
    each: Size = device.workers(bins, 1024)

    def run(given: Any, out: Any) -> None:
        (made, read), begins = place(out, given)
        memory = take()
        try:
            queue((made, memory, read), begins)
        finally:
            give(memory)

    if is_few:
        return run
    nothing = None
    if not device.is_cpu:
        nothing = device.launch(text, "nothing", 1, [np.int32(bins)], each, "histc")
    numbers = [NO_OFFSETS, np.int32(bins), np.int32(parts)]
    added, place_added = device.launch(text, "added", 2, numbers, each, "histc"), placing(1)

    def in_parts(given: Any, out: Any) -> None:
        (made, read), begins = place(out, given)
        memory = take()
        try:
            if nothing is not None:
                nothing(memory)
            queue((made, memory, read), begins)
            arrays, begins = place_added(out)
            added.with_numbers((*arrays, memory), begins)
        finally:
            give(memory)

    return in_parts


def _fits(facts: Any) -> bool:
    """There are elements, 32 bits count them, and the ends are known."""
    options = facts.attributes
    return options["min"] != options["max"] and bool(0 < facts.inputs[0].numel < 1 << 31)


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add(
        "histc", _histc, dtypes=FLOATING, layout="contiguous", specialize=True, when=_fits
    )  # fmt: skip
