"""diff, trapezoid and cumulative_trapezoid of few elements: one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, StridedView, collapse
from dovetail.dtypes import bfloat16, float16, float32, float64
from dovetail_kernels.arrays import NO_OFFSETS, Array, part, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.source import element, loop_numbers, places, program

__all__ = ["enter"]

ORDERS = 8
"""Differences of differences up to which values are in registers."""

FEW, LONG = 1 << 14, 1 << 10
"""Elements, and those of a line, that are taken one after the other; more are the core's steps,
whose kernels are of vectors."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    table.add("diff", _diff, when=_is_plain, specialize=True)
    for name in ("trapezoid", "cumulative_trapezoid"):
        table.add(name, _integral, when=_is_short, specialize=True)


def _is_plain(call: Any) -> bool:
    source, out = call.inputs[0], call.outputs[0]
    order = call.attributes["n"]
    is_alone = call.inputs[1] is None and call.inputs[2] is None
    is_half = out.dtype in (float16, bfloat16)  # whose differences are rounded each time
    is_short = source.numel <= FEW and 0 < order <= (1 if is_half else ORDERS)
    return bool(is_alone and is_short and source.numel and out.numel)


def _less(dtype: Any) -> str:
    if dtype.category == 0:
        return "((a) != (b))"
    if dtype.category == 1:  # wraps around
        return "(X_VALUE)((ulong)(a) - (ulong)(b))"
    return "((a) - (b))"


def _diff(facts: Any) -> Callable[..., None]:
    source, out = ghost(facts.inputs[0]), ghost(facts.outputs[0])
    device, dim = device_of(facts.outputs[0].device), facts.attributes["dim"]
    loops = collapse(out, Array(None, 0, out.shape, source.strides, source.dtype))
    macros = {
        "IS_DIFF": 1,
        "ORDER": facts.attributes["n"],
        "LESS(a, b)": _less(out.dtype),
        **element(device, "X", out.dtype),
        **places("PLACES", loops, "p", ("to", "from")),
    }
    text = program(device, "differences", macros, (out.dtype,))
    numbers = [NO_OFFSETS, np.uint64(out.numel), *loop_numbers(loops)]
    numbers.append(np.uint64(source.strides[dim] // source.itemsize % 2**64))
    launch = device.launch(text, "diff", 2, numbers, device.workers(out.numel), "diff")
    queue, place = launch.with_numbers, placing(2)

    def run(input: Any, prepend: Any, append: Any, out: Any) -> None:
        queue(*place(out, input))

    return run


def _is_short(call: Any) -> bool:
    values, points = call.inputs
    out, dim = call.outputs[0], call.attributes["dim"]
    kinds = {x.dtype for x in (values, points, out) if x is not None}
    if len(kinds) != 1 or not kinds & {float32, float64}:
        return False
    if not (values.numel and out.numel):
        return False
    if points is not None:
        whole = np.broadcast_shapes(values.shape, points.shape)
        if len(whole) != values.ndim or whole[dim] != values.shape[dim]:
            return False
        if points.shape[dim - values.ndim] != values.shape[dim]:
            return False
        return bool(whole[dim] <= LONG and int(np.prod(whole)) <= FEW)
    return bool(values.shape[dim] <= LONG and values.numel <= FEW)


def _integral(facts: Any) -> Callable[..., None]:
    values: StridedView = ghost(facts.inputs[0])
    out = ghost(facts.outputs[0])
    device, dim = device_of(facts.outputs[0].device), facts.attributes["dim"]
    is_running, has_points = facts.op.name != "trapezoid", facts.inputs[1] is not None
    length, ndim = values.shape[dim], values.ndim
    whole = values.shape
    if has_points:
        points: StridedView = ghost(facts.inputs[1])
        whole = np.broadcast_shapes(values.shape, points.shape)
        values, points = values.expand(whole), points.expand(whole)
    rest = [i for i in range(ndim) if i != dim]
    lines = part(out, rest) if is_running else out
    walks = [lines, part(values, rest)]
    names = ["to", "from"]
    steps = [out.strides[dim] // out.itemsize if is_running else 0, _step(values, dim), 0]
    if has_points:
        walks.append(part(points, rest))
        names.append("point")
        steps[2] = _step(points, dim)
    loops = collapse(*walks)
    macros = {
        "IS_DIFF": 0,
        "RUNNING": int(is_running),
        "HAS_POINTS": int(has_points),
        **element(device, "X", out.dtype),
        **places("PLACES", loops, "p", names),
    }
    text = program(device, "differences", macros, (out.dtype,))
    numbers = [NO_OFFSETS, np.uint64(lines.numel), *loop_numbers(loops)]
    numbers += [np.uint64(n % 2**64) for n in (length, *steps)]
    numbers.append(out.dtype.numpy.type(0.5 * (1 if has_points else facts.attributes["dx"])))
    size = device.workers(lines.numel, max(1, 4096 // length))
    count = 3 if has_points else 2
    launch = device.launch(text, "trapezoid", count, numbers, size, facts.op.name)
    queue, place = launch.with_numbers, placing(count)

    def run(y: Any, x: Any, out: Any) -> None:
        queue(*(place(out, y, x) if has_points else place(out, y)))

    return run


def _step(array: StridedView, dim: int) -> int:
    return array.strides[dim] // array.itemsize
