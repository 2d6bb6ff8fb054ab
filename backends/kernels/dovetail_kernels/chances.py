"""What uniform numbers choose by chances: the ends of bernoulli and multinomial, a launch each. Few
numbers are drawn in it."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING, finfo, float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import Device, Launch, Size, device_of
from dovetail_kernels.faults import reporting, values_fault_of
from dovetail_kernels.mathematics import taken
from dovetail_kernels.random import WORD_BITS, stream
from dovetail_kernels.source import element, program

__all__ = ["DRAWS", "drawing", "enter"]

FEW = 1 << 20
"""Weights times how many are taken, up to which a row is gone through again for each."""

DRAWN = 1 << 13
"""Elements, or weights times how many are taken, up to which numbers are drawn where they choose:
each by itself, where a draw of many makes vectors of them."""

NO_CHANCE = (
    "Expected p_in >= 0 && p_in <= 1 to be true, but got false. (bernoulli: every element of p "
    "must be a probability)"
)
WEIGHTS = (
    "probability tensor contains either `inf`, `nan` or element < 0",
    "invalid multinomial distribution (sum of probabilities <= 0)",
)
"""PyTorch's sentences."""


DRAWS = {"BITS": WORD_BITS, "STEP": f"{2.0**-WORD_BITS!r}f", "DRAWS": 1}


def drawing(
    device: Device, make: Callable[[dict[str, Any], int, list[Any]], Launch], numbers: int
) -> Callable[[tuple[Any, ...], tuple[Any, ...], int, int], None]:
    """``queue(buffers, begins, seed, offset)`` of launches that draw.

    Args:
        make: the launch, by macros, buffers more than without, and numbers more.
        numbers: how many there are before the stream's.
    """
    launches: dict[bool, Launch] = {}

    def queue(buffers: tuple[Any, ...], begins: tuple[Any, ...], seed: int, offset: int) -> None:
        state = device.draw_state()
        moves = state is not None
        launch = launches.get(moves)
        if launch is None:
            macros = {**DRAWS, "MOVES": int(moves)}
            launch = launches[moves] = make(macros, int(moves), [np.zeros(8, np.uint64)])
        ((_, given),) = stream(seed, offset, 0)
        more = (state,) if moves else ()
        launch.with_numbers((*buffers, device.faults, *more), (*begins, (numbers, given)))
        device.suspect = True

    return queue


def _bernoulli_launch(
    facts: Any, macros: dict[str, Any], buffers: int, numbers: list[Any]
) -> Launch:
    chances, out = facts.chances, facts.outputs[0]
    device = device_of(out.device)
    macros = {
        "IS_BERNOULLI": 1,
        "IS_CPU": int(device.is_cpu),
        **element(device, "OUT", out.dtype),
        **element(device, "P", chances.dtype),
        **macros,
    }
    text = program(
        device, "chances", macros, (out.dtype, chances.dtype), ("fault", "philox", "drawn")
    )
    fault = values_fault_of("bernoulli", NO_CHANCE)
    numbers = [NO_OFFSETS, np.uint64(out.numel), fault, *numbers]
    size = device.workers(out.numel)
    return device.launch(text, "bernoulli", buffers, numbers, size, "bernoulli")


def _bernoulli(facts: Any) -> Callable[..., None]:
    out = facts.outputs[0]
    if not out.numel:
        return lambda *arrays: None
    launch = _bernoulli_launch(facts, {**DRAWS, "DRAWS": 0, "MOVES": 0}, 4, [])
    return reporting(device_of(out.device), launch, placing(3))


def _bernoulli_step(facts: Any) -> Callable[..., None]:
    place = placing(2)
    queue = drawing(
        device_of(facts.outputs[0].device),
        lambda macros, more, last: _bernoulli_launch(facts, macros, 3 + more, last),
        3,
    )

    def run(chances: Any, seed: int, offset: int, out: Any) -> None:
        queue(*place(out, chances), seed, offset)

    return run


