"""Index: gather, nonzero, and indices that count from the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, Loops, collapse
from dovetail.backend.sentences import ALONG, FLAT
from dovetail_kernels.arrays import Array, offsets, offsets_at
from dovetail_kernels.device import Device, device_of, known
from dovetail_kernels.elementwise import ghost, seen
from dovetail_kernels.faults import fault_of
from dovetail_kernels.nonzero import FEW as MANY
from dovetail_kernels.nonzero import IS_SET, counted_of, nonzero_of
from dovetail_kernels.source import (
    MOST,
    element,
    loop_numbers,
    moved,
    places,
    program,
    runs,
)

__all__ = ["along", "enter", "gathered", "walked"]


def enter(table: KernelTable) -> None:
    """Enter the index primitives."""
    table.add("gather", _gather, specialize=True)
    table.add("nonzero", _nonzero, specialize=True)
    table.add("nonzero_counted", _counted, when=_is_few, layout="contiguous", specialize=True)
    table.add("nonzero_static", _nonzero, when=_has_places, specialize=True)
    table.add("wrapped_index", _wrap, layout="contiguous", specialize=True)


def walked(array: Array, shape: Sequence[int], dim: int | None) -> Array:
    """``array`` over a (smaller) shape, staying in place along ``dim``."""
    if array.ndim != len(shape):  # a 0-d array is one element for all
        return Array(None, 0, tuple(shape), (0,) * len(shape), array.dtype)
    strides = tuple(0 if i == dim else s for i, s in enumerate(array.strides))
    return Array(None, 0, tuple(shape), strides, array.dtype)


def along(array: Array, dim: int) -> tuple[int, int]:
    """(size, elements from one to the next) along ``dim``."""
    if not array.ndim:
        return 1, 0
    return array.shape[dim], array.strides[dim] // array.dtype.itemsize


def _gather(facts: Any) -> Any:
    source, index = map(ghost, seen(facts))
    out = ghost(facts.outputs[0])
    dim = facts.attributes["dim"]
    device, fault = device_of(facts.outputs[0].device), fault_of(facts.op, ALONG, dim)
    first, line = walked(source, out.shape, dim), along(source, dim)
    return gathered(device, first, index, out, line, "gather", fault)


def gathered(
    device: Device,
    source: Array,
    index: Array,
    out: Array,
    line: tuple[int, int],
    name: str,
    fault: Any,
    wraps: bool = False,
) -> Any:
    """``kernel(source, index, out)``: each of ``out`` is read at the place that ``index`` names.

    Args:
        device: whose program it is.
        source: where each is read if its index is 0; of ``out``'s shape and dtype.
        index: int64, of ``out``'s shape.
        out: what is written.
        line: indices that there are, and elements of the source from one to the next.
        name: the operator's, for statistics and errors.
        fault: what an index out of range is reported by (see :func:`fault_of`).
        wraps: indices may count from the end.
    """
    if not out.numel:
        return lambda *arrays: None
    loops = collapse(out, index, source)
    macros = {
        "IS_GATHER": 1,
        "WRAPS": int(wraps),
        **moved("X", "S", itemsize=out.itemsize),
        **places("PLACES", loops, "p", ("to", "place", "from")),
        **runs(device, "PLACES", loops, "p", ("to", "place", "from")),
    }
    text = program(device, "index", macros, (), ("fault",))
    numbers = [np.uint64(n) for n in (0, 0, 0, out.numel, *line)]
    numbers += [*loop_numbers(loops), fault]
    launch = device.launch(text, "gather", 4, numbers, device.workers(out.numel, 2048), name)
    faults = device.faults

    def run(x: Any, at: Any, y: Any) -> None:
        launch.with_numbers((y.buffer, x.buffer, at.buffer, faults), offsets(y, x, at))
        device.suspect = True

    return run


def _wrap(facts: Any) -> Any:
    out = facts.outputs[0]
    device: Device = device_of(out.device)
    if not out.numel:
        return lambda *arrays: None
    size, dim, outside = (facts.attributes[name] for name in ("size", "dim", "outside"))
    macros = {"IS_WRAP": 1, "IS_CPU": int(device.is_cpu)}
    text = program(device, "index", macros, (), ("fault",))
    name, faults = facts.op.name, device.faults
    fault = fault_of(facts.op, FLAT) if dim is None else fault_of(facts.op, ALONG, dim)
    numbers = [np.uint64(n) for n in (0, 0, out.numel)]
    numbers += [np.int64(size), np.int64(outside), fault]
    launch = device.launch(text, "wrap", 3, numbers, device.workers(out.numel, 4096), name)

    def run(x: Any, y: Any) -> None:
        launch.with_numbers((y.buffer, x.buffer, faults), offsets(y, x))
        device.suspect = True

    return run


CHUNK = 1024


FEW = 1 << 12
"""Elements that one of the host's cores looks at while others would be woken."""


