"""max_pool and avg_pool with their gradients: a launch each."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import INTEGRAL
from dovetail_kernels import dialect
from dovetail_kernels.arrays import Array, offsets, packed
from dovetail_kernels.copy import Copy
from dovetail_kernels.deterministic import is_ordered
from dovetail_kernels.device import Device, Size, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.pool_lines import average_of_lines, can_take_lines, largest_of_lines
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.scatter import atomic
from dovetail_kernels.source import element, program

__all__ = ["enter"]


def _three(sizes: Any, filler: int) -> tuple[int, ...]:
    return (*[filler] * (3 - len(sizes)), *sizes)


def _four(sizes: Any) -> Any:
    """Sizes of planes as an int4."""
    return np.array([*_three(sizes, 1), 0], np.int32)


NAMES = ("kernel_size", "stride", "padding", "dilation")

MUCH = 1 << 15
"""Elements from which on a window's sizes are fixed in the text, so that its loops are unrolled; to
compile a text for each window costs more than ten thousand smaller calls."""


def _rows_of(facts: Any, ndim: int) -> list[tuple[int, ...]]:
    """What these attributes are along three dims."""
    fillers = (1, 1, 0, 1)
    return [
        _three(facts.attributes.get(name, (1,) * ndim), filler)
        for name, filler in zip(NAMES, fillers, strict=True)
    ]


def _window(facts: Any, size: Any, places: Any) -> tuple[dict[str, Any], list[Any]]:
    """(macros of a window that slides over planes of ``size``, numbers that a kernel is given)."""
    made: dict[str, Any] = {"IS_CPU": int(device_of(facts.outputs[0].device).is_cpu)}
    ends = []
    rows = _rows_of(facts, len(size))
    for n, m, k, s, p, q in zip(_three(size, 1), _three(places, 1), *rows, strict=True):
        ends.append(p > 0 or (m - 1) * s + (k - 1) * q + 1 - p > n)
    made["HAS_EDGES"] = int(any(ends))
    is_fixed = max(t.numel for t in (*facts.inputs, *facts.outputs)) >= MUCH
    for name, row in zip(NAMES, rows, strict=True):
        word = name.removesuffix("_size").upper()
        told = row if is_fixed else [f"{name}.{letter}" for letter in "xyz"]
        made |= {f"{word}_{letter}": n for letter, n in zip("ZYX", told, strict=True)}
    numbers = [] if is_fixed else [_four(row) for row in rows]
    made["WINDOW_NUMBERS"] = "" if is_fixed else "".join(f", int4 {name}" for name in NAMES)
    return made, numbers


def _lines(facts: Any, macros: dict[str, Any], window: list[Any]) -> Any:
    """What queues a launch of ``pool_lines.py``, where one serves."""
    (x, *_), out, name = facts.inputs, facts.outputs[0], facts.op.name
    device, rows = device_of(out.device), _rows_of(facts, len(x.shape) - 2)
    size, places = _three(x.shape[2:], 1), _three(out.shape[2:], 1)
    is_gradient = name == "avg_pool_grad"
    if is_gradient:
        size, places = places, size
    if x.dtype not in FLOATS or not can_take_lines(device, rows, size, places):
        return None
    make = largest_of_lines
    if name != "max_pool":
        make = partial(average_of_lines, is_gradient=is_gradient)
    planes = out.shape[0] * out.shape[1]
    macros = macros | {"STRIDE_X": rows[1][2]}  # vectors are read by it
    launch, take, give = make(device, out.dtype, macros, window, rows, size, places, planes)

    def run(x: Any, *made: Any) -> None:
        memory = take()
        try:
            buffers = (*[array.buffer for array in made], x.buffer, memory)
            launch.with_numbers(buffers, offsets(*made, x))
        finally:
            give(memory)

    return run


def _rows(device: Device, count: int, width: int, window: int) -> Any:
    if not device.is_cpu:
        return device.workers(count * width, 1)
    return device.workers(count, max(1, 4096 // max(1, width * window)))


def _max_pool(facts: Any) -> Any:
    (x,), (out, _) = facts.inputs, facts.outputs
    device = device_of(out.device)
    size, places = tuple(x.shape[2:]), tuple(out.shape[2:])
    window, told = _window(facts, size, places)
    if (run_lines := _lines(facts, window, told)) is not None:
        return run_lines
    least = "-INFINITY"
    if out.dtype.category == 1:  # any value goes before it: there is no index yet
        least = f"({dialect.VALUES[out.dtype.name]})0"
    macros = {
        "IS_MAX": 1,
        "LEAST": least,
        **window,
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "pool", macros, (out.dtype,))
    rows = out.numel // places[-1]
    numbers = [*[np.uint64(0)] * 3, np.uint64(rows), _four(size), _four(places), *told]
    work = _rows(device, rows, places[-1], prod(facts.attributes["kernel_size"]))
    launch = device.launch(text, "max_pool", 3, numbers, work, "max_pool")

    def run(x: Any, out: Any, indices: Any) -> None:
        launch.with_numbers((out.buffer, indices.buffer, x.buffer), offsets(out, indices, x))

    return run


def _max_pool_grad(facts: Any) -> Any:
    (grad, _), (out,) = facts.inputs, facts.outputs
    device, work = device_of(out.device), accumulated(out.dtype)
    planes = out.shape[0] * out.shape[1]
    area, made = out.numel // planes, grad.numel // planes
    can = work.itemsize == 4 or device.has_long_atomics
    is_atomic = not device.is_cpu and can and not is_ordered()
    macros = {
        "IS_MAX_GRAD": 1,
        "IS_ATOMIC": int(is_atomic),
        "T": dialect.VALUES[work.name],
        **element(device, "G", grad.dtype),
        **(atomic(work) if is_atomic else {}),
    }
    text = program(device, "pool", macros, (grad.dtype, work))
    numbers = [np.uint64(n) for n in (0, 0, 0, planes, area, made)]
    size: Size
    if is_atomic:
        groups = min(planes, device.units * 32)
        members = min(64, device.group)
        size = ((groups * members,), (members,))
    else:
        size = device.workers(planes, max(1, 4096 // (area + made)))
    launch = device.launch(text, "max_pool_grad", 3, numbers, size, "max_pool_grad")

    def run(grad: Any, indices: Any, out: Any) -> None:
        launch.with_numbers((out.buffer, grad.buffer, indices.buffer), offsets(out, grad, indices))

    if work is out.dtype:
        return run
    dense = packed(ghost(out))
    wide = packed(dense, work)
    narrow = Copy(device, wide, dense)

    def run_wide(grad: Any, indices: Any, out: Any) -> None:
        with device.scratch(wide.numel * work.itemsize) as (block,):
            held = Array(block, 0, wide.shape, wide.strides, work)
            run(grad, indices, held)
            narrow(held, out)

    return run_wide


def _average(facts: Any) -> Any:
    (x,), (out,) = facts.inputs, facts.outputs
    name = facts.op.name
    device, work = device_of(out.device), accumulated(out.dtype)
    plane, places = (x, out) if name == "avg_pool" else (out, x)
    size, made = tuple(plane.shape[2:]), tuple(places.shape[2:])
    sizes, told = _window(facts, size, made)
    window = {
        "COUNTS_PADDING": int(facts.attributes["count_include_pad"]),
        "HAS_DIVISOR": facts.attributes["divisor_override"] or 0,
        **sizes,
    }
    if (run_lines := _lines(facts, window, told)) is not None:
        return run_lines
    macros = {
        "IS_AVERAGE": 1,
        "T": dialect.VALUES[work.name],
        "PLACE": "int",
        **window,
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "pool", macros, (out.dtype,), before=("pool_divisor",))
    rows = out.numel // out.shape[-1]
    numbers = [*[np.uint64(0)] * 2, np.uint64(rows), _four(size), _four(made), *told]
    work_size = _rows(device, rows, out.shape[-1], prod(facts.attributes["kernel_size"]))
    launch = device.launch(text, name, 2, numbers, work_size, name)

    def run(x: Any, out: Any) -> None:
        launch.with_numbers((out.buffer, x.buffer), offsets(out, x))

    return run


def _fits(facts: Any) -> bool:
    """There is something in every tensor, and 32 bits count the elements of a plane."""
    tensors = (*facts.inputs, *facts.outputs)
    return all(t.numel and prod(t.shape[2:]) < 1 << 30 for t in tensors)


def enter(table: KernelTable) -> None:
    """Enter them."""
    options: dict[str, Any] = {"layout": "contiguous", "specialize": True, "when": _fits}
    table.add("max_pool", _max_pool, dtypes=(*FLOATS, *INTEGRAL), **options)
    table.add("max_pool_grad", _max_pool_grad, dtypes=FLOATS, **options)
    for name in ("avg_pool", "avg_pool_grad"):
        table.add(name, _average, dtypes=FLOATS, **options)
