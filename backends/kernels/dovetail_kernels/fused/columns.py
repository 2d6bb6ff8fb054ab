"""col2im: columns added up to an image, in a launch and without collisions."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import offsets
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import element, program

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
    places = [
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
    numbers += [np.int64(n) for row in (size, kernel, places, step, pad, wide) for n in row]
    workers = device.workers(out.numel, max(1, 2048 // prod(kernel)))
    launch = device.launch(text, "col2im", 2, numbers, workers, "col2im")

    def run(columns: Any, out: Any) -> None:
        launch.with_numbers((out.buffer, columns.buffer), offsets(out, columns))

    return run


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add(
        "col2im", _col2im, dtypes=FLOATS, layout="contiguous", specialize=True,
        when=lambda call: len(call.kernel_size) <= DIMS,
    )  # fmt: skip
