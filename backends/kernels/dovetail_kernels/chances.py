"""What uniform numbers choose by chances: the ends of bernoulli and multinomial, a launch each."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING, finfo, float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import Size, device_of
from dovetail_kernels.faults import reporting, values_fault_of
from dovetail_kernels.mathematics import taken
from dovetail_kernels.source import element, program

__all__ = ["enter"]

FEW = 1 << 20
"""Weights times how many are taken, up to which a row is gone through again for each."""

NO_CHANCE = (
    "Expected p_in >= 0 && p_in <= 1 to be true, but got false. (bernoulli: every element of p "
    "must be a probability)"
)
WEIGHTS = (
    "probability tensor contains either `inf`, `nan` or element < 0",
    "invalid multinomial distribution (sum of probabilities <= 0)",
)
"""PyTorch's sentences."""


def _bernoulli(facts: Any) -> Callable[..., None]:
    chances, out = facts.chances, facts.outputs[0]
    device = device_of(out.device)
    if not out.numel:
        return lambda *arrays: None
    macros = {
        "IS_BERNOULLI": 1,
        "IS_CPU": int(device.is_cpu),
        **element(device, "OUT", out.dtype),
        **element(device, "P", chances.dtype),
    }
    text = program(device, "chances", macros, (out.dtype, chances.dtype), ("fault",))
    fault = values_fault_of("bernoulli", NO_CHANCE)
    numbers = [NO_OFFSETS, np.uint64(out.numel), fault]
    launch = device.launch(text, "bernoulli", 4, numbers, device.workers(out.numel), "bernoulli")
    return reporting(device, launch, placing(3))


def _ordered(facts: Any) -> Callable[..., None]:
    weights, out = facts.weights, facts.outputs[0]
    device, dtype = device_of(out.device), weights.dtype
    if not out.numel:
        return lambda *arrays: None
    n, count = weights.shape[-1], out.shape[-1]
    rows = prod(out.shape[:-1])
    width = 64 // dtype.itemsize if device.is_cpu else 1
    kind = dialect.VALUES[dtype.name]
    calls = [("log1p", 1), ("log1p", width)][: 1 + (width > 1)]
    names, functions = taken(calls, kind, is_own=device.is_cpu)
    group = 1 if device.is_cpu else device.group
    macros = {
        "IS_ORDERED": 1,
        "IS_CPU": int(device.is_cpu),
        "GROUP": group,
        "T": kind,
        "W": width,
        "V": f"{kind}{width}",
        "LEAST": f"(T){-finfo(dtype).eps / 2!r}",
        "LOG1P_ONE": names[0],
        "LOG1P_V": names[-1],
        "SOME_LANE(c)": "ANY_LANE(c)",
        "vloadW": f"vload{width}",
        "vstoreW": f"vstore{width}",
    }
    text = program(device, "chances", macros, (dtype,), ("fault", "members"), text=functions)
    size: Size = (min(rows, device.units * 16) * group,), (group,)
    if device.is_cpu:
        size = device.workers(rows, max(1, 4096 // (n * count)))
    fault = values_fault_of("multinomial", *WEIGHTS)
    numbers = [NO_OFFSETS, *(np.uint64(m) for m in (rows, n, count)), fault]
    launch = device.launch(text, "ordered", 5, numbers, size, "multinomial")
    take, give = device.room(size[0][0] // group * n * dtype.itemsize)
    place, queue, faults = placing(3), launch.with_numbers, device.faults

    def run(weights: Any, uniform: Any, out: Any) -> None:
        arrays, begins = place(out, weights, uniform)
        memory = take()
        try:
            queue((*arrays, memory, faults), begins)
        finally:
            give(memory)
        device.suspect = True

    return run


def _reached(facts: Any) -> Callable[..., None]:
    weights, out = facts.weights, facts.outputs[0]
    device, dtype = device_of(out.device), weights.dtype
    if not out.numel:
        return lambda *arrays: None
    macros = {"IS_REACHED": 1, "T": dialect.VALUES[dtype.name], "W": 1}
    text = program(device, "chances", macros, (dtype,), ("fault",))
    n, count = weights.shape[-1], out.shape[-1]
    rows = prod(out.shape[:-1])
    fault = values_fault_of("multinomial", *WEIGHTS)
    numbers = [NO_OFFSETS, *(np.uint64(m) for m in (rows, n, count)), fault]
    size = device.workers(max(rows * count, weights.numel), 1024)
    launch = device.launch(text, "reached", 5, numbers, size, "multinomial")
    return reporting(device, launch, placing(4))


def _is_whole(facts: Any) -> bool:
    """Chances of the draw's own shape."""
    return tuple(facts.chances.shape) == tuple(facts.uniform.shape)


def _is_short(facts: Any) -> bool:
    weights, count = facts.weights, facts.attributes["count"]
    return bool(count == 1 or weights.shape[-1] * count <= FEW)


def _is_dense(facts: Any) -> bool:
    """Weights and uniform numbers of as many rows."""
    return tuple(facts.weights.shape[:-1]) == tuple(facts.uniform.shape[:-1])


def enter(table: KernelTable) -> None:
    """Enter them."""
    options: dict[str, Any] = {"layout": "contiguous", "specialize": True}
    real = (float32, float64)
    table.add("bernoulli_of", _bernoulli, dtypes=FLOATING, when=_is_whole, **options)
    table.add("multinomial_ordered", _ordered, dtypes=real, when=_is_short, **options)
    table.add("multinomial_reached", _reached, dtypes=real, when=_is_dense, **options)
