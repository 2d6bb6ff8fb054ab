"""cat and stack: as many tensors as a device's launch takes, in one where each would be a copy.

Tensors must have rows: the dims before the joined one lie in memory as one, the others are dense.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import Array
from dovetail_kernels.device import device_of, known
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.source import moved, program

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("cat", "stack"):
        table.add(name, _specialised, when=_fits, specialize=True)


def _step(array: Array, dim: int) -> int | None:
    """Elements from one row to the next; None where rows are not dense or do not follow on."""
    loops = list(zip(array.shape, array.element_strides, strict=True))
    run = 1
    for n, stride in reversed(loops[dim:]):
        if n != 1 and stride != run:
            return None
        run *= n
    step = run
    reached: int | None = None
    for n, stride in reversed(loops[:dim]):
        if n == 1:
            continue
        if reached is None:
            step = stride
        elif stride != reached:
            return None
        reached = stride * n
    return step


def _fits(call: Any) -> bool:
    (out,) = call.outputs
    device, dim = known(out.device), call.attributes["dim"]
    parts = [fact for fact in call.inputs if fact.numel]
    if device is None or not 1 < len(parts) <= device.tensors or not out.is_contiguous:
        return False
    return all(x.dtype is out.dtype and _step(ghost(x), dim) is not None for x in parts)


def _specialised(facts: Any) -> Any:
    (out,) = facts.outputs
    device, dim = device_of(out.device), facts.attributes["dim"]
    many = device.tensors
    here = [i for i, fact in enumerate(facts.inputs) if fact.numel]
    parts = [facts.inputs[i] for i in here]
    rows = math.prod(out.shape[:dim])
    width = out.numel // rows
    runs = [x.numel // rows for x in parts]
    steps = [_step(ghost(x), dim) for x in parts]
    starts = [sum(runs[:i]) for i in range(len(parts))]
    size = out.dtype.itemsize

    def numbers(values: list[Any], filler: int = 0) -> Any:
        return np.array([*values, *[filler] * (many - len(values))], np.uint64)

    macros = {
        "WORD": moved("X", itemsize=size)["X_MEMORY"],
        "IS_CPU": int(device.is_cpu),
        "INDEX": "uint" if out.numel < 1 << 31 else "ulong",
        "MANY": many,
        "EACH_TENSOR(DO)": " ".join(f"DO({t})" for t in range(many)),
        "ARGUMENTS": ", ".join(f"BUFFERS({t})" for t in range(many)),
    }
    text = program(device, "join", macros, ())
    given = [
        np.uint64(0), numbers([]), numbers(runs), numbers(steps), numbers(starts, width),
        np.uint64(width), np.uint64(rows),
    ]  # fmt: skip
    launch = device.launch(text, "join", many + 1, given, device.workers(out.numel), facts.op.name)
    missing = many - len(parts)
    at_their_start = [(0, bytes(8)), (1, bytes(8 * many))]

    def run(*arrays: Any) -> None:
        target = arrays[-1]
        given = [arrays[i] for i in here]
        buffers = [target.buffer, *[a.buffer for a in given]]
        buffers += buffers[1:2] * missing
        places = [a.offset // size for a in given]
        if any(places) or target.offset:
            shifts: Any = [(0, np.uint64(target.offset // size)), (1, numbers(places))]
        else:
            shifts = at_their_start
        launch.with_numbers(buffers, shifts)

    return run
