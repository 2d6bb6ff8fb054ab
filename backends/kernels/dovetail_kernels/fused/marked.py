"""one_hot and diag_embed: zeros, and what stands among them, in one launch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.dtypes import uint8
from dovetail_kernels.arrays import NO_OFFSETS, Array, placing
from dovetail_kernels.device import Device, Launch, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.faults import fault_of, reporting
from dovetail_kernels.source import loop_numbers, moved, places, program, runs

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter them."""
    table.add("one_hot", _one_hot, specialize=True)
    table.add(
        "diag_embed", _diagonal, when=lambda facts: facts.outputs[0].dtype.itemsize <= 8,
        specialize=True,
    )  # fmt: skip


def _launch(
    device: Device, out: Array, steps: Sequence[Sequence[int]], macros: dict[str, Any],
    last: list[Any], buffers: int, name: str,
) -> Launch:  # fmt: skip
    """``steps``: along the output's dims, of the input (in elements), the row and the column."""
    rows = [Array(None, 0, out.shape, tuple(row), uint8) for row in steps]
    loops = collapse(out, *rows)
    names = ("to", "from", "row", "column")
    macros = {
        **macros,
        **places("PLACES", loops, "p", names),
        **runs(device, "PLACES", loops, "p", names),
    }
    text = program(device, "marked", macros, (), ("fault",))
    numbers = [NO_OFFSETS, np.uint64(out.numel), *loop_numbers(loops), *last]
    return device.launch(text, "marked", buffers, numbers, device.workers(out.numel), name)


def _one_hot(facts: Any) -> Callable[..., None]:
    index, out = ghost(facts.inputs[0]), ghost(facts.outputs[0])
    if not out.numel:
        return lambda *arrays: None
    device, ndim = device_of(facts.outputs[0].device), index.ndim
    steps = (*(s // 8 for s in index.strides), 0), (0,) * (ndim + 1), (*(0,) * ndim, 1)
    fault = fault_of(facts.op, "")
    last = [np.uint64(facts.attributes["num_classes"]), fault]
    launch = _launch(device, out, steps, {"IS_HOT": 1}, last, 3, "one_hot")
    return reporting(device, launch, placing(2))


def _diagonal(facts: Any) -> Callable[..., None]:
    source, out = ghost(facts.inputs[0]), ghost(facts.outputs[0])
    if not out.numel:
        return lambda *arrays: None
    device, offset = device_of(facts.outputs[0].device), facts.attributes["offset"]
    down, across = facts.attributes["dim1"], facts.attributes["dim2"]
    *rest, along = (s // source.itemsize for s in source.strides)
    others = iter(rest)
    steps: list[list[int]] = [[], [], []]
    for d in range(out.ndim):
        step = along if d == down else 0 if d == across else next(others)
        for row, n in zip(steps, (step, int(d == down), int(d == across)), strict=True):
            row.append(n)
    # Elements begin so many rows down.
    shift = -max(-offset, 0) * along
    last = [np.uint64(n % 2**64) for n in (offset, shift)]
    macros = {"IS_HOT": 0, "WORD": moved("X", itemsize=out.itemsize)["X_MEMORY"]}
    launch = _launch(device, out, steps, macros, last, 2, "diag_embed")
    queue, place = launch.with_numbers, placing(2)

    def run(input: Any, out: Any) -> None:
        queue(*place(out, input))

    return run
