"""cat, stack and block_diag: as many tensors as a device's launch takes, in one where each would be
a copy.

Of cat and stack, tensors must have rows: the dims before the joined one lie in memory as one, the
others are dense. Of others, and of a single one, each is a copy.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import Array
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import Device, device_of, known
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.source import moved, program

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("cat", "stack"):
        table.add(name, _copied, when=_are_alike, specialize=True)
        table.add(name, _specialised, when=_fits, specialize=True)
    table.add("block_diagonal", _diagonal, when=_has_blocks, layout="contiguous", specialize=True)
    table.add("complex", _of_parts, when=_are_dense, specialize=True)


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


def _are_alike(call: Any) -> bool:
    (out,) = call.outputs
    return known(out.device) is not None and all(x.dtype is out.dtype for x in call.inputs)


def _copied(facts: Any) -> Any:
    """A copy for each tensor that has elements."""
    (out,) = facts.outputs
    device, dim, whole = device_of(out.device), facts.attributes["dim"], ghost(out)
    step, kind, is_new = whole.strides[dim], out.dtype, facts.op.name == "stack"
    strides = (*whole.strides[:dim], *whole.strides[dim + 1 :]) if is_new else whole.strides
    made, at = [], 0
    for i, fact in enumerate(facts.inputs):
        if fact.numel:
            x = ghost(fact)
            target = Array(None, 0, x.shape, strides, kind)
            made.append((i, Copy(device, x, target), at * step, x.shape))
            at += 1 if is_new else x.shape[dim]

    def run(*arrays: Any) -> None:
        out = arrays[-1]
        for i, copy, begin, shape in made:
            copy(arrays[i], Array(out.buffer, out.offset + begin, shape, strides, kind))

    return run


_WOVEN = 4
"""Tensors of which an element each is taken in turn, at the most."""

_MANY = 1 << 12
"""Elements of each for which a program of their own is worth its time."""


def _are_dense(call: Any) -> bool:
    (out,) = call.outputs
    specs = (out, *call.inputs)
    return bool(out.numel) and all(x.is_contiguous and x.shape == out.shape for x in specs)


def _of_parts(facts: Any) -> Any:
    """Complex numbers of their two parts."""
    (out,) = facts.outputs
    return _woven(device_of(out.device), facts.op.name, facts.inputs[0].dtype, out.numel, [0, 1])


def _word(dtype: DType) -> str:
    return moved("X", itemsize=dtype.itemsize)["X_MEMORY"]


def _woven(device: Device, name: str, dtype: DType, items: int, here: list[int]) -> Any:
    """Single elements of a few dense tensors in turn, as in a stack along the last dim: a compiler
    makes vectors of that, which the copy of a run has none for.

    Args:
        items: elements of each.
        here: which arguments are taken.
    """
    count, size = len(here), dtype.itemsize
    macros = {
        "WORD": _word(dtype),
        "IS_CPU": int(device.is_cpu),
        "ARGUMENTS": ", ".join(f"global const WORD *x{t}" for t in range(count)),
        "PLACES": ", ".join(f"ulong at{t}" for t in range(count)),
        "BEGIN": " ".join(f"x{t} += at{t};" for t in range(count)),
        "EACH": " ".join(f"out[{count} * i + {t}] = x{t}[i];" for t in range(count)),
    }
    text = program(device, "weave", macros, ())
    given = [*[np.uint64(0)] * (count + 1), np.uint64(items)]
    workers = device.workers(items, 4096)
    launch = device.launch(text, "weave", count + 1, given, workers, name)

    def run(*arrays: Any) -> None:
        ordered = [arrays[-1], *[arrays[i] for i in here]]
        places = [(i, (a.offset // size).to_bytes(8, "little")) for i, a in enumerate(ordered)]
        launch.with_numbers([a.buffer for a in ordered], places)

    return run


def _specialised(facts: Any) -> Any:
    (out,) = facts.outputs
    device, dim = device_of(out.device), facts.attributes["dim"]
    here = [i for i, fact in enumerate(facts.inputs) if fact.numel]
    parts = [facts.inputs[i] for i in here]
    rows = math.prod(out.shape[:dim])
    width = out.numel // rows
    runs = [x.numel // rows for x in parts]
    steps = [_step(ghost(x), dim) for x in parts]
    starts = [sum(runs[:i]) for i in range(len(parts))]
    is_woven = len(parts) <= _WOVEN and not {*runs, *steps} - {1}
    if device.is_cpu and is_woven and rows >= _MANY:
        return _woven(device, facts.op.name, out.dtype, rows, here)
    numbers = [(runs, 0), (steps, 0), (starts, width)]
    return _launched("join", device, facts, here, numbers, (width, rows))


def _has_blocks(call: Any) -> bool:
    (out,) = call.outputs
    device = known(out.device)
    fits = device is not None and len(call.inputs) <= device.tensors and out.dtype.itemsize <= 8
    return fits and all(x.numel and x.dtype is out.dtype for x in call.inputs)


def _diagonal(facts: Any) -> Any:
    (out,), parts = facts.outputs, facts.inputs
    rows, width = out.shape
    heads, starts = (list(accumulate((x.shape[i] for x in parts), initial=0)) for i in (0, 1))
    numbers = [([x.shape[1] for x in parts], 0), (heads[:-1], rows), (starts[:-1], 0)]
    here = list(range(len(parts)))
    sizes = (width, rows)
    return _launched("block_diagonal", device_of(out.device), facts, here, numbers, sizes)


def _launched(
    kernel: str, device: Device, facts: Any, here: list[int],
    numbers: list[tuple[list[Any], int]], sizes: tuple[int, int],
) -> Any:  # fmt: skip
    """The launch of a kernel.

    Args:
        here: which arguments are taken.
        numbers: of each of them, and what stands for one that is not there.
        sizes: (width, rows) of the result.
    """
    (out,), many = facts.outputs, device.tensors
    size = out.dtype.itemsize

    def padded(values: list[Any], filler: int = 0) -> Any:
        return np.array([*values, *[filler] * (many - len(values))], np.uint64)

    macros = {
        "WORD": _word(out.dtype),
        "IS_CPU": int(device.is_cpu),
        "INDEX": "uint" if out.numel < 1 << 31 else "ulong",
        "MANY": many,
        "EACH_TENSOR(DO)": " ".join(f"DO({t})" for t in range(many)),
        "ARGUMENTS": ", ".join(f"BUFFERS({t})" for t in range(many)),
    }
    text = program(device, kernel, macros, ())
    given = [np.uint64(0), padded([]), *[padded(*each) for each in numbers], *map(np.uint64, sizes)]
    launch = device.launch(text, kernel, many + 1, given, device.workers(out.numel), facts.op.name)
    missing = many - len(here)
    at_their_start = [(0, bytes(8)), (1, bytes(8 * many))]

    def run(*arrays: Any) -> None:
        target = arrays[-1]
        given = [arrays[i] for i in here]
        buffers = [target.buffer, *[a.buffer for a in given]]
        buffers += buffers[1:2] * missing
        places = [a.offset // size for a in given]
        if any(places) or target.offset:
            shifts: Any = [(0, np.uint64(target.offset // size)), (1, padded(places))]
        else:
            shifts = at_their_start
        launch.with_numbers(buffers, shifts)

    return run
