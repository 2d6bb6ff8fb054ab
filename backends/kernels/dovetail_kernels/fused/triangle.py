"""tril and triu in one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.source import moved, program

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("tril", "triu"):
        table.add(name, _specialised, when=_fits, layout="contiguous", specialize=True)


def _fits(facts: Any) -> bool:
    """There is something, in words that a kernel has a zero of, and 31 bits count a matrix's
    sides."""
    (out,) = facts.outputs
    return bool(out.numel and out.dtype.itemsize <= 8 and max(out.shape[-2:]) < 1 << 31)


def _specialised(facts: Any) -> Callable[..., None]:
    (out,) = facts.outputs
    device, name = device_of(out.device), facts.op.name
    rows, columns = out.shape[-2:]
    diagonal = max(-rows, min(columns, facts.attributes["diagonal"]))
    macros = {
        "WORD": moved("X", itemsize=out.dtype.itemsize)["X_MEMORY"],
        "IS_CPU": int(device.is_cpu),
        "IS_LOWER": int(name == "tril"),
    }
    text = program(device, "triangle", macros, ())
    numbers = [NO_OFFSETS, np.uint64(out.numel // columns), np.int32(rows), np.int32(columns)]
    numbers.append(np.int32(diagonal))
    launch = device.launch(text, "triangle", 2, numbers, device.workers(out.numel), name)
    place, queue = placing(2), launch.with_numbers

    def run(input: Any, out: Any) -> None:
        queue(*place(out, input))

    return run
