"""histc: a launch for few elements, else two or three, and one more for the elements' own ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import Size, device_of
from dovetail_kernels.faults import ends_fault_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.source import element, program

__all__ = ["enter"]

FEW = 1 << 13
"""Elements that one work group counts."""

PARTS = 64
"""Groups of a GPU that look for the elements' ends."""


def _histc(facts: Any) -> Callable[..., None]:
    (given,), (out,), options = facts.inputs, facts.outputs, facts.attributes
    device, work, bins = device_of(out.device), accumulated(out.dtype), options["bins"]
    is_few, is_own = given.numel <= FEW, options["min"] == options["max"]
    size = device.workers(given.numel, max(FEW, 4 * bins))
    group = 1 if device.is_cpu else device.group
    if is_few:
        size = (group,), (group,)
    parts = size[0][0] if device.is_cpu else 1
    macros = {
        "IS_CPU": int(device.is_cpu),
        "IS_WHOLE": int(is_few),
        "IS_OWN": int(is_own),
        "GROUP": group,
        "T": dialect.VALUES[work.name],
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "histogram", macros, (out.dtype,), ("fault", "fold"))
    numbers = [NO_OFFSETS, np.uint64(given.numel), np.int32(bins)]
    looked = size if device.is_cpu else ((min(size[0][0], PARTS * group),), size[1])
    if is_own:
        numbers += [np.int32(looked[0][0] // group), ends_fault_of("histc")]
    else:
        numbers += [work.numpy.type(options[name]) for name in ("min", "max")]
    counted = device.launch(text, "counted", 5 if is_own else 3, numbers, size, "histc")
    take, give = device.room(4 * parts * bins)
    place, queue, faults = placing(2), counted.with_numbers, device.faults
    each: Size = device.workers(bins, 1024)

    def run(given: Any, out: Any) -> None:
        (made, read), begins = place(out, given)
        memory = take()
        try:
            if is_own:
                queue((made, memory, read, memory, faults), begins)
                device.suspect = True
            else:
                queue((made, memory, read), begins)
        finally:
            give(memory)

    if is_few:
        return run
    nothing = None
    if not device.is_cpu:
        nothing = device.launch(text, "nothing", 1, [np.int32(bins)], each, "histc")
    if is_own:
        numbers = [NO_OFFSETS, np.uint64(given.numel)]
        find_ends = device.launch(text, "ends", 2, numbers, looked, "histc").with_numbers
    numbers = [NO_OFFSETS, np.int32(bins), np.int32(parts)]
    added, place_added = device.launch(text, "added", 2, numbers, each, "histc"), placing(1)
    room = 2 * work.itemsize * (looked[0][0] // group)

    def in_parts(given: Any, out: Any) -> None:
        (made, read), begins = place(out, given)
        with device.scratch(4 * parts * bins, room) as (memory, ends):
            if nothing is not None:
                nothing(memory)
            if is_own:
                find_ends((ends, read), begins)
                queue((made, memory, read, ends, faults), begins)
                device.suspect = True
            else:
                queue((made, memory, read), begins)
            arrays, begins = place_added(out)
            added.with_numbers((*arrays, memory), begins)

    return in_parts


def _fits(facts: Any) -> bool:
    """32 bits count the elements."""
    return bool(facts.inputs[0].numel < 1 << 31)


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add(
        "histc", _histc, dtypes=FLOATING, layout="contiguous", specialize=True, when=_fits
    )  # fmt: skip
