"""Running extremes and their places: cummax and cummin, in one launch or two."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.backend import KernelTable, Loops, collapse
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.arrays import offsets
from dovetail_kernels.device import Device, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import accumulated, iota
from dovetail_kernels.scan import PART, ROWS_AHEAD, line_of, lines_of
from dovetail_kernels.sides import aligned
from dovetail_kernels.source import converted, element, loop_numbers, places, program
from dovetail_kernels.vectors import BYTES, FETCH, lanes, vector_helpers, whole_stores

__all__ = ["enter"]

MOST_PARTS = 1024
"""Of a line: each part looks at the ends of those before it."""


def enter(table: KernelTable) -> None:
    """Enter the running extremes."""
    table.add("cummax", lambda facts: _running(facts, ">="), specialize=True)
    table.add("cummin", lambda facts: _running(facts, "<="), specialize=True)


def _vectors(device: Device, work: DType, kind: DType, count: int) -> tuple[dict[str, Any], str]:
    """(The macros for vectors, the text before them), where a CPU's places fit the lanes."""
    if not device.is_cpu or count >= 1 << 31:
        return {"W": 1}, ""
    width, value = 64 // work.itemsize, dialect.VALUES[work.name]
    number = "int" if work.itemsize == 4 else "long"
    digits = "0123456789abcdef"[:width]
    steps, step = [], 1
    while step < width:
        moved = f".s{digits[:step]}{digits[:-step]}"  # the first lanes find themselves
        steps.append(
            f"{{ const VECTOR v_ = v{moved}; const AT at_ = at{moved}; "
            f"const AT take_ = BETTER(v, v_); v = take_ ? v : v_; at = take_ ? at : at_; }}"
        )
        step *= 2
    made = lanes(device, "IN", kind, width, side=False)
    made |= lanes(device, "OUT", kind, width, side=False)
    if kind.itemsize < work.itemsize and kind.category < 2:
        made["IN_V(p, i)"] = f"convert_{value}{width}(vload{width}(0, (p) + (i)))"
        memory = dialect.TYPES[kind.name]
        made["OUT_SET_V(p, i, v)"] = f"vstore{width}(convert_{memory}{width}(v), 0, (p) + (i))"
    stores = "; ".join(
        f"STORE_ulong8((global ulong *)(p) + (i) + {8 * k}, as_ulong8(CONVERT_long8({half})))"
        for k, half in enumerate(["(v).lo", "(v).hi"] if width == 16 else ["(v)"])
    )
    last = digits[-1]
    return made | {
        "W": width,
        "ROWS_AHEAD": ROWS_AHEAD,
        "VECTOR": f"{value}{width}",
        "NUMBER": number,
        "AT": f"{number}{width}",
        "IOTA": iota(number, width),
        "STORE_LANES(v, p)": f"vstore{width}(v, 0, p)",
        "SET_AT(p, i, v)": stores,
        "LAST_V(v)": f"(VECTOR)((v).s{last})",
        "LAST_AT(v)": f"(AT)((v).s{last})",
        "RUN_LANES(v, at)": " ".join(steps),
    }, FETCH + BYTES + vector_helpers((kind,), width) + whole_stores(["ulong"], 8)


def _running(facts: Any, sign: str) -> Any:
    source = ghost(facts.inputs[0])
    values, indices = (ghost(out) for out in facts.outputs)
    device, dim = device_of(facts.outputs[0].device), facts.attributes["dim"]
    kind = source.dtype
    work = d.int32 if kind.category < 2 and kind.itemsize < 4 else accumulated(kind)
    steps = [line_of(array, dim)[1] for array in (values, indices, source)]
    count, lines = line_of(source, dim)[0], lines_of(source, dim).numel
    if not lines * count:
        return lambda *arrays: None
    loops = collapse(*(lines_of(array, dim) for array in (values, indices, source)))
    vectors, helpers = _vectors(device, work, kind, count)
    is_nan = " | ((v) != (v))" if work.category == 2 else ""
    macros = {
        "T": dialect.VALUES[work.name],
        "IS_CPU": int(device.is_cpu),
        "LOADED(i)": converted(kind, work, "IN_LOAD(in, i)"),
        "RESULT(a)": converted(work, kind, "a"),
        "BETTER(v, a)": f"(((v) {sign} (a)){is_nan})",
        **element(device, "IN", kind),
        **element(device, "OUT", kind),
        **vectors,
    }
    width, row = vectors["W"], loops.shape[-1] if loops.shape else 0
    is_beside = width > 1 and row >= width and all(step[-1] == 1 for step in loops.strides)
    if is_beside:
        loops = Loops(loops.shape[:-1], tuple(strides[:-1] for strides in loops.strides))
    macros |= places("LINES", loops, "l", ("values", "indices", "from"))
    text = program(device, "running", macros, (kind,), text=helpers)
    name = facts.op.name
    busy = -(-device.units * (4 if device.is_cpu else 256) // lines)
    parts = 1 if is_beside else max(1, min(busy, count // PART, MOST_PARTS))
    chunk = -(-count // parts)
    chunk = aligned(chunk)
    parts = -(-count // chunk)
    numbers = [np.uint64(n) for n in (0, 0, 0, lines, count, parts, chunk, *steps)]
    numbers += loop_numbers(loops)
    if is_beside:
        size = device.workers(lines // row * -(-row // width), max(1, 2048 // count))
        beside = device.launch(text, "beside", 3, [*numbers, np.uint64(row)], size, name)

        def run_beside(x: Any, y: Any, at: Any) -> None:
            beside.with_numbers((x.buffer, y.buffer, at.buffer), offsets(y, at, x))

        return run_beside
    size = device.workers(lines * parts, max(1, 4096 // chunk))
    scan = device.launch(text, "scan", 5, numbers, size, name)
    ends = device.launch(text, "ends", 3, numbers, size, name) if parts > 1 else None
    carries = (lines * parts * work.itemsize, lines * parts * 8)

    def run(x: Any, y: Any, at: Any) -> None:
        begins = offsets(y, at, x)
        if ends is None:
            scan.with_numbers((y.buffer, at.buffer, x.buffer, y.buffer, at.buffer), begins)
            return
        with device.scratch(*carries) as (carry, carried):
            ends.with_numbers((carry, carried, x.buffer), begins)
            scan.with_numbers((carry, carried, x.buffer, y.buffer, at.buffer), begins)

    return run
