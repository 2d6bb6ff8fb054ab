"""Scans: cumsum and cumprod. A line is one work item's, or cut into parts that know their start."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.dtypes import float32, float64
from dovetail_opencl.arrays import Array, offsets, part
from dovetail_opencl.device import Launch
from dovetail_opencl.kernels.elementwise import ghost
from dovetail_opencl.kernels.reduce import FOLDS, accumulated, wrapping
from dovetail_opencl.runtime import device_of
from dovetail_opencl.source import converted, element, loop_numbers, places, program

__all__ = ["enter", "line_of", "lines_of"]

PART = 2048
"""Elements of a part, at least."""


def enter(table: KernelTable) -> None:
    """Enter the scans."""
    table.add("cumsum", lambda facts: _scan(facts, "sum"), specialize=True)
    table.add("cumprod", lambda facts: _scan(facts, "prod"), specialize=True)


def lines_of(array: Array, dim: int) -> Array:
    """An array's other dims: where its lines along ``dim`` begin."""
    return part(array, [i for i in range(array.ndim) if i != dim])


def line_of(array: Array, dim: int) -> tuple[int, int]:
    """(elements of a line along ``dim``, elements from one to the next)."""
    if not array.ndim:
        return 1, 1
    return array.shape[dim], array.strides[dim] // array.dtype.itemsize


def _scan(facts: Any, fold_name: str) -> Any:
    source, out = ghost(facts.inputs[0]), ghost(facts.outputs[0])
    device, dim = device_of(facts.outputs[0].device.index), facts.attributes["dim"]
    work = accumulated(out.dtype)
    if out.dtype is float32 and device.has_double:  # one rounding per element would add up
        work = float64
    fold = FOLDS[fold_name]
    (count, step_in), (_, step_out) = line_of(source, dim), line_of(out, dim)
    beside = lines_of(out, dim)
    lines = beside.numel
    if not lines * count:
        return lambda *arrays: None
    busy = -(-device.units * (4 if device.is_cpu else 256) // lines)
    parts = max(1, min(busy, count // PART))
    chunk = -(-count // parts)
    parts = -(-count // chunk)
    loops = collapse(beside, lines_of(source, dim))
    text = fold.complex_text if work.is_complex and fold.complex_text else fold.text
    macros = {
        "T": wrapping(work),
        "LOADED(i)": converted(source.dtype, work, "IN_LOAD(in, i)"),
        "RESULT(a)": converted(work, out.dtype, "a"),
        "START": converted(float32 if work.is_complex else work, work, str(fold.start)),
        "FOLD(a, v)": text,
        **element(device, "IN", source.dtype),
        **element(device, "OUT", out.dtype),
        **places("LINES", loops, "l", ("to", "from")),
    }
    source_text = program(device, "scan", macros, (source.dtype, out.dtype, work))
    numbers = [np.uint64(n) for n in (0, 0, lines, count, parts, chunk, step_out, step_in)]
    numbers += loop_numbers(loops)
    size = device.workers(lines * parts, max(1, 4096 // chunk))
    name = facts.op.name
    scan = Launch(device, source_text, "scan", 3, numbers, size, name)
    if parts > 1:
        totals = Launch(device, source_text, "totals", 2, numbers, size, name)
        sizes = [np.uint64(lines), np.uint64(parts)]
        carried = Launch(device, source_text, "carried", 1, sizes, device.workers(lines, 64), name)

    def run(x: Any, y: Any) -> None:
        end, begin = offsets(y, x)
        if parts == 1:
            scan.with_numbers((y.buffer, x.buffer, y.buffer), (begin, end))
            return
        with device.scratch(lines * parts * work.itemsize) as (carry,):
            totals.with_numbers((carry, x.buffer), (begin,))
            carried(carry)
            scan.with_numbers((carry, x.buffer, y.buffer), (begin, end))

    return run