def _has_places(call: Any) -> bool:
    is_any = call.input.numel and call.outputs[0].numel
    return bool(is_any and 1 <= call.input.ndim <= MOST)


def _is_few(call: Any) -> bool:
    device = known(call.outputs[0].device)
    is_on_host = device is not None and device.is_cpu
    return is_on_host and 1 <= call.input.ndim <= MOST and 0 < call.input.numel <= MANY


def _counted(facts: Any) -> Any:
    device = device_of(facts.outputs[0].device)
    return counted_of(device, ghost(facts.inputs[0]), ghost(facts.outputs[0]))


def _nonzero(facts: Any) -> Any:
    source, out = ghost(facts.inputs[0]), ghost(facts.outputs[0])
    rest = facts.attributes.get("fill_value")
    fills = [] if rest is None else [np.uint64(rest % 2**64)]
    device: Device = device_of(facts.outputs[0].device)
    count = source.numel
    if not out.numel:
        return lambda *arrays: None
    is_dense = source.is_contiguous and out.is_contiguous
    if not fills and device.is_cpu and is_dense and 1 <= source.ndim <= MOST:
        return nonzero_of(device, source, out)
    loops = Loops(source.shape, (source.element_strides,))
    kind, name = source.dtype, facts.op.name
    is_one = bool(fills) and device.is_cpu and count <= FEW
    column = out.strides[1] // 8
    # WRITE takes the place apart once more, into an index per dim.
    split = ["ulong left = item;"]
    for d in reversed(range(source.ndim)):
        split.append(f"out[at + {d} * column_step] = left % p_n[{d}]; left /= p_n[{d}];")
    write = "ulong p_n[8]; vstore8(p_size, 0, p_n); " + " ".join(split)
    macros = {
        "IS_NONZERO": 1,
        "IS_SET(v)": IS_SET[kind.is_complex],
        "WRITE(at)": write,
        "FILLS": len(fills),
        "COLUMNS": source.ndim,
        "IS_ONE": int(is_one),
        **element(device, "X", kind),
        **places("PLACES", loops, "p", ("from",)),
    }
    text = program(device, "index", macros, (kind,))
    begins = [np.uint64(n) for n in (0, out.strides[0] // 8, column, out.shape[0])]
    if is_one:
        numbers = [*begins, np.uint64(0), np.uint64(count), *loop_numbers(loops), *fills]
        only = device.launch(text, "nonzero", 2, numbers, ((1,), (1,)), name)
        place = offsets_at(0, 4)
        return lambda x, y: only.with_numbers((y.buffer, x.buffer), place(y, x))
    chunks = -(-count // CHUNK)
    common = [np.uint64(n) for n in (0, count, CHUNK, chunks)] + loop_numbers(loops)
    size = device.workers(chunks, 1)
    first = device.launch(text, "found", 2, common, size, name)
    before = device.launch(text, "before", 1, [np.uint64(chunks)], ((1,), (1,)), name)
    numbers = [*begins, *common, *fills]
    last = device.launch(text, "nonzero", 3, numbers, size, name)

    def run(x: Any, y: Any) -> None:
        begin = np.uint64(x.offset // kind.itemsize)
        with device.scratch(chunks * 8 + 8) as (totals,):
            first.with_numbers((totals, x.buffer), ((0, begin),))
            before(totals)
            last.with_numbers((y.buffer, totals, x.buffer), (*offsets(y), (4, begin)))

    return run
