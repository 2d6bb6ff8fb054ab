"""logcumsumexp and its gradient: a launch each, or two where a line is cut into parts."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import Device, device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.mathematics import taken
from dovetail_kernels.scan import PART
from dovetail_kernels.sides import aligned
from dovetail_kernels.source import element, program
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["enter"]

MOST_PARTS = 1024
"""Of a line: each part looks at the ends of the others."""


def _macros(device: Device, dtype: Any, *, is_forward: bool) -> tuple[dict[str, Any], str]:
    work = accumulated(dtype)
    kind = dialect.VALUES[work.name]
    width = 64 // work.itemsize if device.is_cpu else 1
    made: dict[str, Any] = {
        "IS_FORWARD": int(is_forward),
        "T": kind,
        "W": width,
        **element(device, "OUT", dtype),
    }
    if width == 1:
        return made | {"EXP_ONE": "exp", "LOG_ONE": "log"}, ""
    calls = [("exp", 1), ("exp", width), ("log", 1), ("log", width)]
    names, text = taken(calls, kind, is_own=True)
    digits = "0123456789abcdef"[:width]
    steps, step = [], 1
    while step < width:
        moved = ", ".join(["none.s0"] * step + [f"v.s{c}" for c in digits[:-step]])
        steps.append(f"v = v + (VECTOR)({moved});")
        step *= 2
    made |= {
        **dict(zip(("EXP_ONE", "EXP_V", "LOG_ONE", "LOG_V"), names, strict=True)),
        "VECTOR": f"{kind}{width}",
        "vloadW": f"vload{width}",
        "vstoreW": f"vstore{width}",
        "RUN_LANES": " ".join(steps),
        "LAST(v)": f"(v).s{digits[-1]}",
        **lanes(device, "OUT", dtype, width, side=False),
    }
    return made, text + vector_helpers((dtype, work), width)


def _scan(facts: Any) -> Callable[..., None]:
    out, dim = facts.outputs[0], facts.attributes["dim"]
    device, name = device_of(out.device), facts.op.name
    if not out.numel:
        return lambda *arrays: None
    is_forward = name == "logcumsumexp"
    shape = tuple(out.shape) or (1,)
    dim %= len(shape)
    count, inner = shape[dim], prod(shape[dim + 1 :])
    lines = out.numel // count
    macros, helpers = _macros(device, out.dtype, is_forward=is_forward)
    text = program(device, "log_scan", macros, (out.dtype,), text=helpers)
    width, itemsize = macros["W"], accumulated(out.dtype).itemsize
    arrays = 2 if is_forward else 4
    place = placing(arrays)
    if is_forward and width > 1 and inner >= width:
        numbers = [NO_OFFSETS, *(np.uint64(n) for n in (lines, count, inner, 1, count))]
        size = device.workers(lines // inner * -(-inner // width), max(1, 1024 // count))
        side_by_side = device.launch(text, "beside", 2, numbers, size, name)

        def run_beside(x: Any, out: Any) -> None:
            side_by_side.with_numbers(*place(out, x))

        return run_beside
    busy = -(-device.units * (4 if device.is_cpu else 256) // lines)
    parts = max(1, min(busy, count // PART, MOST_PARTS))
    chunk = aligned(-(-count // parts))
    parts = -(-count // chunk)
    numbers = [NO_OFFSETS, *(np.uint64(n) for n in (lines, count, inner, parts, chunk))]
    size = device.workers(lines * parts, max(1, 1024 // chunk))
    kernel = "log_scan" if is_forward else "log_scan_back"
    scan = device.launch(text, kernel, arrays + 1, numbers, size, name)
    if parts == 1:

        def run(*given: Any) -> None:
            buffers, begins = place(given[-1], *given[:-1])
            scan.with_numbers((*buffers, buffers[0]), begins)

        return run
    ends = device.launch(
        text, "ends" if is_forward else "ends_back", 2 if is_forward else 3, numbers, size, name
    )
    take, give = device.room(lines * parts * itemsize * (2 if is_forward else 1))

    def run_parts(*given: Any) -> None:
        buffers, begins = place(given[-1], *given[:-1])
        memory = take()
        try:
            read = (buffers[1],) if is_forward else (buffers[1], buffers[3])
            ends.with_numbers((memory, *read), begins)
            scan.with_numbers((*buffers, memory), begins)
        finally:
            give(memory)

    return run_parts


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("logcumsumexp", "logcumsumexp_backward"):
        table.add(name, _scan, dtypes=FLOATING, layout="contiguous", specialize=True)
