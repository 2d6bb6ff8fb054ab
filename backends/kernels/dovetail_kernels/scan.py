"""Scans: cumsum and cumprod. A line is one work item's, or cut into parts that know their start."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable, Loops, collapse
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32
from dovetail_kernels import dialect
from dovetail_kernels.arrays import Array, offsets, part
from dovetail_kernels.device import Device, device_of
from dovetail_kernels.elementwise import ghost, seen
from dovetail_kernels.folds import FOLDS, accumulated, wrapping
from dovetail_kernels.sides import aligned
from dovetail_kernels.source import converted, element, loop_numbers, places, program
from dovetail_kernels.vectors import FETCH, lanes, vector_helpers

__all__ = ["enter", "line_of", "lines_of"]

ROWS_AHEAD = 16
"""Elements of a line that are fetched before their use, where lines lie side by side."""

PART = 2048
"""Elements of a part, at least."""

BLOCK = 64
"""Elements of a long line of floats that are summed before what comes before them is added."""


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


def _vectors(device: Device, fold: str, work: DType, source: DType, out: DType) -> dict[str, Any]:
    """The macros for vectors, where a CPU folds floats."""
    if not device.is_cpu or {source.category, out.category} != {2} or accumulated(source) != work:
        return {"W": 1}
    width, kind = 64 // work.itemsize, dialect.VALUES[work.name]
    vector = f"{kind}{width}"
    sign = {"sum": "+", "prod": "*"}[fold]
    lane = [f"v.s{c}" for c in "0123456789abcdef"[:width]]
    steps, step = [], 1
    while step < width:
        moved = ", ".join(["none.s0"] * step + lane[:-step])
        steps.append(f"v = v {sign} ({vector})({moved});")
        step *= 2
    made: dict[str, Any] = lanes(device, "IN", source, width, side=False)
    made |= lanes(device, "OUT", out, width, side=False)
    return made | {
        "W": width,
        "ROWS_AHEAD": ROWS_AHEAD,
        "VECTOR": vector,
        "STORE_LANES(v, p)": f"vstore{width}(v, 0, p)",
        "LAST(v)": f"({vector})((v).s{'0123456789abcdef'[width - 1]})",
        "RUNNING(v, none)": "running(v, none)",
        "RUNNING_TEXT": f"static inline {vector} running({vector} v, {vector} none) {{ "
        f"{' '.join(steps)} return v; }}\n",
    }


def _scan(facts: Any, fold_name: str) -> Any:
    source, out = ghost(seen(facts)[0]), ghost(facts.outputs[0])
    device, dim = device_of(facts.outputs[0].device), facts.attributes["dim"]
    work = accumulated(out.dtype)
    fold = FOLDS[fold_name]
    (count, step_in), (_, step_out) = line_of(source, dim), line_of(out, dim)
    beside = lines_of(out, dim)
    lines = beside.numel
    if not lines * count:
        return lambda *arrays: None
    loops = collapse(beside, lines_of(source, dim))
    text = fold.complex_text if work.is_complex and fold.complex_text else fold.text
    macros = {
        "T": wrapping(work),
        **dialect.pairing(wrapping(work)),
        "LOADED(i)": converted(source.dtype, work, "IN_LOAD(in, i)"),
        "RESULT(a)": converted(work, out.dtype, "a"),
        "START": converted(float32 if work.is_complex else work, work, str(fold.start)),
        "FOLD(a, v)": text,
        "BLOCK": BLOCK * (fold_name == "sum" and work.category > 1 and count > 4 * BLOCK),
        **element(device, "IN", source.dtype),
        **element(device, "OUT", out.dtype),
    }
    vectors = _vectors(device, fold_name, work, source.dtype, out.dtype)
    width = vectors["W"]
    helpers = FETCH + vector_helpers((source.dtype, out.dtype), width)
    helpers += vectors.pop("RUNNING_TEXT", "")
    macros |= vectors
    name = facts.op.name
    row = loops.shape[-1] if loops.shape else 0
    if width > 1 and row >= 4 * width and all(strides[-1] == 1 for strides in loops.strides):
        walked = Loops(loops.shape[:-1], tuple(strides[:-1] for strides in loops.strides))
        text = program(
            device, "scan", macros | places("LINES", walked, "l", ("to", "from")),
            (source.dtype, out.dtype), text=helpers,
        )  # fmt: skip
        numbers = [np.uint64(n) for n in (0, 0, lines, count, 1, count, step_out, step_in)]
        numbers += [*loop_numbers(walked), np.uint64(row)]
        size = device.workers(lines // row * -(-row // (4 * width)), max(1, 2048 // count))
        beside_each_other = device.launch(text, "beside", 2, numbers, size, name)

        def run_beside(x: Any, y: Any) -> None:
            beside_each_other.with_numbers((x.buffer, y.buffer), offsets(y, x))

        return run_beside
    busy = -(-device.units * (4 if device.is_cpu else 256) // lines)
    parts = max(1, min(busy, count // PART))
    chunk = -(-count // parts)
    chunk = aligned(chunk)
    parts = -(-count // chunk)
    macros |= places("LINES", loops, "l", ("to", "from"))
    source_text = program(device, "scan", macros, (source.dtype, out.dtype), text=helpers)
    numbers = [np.uint64(n) for n in (0, 0, lines, count, parts, chunk, step_out, step_in)]
    numbers += loop_numbers(loops)
    size = device.workers(lines * parts, max(1, 4096 // chunk))
    scan = device.launch(source_text, "scan", 3, numbers, size, name)
    if parts > 1:
        totals = device.launch(source_text, "totals", 2, numbers, size, name)
        sizes = [np.uint64(lines), np.uint64(parts)]
        carried = device.launch(source_text, "carried", 1, sizes, device.workers(lines, 64), name)

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
