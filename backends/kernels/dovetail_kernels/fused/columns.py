"""im2col, and col2im: columns added up to an image, in a launch and without collisions."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.dtypes import uint8
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, Array, dense_strides, joined, offsets, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import element, loop_numbers, moved, places, program, runs

__all__ = ["enter"]

LINE = 256
"""Elements of a line that the host's cores add up at a time."""

DIMS = 3
"""Spatial dims of the kernel; an image has them or fewer."""


def _filled(values: Any, filler: int) -> list[int]:
    return [filler] * (DIMS - len(values)) + [int(v) for v in values]


def _col2im(facts: Any) -> Any:
    (columns,), (out,) = facts.inputs, facts.outputs
    if not out.numel:
        return lambda *arrays: None
    device, work = device_of(out.device), accumulated(out.dtype)
    given = facts.attributes
    size = _filled(given["input_shape"][2:], 1)
    kernel, step = _filled(given["kernel_size"], 1), _filled(given["stride"], 1)
    pad, wide = _filled(given["padding"], 0), _filled(given["dilation"], 1)
    windows = [
        (n + 2 * p - w * (k - 1) - 1) // s + 1
        for n, p, w, k, s in zip(size, pad, wide, kernel, step, strict=True)
    ]
    macros = {
        "T": dialect.VALUES[work.name],
        "LINE": LINE * device.is_cpu,
        **element(device, "IN", columns.dtype),
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "columns", macros, (columns.dtype, out.dtype))
    numbers: list[Any] = [np.uint64(n) for n in (0, 0, out.numel)]
    numbers += [np.int64(n) for row in (size, kernel, windows, step, pad, wide) for n in row]
    workers = device.workers(out.numel, max(1, 2048 // prod(kernel)))
    launch = device.launch(text, "col2im", 2, numbers, workers, "col2im")

    def run(columns: Any, out: Any) -> None:
        launch.with_numbers((out.buffer, columns.buffer), offsets(out, columns))

    return run


def _im2col(facts: Any) -> Any:
    source, out = ghost(facts.inputs[0]), ghost(facts.outputs[0])
    if not out.numel:
        return lambda *arrays: None
    device, given, size = device_of(facts.outputs[0].device), facts.attributes, out.itemsize
    kernel, stride = given["kernel_size"], given["stride"]
    pads, gaps, sizes = given["padding"], given["dilation"], source.shape[2:]
    places_of = [
        (n + 2 * p - w * (k - 1) - 1) // s + 1
        for n, p, w, k, s in zip(sizes, pads, gaps, kernel, stride, strict=True)
    ]
    shape, many = (*source.shape[:2], *kernel, *places_of), len(sizes)
    still = (0,) * (2 * many)
    walks = [
        Array(None, 0, shape, dense_strides(shape, size), out.dtype),
        Array(None, 0, shape, (*source.strides[:2], *still), out.dtype),
    ]
    for d, (gap, step) in enumerate(zip(gaps, stride, strict=True)):
        strides = [0] * (2 + 2 * many)
        strides[2 + d], strides[2 + many + d] = gap, step
        walks.append(Array(None, 0, shape, tuple(strides), uint8))
    loops, names = collapse(*walks), ("to", "from", *(f"at{d}" for d in range(many)))
    macros = {
        "WORD": moved("X", itemsize=size)["X_MEMORY"],
        "OUTER(DO)": " ".join(f"DO({d})" for d in range(many - 1)),
        "LAST(DO)": f"DO({many - 1})",
        **places("PLACES", loops, "p", names),
        **runs(device, "PLACES", loops, "p", names),
    }
    text = program(device, "windows", macros, ())
    steps = [s // size % 2**64 for s in source.strides[2:]]
    numbers = [NO_OFFSETS, np.uint64(out.numel), *loop_numbers(loops)]
    numbers += [joined(row, 8, np.uint64) for row in (pads, sizes, steps)]
    launch = device.launch(text, "im2col", 2, numbers, device.workers(out.numel), "im2col")
    queue, place = launch.with_numbers, placing(2)

    def run(image: Any, out: Any) -> None:
        queue(*place(out, image))

    return run


def _can_cut(call: Any) -> bool:
    (out,) = call.outputs
    return out.is_contiguous and len(call.kernel_size) <= DIMS and out.dtype.itemsize <= 8


def enter(table: KernelTable) -> None:
    """Enter them."""
    table.add("im2col", _im2col, when=_can_cut, specialize=True)
    table.add(
        "col2im", _col2im, dtypes=FLOATS, layout="contiguous", specialize=True,
        when=lambda call: len(call.kernel_size) <= DIMS,
    )  # fmt: skip
