"""masked_fill in one launch, of any layout and of a mask that broadcasts; its output may be its
input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail_kernels.arrays import NO_OFFSETS, Array, placing
from dovetail_kernels.bits import BITS, bits_of
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.source import loop_numbers, moved, places, program, runs

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add("masked_fill", _specialised, when=_fits, scalars=True, specialize=True, in_place=True)


def _fits(facts: Any) -> bool:
    """Elements that are a word; no complex number for what is real."""
    value, kind = facts.inputs[2], facts.outputs[0].dtype
    return kind.itemsize <= 8 and (value is not complex or kind.is_complex)


def _specialised(facts: Any) -> Callable[..., None]:
    input, mask, value = facts.inputs
    out = ghost(facts.outputs[0])
    if not out.numel:
        return lambda *arrays: None
    device, kind = device_of(facts.outputs[0].device), out.dtype
    has_number = isinstance(value, type)
    loops = collapse(out, *(ghost(x).expand(out.shape) for x in (input, mask)))
    names = ("to", "from", "flag")
    macros = {
        "HAS_NUMBER": int(has_number),
        "WORD": moved("X", itemsize=out.itemsize)["X_MEMORY"],
        **places("PLACES", loops, "p", names),
        **runs(device, "PLACES", loops, "p", names),
    }
    text = program(device, "masked", macros, ())
    numbers: list[Any] = [NO_OFFSETS, np.uint64(out.numel), *loop_numbers(loops)]
    if has_number:
        numbers.append(BITS[out.itemsize][1](0))
    size, buffers = device.workers(out.numel), 3 if has_number else 4
    launch = device.launch(text, "masked", buffers, numbers, size, "masked_fill")
    queue, place, last = launch.with_numbers, placing(buffers), len(numbers) - 1

    def by_number(input: Any, mask: Any, value: Any, out: Any) -> None:
        arrays, begins = place(out, input, mask)
        queue(arrays, (*begins, (last, bits_of(value, kind))))

    def by_tensor(input: Array, mask: Array, value: Array, out: Array) -> None:
        queue(*place(out, input, mask, value))

    return by_number if has_number else by_tensor
