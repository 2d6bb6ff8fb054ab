"""pad with one value: in one launch, which puts the value and what is inside of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import finfo
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.bits import BITS
from dovetail_kernels.device import device_of
from dovetail_kernels.source import MOST, moved, program

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add("pad", _specialised, when=_fits, layout="contiguous", specialize=True)


def _fits(facts: Any) -> bool:
    """Row-major tensors of some elements; a value that every number of the dtype's class holds."""
    (source,), (out,) = facts.inputs, facts.outputs
    value, kind = facts.attributes["value"], out.dtype
    holds = value == 0
    if kind.category == 2 and isinstance(value, (int, float)):
        holds = not math.isfinite(value) or abs(value) <= finfo(kind).max
    is_small = kind.itemsize <= 8 and 0 < out.ndim <= MOST and max(out.shape) < 1 << 31
    return bool(holds and is_small and source.numel and out.numel and out.is_contiguous)


def _specialised(facts: Any) -> Callable[..., None]:
    (source,), (out,) = facts.inputs, facts.outputs
    device, size = device_of(out.device), out.dtype.itemsize
    sides = facts.attributes["sides"]
    before = [*[0] * (out.ndim - len(sides)), *[side[0] for side in sides]]
    bits, kind = BITS[size]
    value = np.asarray(facts.attributes["value"]).astype(out.dtype.numpy)

    def eight(values: Any) -> Any:
        return np.array([1] * (MOST - out.ndim) + [*values], np.int64)

    macros = {
        "WORD": moved("X", itemsize=size)["X_MEMORY"],
        "BITS": bits,
        "IS_CPU": int(device.is_cpu),
        "NDIM": out.ndim,
    }
    text = program(device, "pad", macros, ())
    numbers = [NO_OFFSETS, np.uint64(out.numel // out.shape[-1])]
    numbers += [eight(out.shape), eight(source.shape), eight(before), value.view(kind)[()]]
    launch = device.launch(text, "pad", 2, numbers, device.workers(out.numel), "pad")
    place, queue = placing(2), launch.with_numbers

    def run(input: Any, out: Any) -> None:
        queue(*place(out, input))

    return run
