"""Pooling into so many places, by windows of unequal sizes, and its gradient: a launch each."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import INTEGRAL
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import element, program

__all__ = ["enter"]


def _four(sizes: tuple[int, ...]) -> Any:
    """Sizes of planes as an int4."""
    return np.array([*[1] * (3 - len(sizes)), *sizes, 0], np.int32)


def _made(facts: Any) -> Callable[..., None]:
    (given,), out = facts.inputs, facts.outputs[0]
    device, name = device_of(out.device), facts.op.name
    if not out.numel:
        return lambda *arrays: None
    plane, places = (given, out) if name != "uneven_avg_pool_grad" else (out, given)
    is_max = name == "adaptive_max_pool"
    macros: dict[str, Any] = {
        "IS_MAX": int(is_max),
        "IS_CPU": int(device.is_cpu),
        **element(device, "OUT", out.dtype),
    }
    spreads = False
    if not is_max:
        work = accumulated(out.dtype)
        spreads = device.is_cpu and plane is out and work is out.dtype
        macros |= {"T": dialect.VALUES[work.name], "IS_SPREAD": int(spreads)}
    text = program(device, "adaptive_pool", macros, (out.dtype,))
    width = out.shape[-1]
    rows = out.numel // width
    numbers = [NO_OFFSETS, np.uint64(rows), _four(plane.shape[2:]), _four(places.shape[2:])]
    size = device.workers(out.numel, 1)
    if device.is_cpu:
        each = max(1, given.numel // out.numel) * width
        size = device.workers(rows, max(1, 4096 // each))
    if spreads:
        area = prod(out.shape[2:])
        size = device.workers(out.numel // area, max(1, 4096 // area))
    launch = device.launch(text, name, 2 + is_max, numbers, size, name)
    place, queue = placing(2 + is_max), launch.with_numbers

    def run(given: Any, out: Any) -> None:
        queue(*place(out, given))

    def run_max(given: Any, out: Any, indices: Any) -> None:
        queue(*place(out, indices, given))

    return run_max if is_max else run


def _fits(facts: Any) -> bool:
    """Where there is something to compute there are elements, whose numbers times sizes 32 bits
    hold."""
    (given,), out = facts.inputs, facts.outputs[0]
    if not out.numel:
        return True
    pairs = zip(given.shape[2:], out.shape[2:], strict=True)
    small = all((n + 1) * (m + 1) < 1 << 31 for n, m in pairs)
    planes = (prod(t.shape[2:]) for t in (given, out))
    return small and bool(given.numel) and given.ndim <= 5 and all(n < 1 << 30 for n in planes)


def enter(table: KernelTable) -> None:
    """Enter them."""
    options: dict[str, Any] = {"layout": "contiguous", "specialize": True, "when": _fits}
    table.add("adaptive_max_pool", _made, dtypes=(*FLOATS, *INTEGRAL), **options)
    for name in ("uneven_avg_pool", "uneven_avg_pool_grad"):
        table.add(name, _made, dtypes=FLOATS, **options)