def _ordered_launch(
    facts: Any, given: dict[str, Any], buffers: int, more: list[Any]
) -> tuple[Launch, int]:
    """The launch, and the bytes of its keys."""
    weights, out = facts.weights, facts.outputs[0]
    device, dtype = device_of(out.device), weights.dtype
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
        "IS_DOUBLE": int(dtype is float64),
        **given,
    }
    before = ("fault", "members", "philox", "drawn")
    text = program(device, "chances", macros, (dtype,), before, text=functions)
    size: Size = (min(rows, device.units * 16) * group,), (group,)
    if device.is_cpu:
        size = device.workers(rows, max(1, 4096 // (n * count)))
    fault = values_fault_of("multinomial", *WEIGHTS)
    numbers = [NO_OFFSETS, *(np.uint64(m) for m in (rows, n, count)), fault, *more]
    launch = device.launch(text, "ordered", buffers, numbers, size, "multinomial")
    return launch, size[0][0] // group * n * dtype.itemsize


def _ordered(facts: Any) -> Callable[..., None]:
    device = device_of(facts.outputs[0].device)
    if not facts.outputs[0].numel:
        return lambda *arrays: None
    launch, nbytes = _ordered_launch(facts, {**DRAWS, "DRAWS": 0, "MOVES": 0}, 5, [])
    take, give = device.room(nbytes)
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


def _ordered_step(facts: Any) -> Callable[..., None]:
    device, place = device_of(facts.outputs[0].device), placing(2)
    _, nbytes = _ordered_launch(facts, {**DRAWS, "MOVES": 0}, 4, [np.zeros(8, np.uint64)])
    take, give = device.room(nbytes)
    queue = drawing(
        device, lambda macros, more, last: _ordered_launch(facts, macros, 4 + more, last)[0], 5
    )

    def run(weights: Any, seed: int, offset: int, out: Any) -> None:
        arrays, begins = place(out, weights)
        memory = take()
        try:
            queue((*arrays, memory), begins, seed, offset)
        finally:
            give(memory)

    return run


def _reached_launch(facts: Any, given: dict[str, Any], buffers: int, more: list[Any]) -> Launch:
    weights, out = facts.weights, facts.outputs[0]
    device, dtype = device_of(out.device), weights.dtype
    macros = {
        "IS_REACHED": 1,
        "T": dialect.VALUES[dtype.name],
        "W": 1,
        "IS_DOUBLE": int(dtype is float64),
        **given,
    }
    text = program(device, "chances", macros, (dtype,), ("fault", "philox", "drawn"))
    n, count = weights.shape[-1], out.shape[-1]
    rows = prod(out.shape[:-1])
    fault = values_fault_of("multinomial", *WEIGHTS)
    numbers = [NO_OFFSETS, *(np.uint64(m) for m in (rows, n, count)), fault, *more]
    size = device.workers(max(rows * count, weights.numel), 1024)
    return device.launch(text, "reached", buffers, numbers, size, "multinomial")


def _reached(facts: Any) -> Callable[..., None]:
    out = facts.outputs[0]
    if not out.numel:
        return lambda *arrays: None
    launch = _reached_launch(facts, {**DRAWS, "DRAWS": 0, "MOVES": 0}, 5, [])
    return reporting(device_of(out.device), launch, placing(4))


def _reached_step(facts: Any) -> Callable[..., None]:
    place = placing(2)
    queue = drawing(
        device_of(facts.outputs[0].device),
        lambda macros, more, last: _reached_launch(facts, macros, 3 + more, last),
        5,
    )

    def run(weights: Any, seed: int, offset: int, out: Any) -> None:
        queue(*place(out, weights), seed, offset)

    return run


def _is_whole(facts: Any) -> bool:
    """Chances of the draw's own shape."""
    return tuple(facts.chances.shape) == tuple(facts.uniform.shape)


def _is_short(facts: Any) -> bool:
    weights, count = facts.weights, facts.attributes["count"]
    return bool(count == 1 or weights.shape[-1] * count <= FEW)


def _is_dense(facts: Any) -> bool:
    """Weights and uniform numbers of as many rows."""
    return tuple(facts.weights.shape[:-1]) == tuple(facts.uniform.shape[:-1])


def _is_bernoulli_few(facts: Any) -> bool:
    return _is_whole(facts) and facts.uniform.numel <= DRAWN


def _is_ordered_few(facts: Any) -> bool:
    return _is_short(facts) and facts.weights.numel <= DRAWN


def _is_reached_few(facts: Any) -> bool:
    return _is_dense(facts) and facts.weights.shape[-1] * facts.uniform.numel <= DRAWN


def enter(table: KernelTable) -> None:
    """Enter them."""
    options: dict[str, Any] = {"layout": "contiguous", "specialize": True}
    real = (float32, float64)
    table.add("bernoulli_of", _bernoulli, dtypes=FLOATING, when=_is_whole, **options)
    table.add("bernoulli_of_step", _bernoulli_step, when=_is_bernoulli_few, **options)
    table.add(
        "multinomial_ordered_step", _ordered_step, dtypes=real, when=_is_ordered_few, **options
    )
    table.add(
        "multinomial_reached_step", _reached_step, dtypes=real, when=_is_reached_few, **options
    )
    table.add("multinomial_ordered", _ordered, dtypes=real, when=_is_short, **options)
    table.add("multinomial_reached", _reached, dtypes=real, when=_is_dense, **options)
