"""masked_fill, and where of two numbers: one launch, of any layout and of masks that broadcast."""

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
    """Enter them."""
    options: dict[str, Any] = {"scalars": True, "specialize": True}
    table.add("masked_fill", _specialised, when=_fits, in_place=True, **options)
    table.add("where", _chosen, when=_are_numbers, **options)


def _are_numbers(facts: Any) -> bool:
    """Two numbers to choose from, which are a word."""
    condition, *numbers = facts.inputs
    out = facts.outputs[0]
    small = out.dtype.itemsize <= 8 and all(isinstance(value, type) for value in numbers)
    return small and _is_in_order(out, condition)


def _chosen(facts: Any) -> Callable[..., None]:
    out, kind = ghost(facts.outputs[0]), facts.outputs[0].dtype
    if not out.numel:
        return lambda *arrays: None
    device, word = device_of(facts.outputs[0].device), BITS[out.itemsize][1]
    loops = collapse(out, ghost(facts.inputs[0]).expand(out.shape))
    macros = {
        "IS_CHOICE": 1,
        "WORD": moved("X", itemsize=out.itemsize)["X_MEMORY"],
        **places("PLACES", loops, "p", ("to", "flag")),
        **runs(device, "PLACES", loops, "p", ("to", "flag")),
    }
    text = program(device, "masked", macros, ())
    numbers = [NO_OFFSETS, np.uint64(out.numel), *loop_numbers(loops), word(0), word(0)]
    launch = device.launch(text, "chosen", 2, numbers, device.workers(out.numel), "where")
    queue, place, first = launch.with_numbers, placing(2), len(numbers) - 2

    def run(mask: Any, one: Any, other: Any, out: Any) -> None:
        arrays, begins = place(out, mask)
        bits = (first, bits_of(one, kind)), (first + 1, bits_of(other, kind))
        queue(arrays, (*begins, *bits))

    return run


FEW = 1 << 14
"""Elements that are taken in any order; more of them, where that is another than the output's, are
packed first."""


def _fits(facts: Any) -> bool:
    """Elements that are a word; no complex number for what is real."""
    value, kind = facts.inputs[2], facts.outputs[0].dtype
    return (
        kind.itemsize <= 8
        and (value is not complex or kind.is_complex)
        and _is_in_order(facts.outputs[0], *facts.inputs[:2])
    )


def _is_in_order(out: Any, *inputs: Any) -> bool:
    """Whether neighbours of the output are read from neighbours, or there are few elements."""
    if out.numel <= FEW:
        return True
    loops = collapse(ghost(out), *(ghost(x).expand(out.shape) for x in inputs))
    return all(row[-1] in (0, 1) for row in loops.strides)


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
