"""Index: gather, scatter, scatter_add, nonzero, and indices that count from the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, Loops, collapse
from dovetail.backend.sentences import ALONG, FLAT
from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import Array, offsets, packed, part
from dovetail_kernels.copy import Copy
from dovetail_kernels.deterministic import is_ordered
from dovetail_kernels.device import Device, Launch, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.faults import fault_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.nonzero import IS_SET, nonzero_of
from dovetail_kernels.source import (
    MOST,
    converted,
    element,
    loop_numbers,
    moved,
    places,
    program,
    runs,
)

__all__ = ["along", "atomic", "enter", "gathered"]

IN_ORDER = 4
"""Cores that add by atomics in about the time that one of them takes in order."""


def enter(table: KernelTable) -> None:
    """Enter the index primitives."""
    table.add("gather", _gather, specialize=True)
    table.add("scatter", lambda facts: _Scatter(facts, is_add=False), specialize=True)
    table.add("scatter_add", lambda facts: _Scatter(facts, is_add=True), specialize=True)
    table.add("nonzero", _nonzero, specialize=True)
    table.add("wrapped_index", _wrap, layout="contiguous", specialize=True)


def _walked(array: Array, shape: Sequence[int], dim: int | None) -> Array:
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
    source, index = map(ghost, facts.inputs)
    out = ghost(facts.outputs[0])
    dim = facts.attributes["dim"]
    device, fault = device_of(facts.outputs[0].device), fault_of(facts.op, ALONG, dim)
    first, line = _walked(source, out.shape, dim), along(source, dim)
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


class _Scatter:
    """``scatter`` and ``scatter_add`` resolved: ``kernel(input, index, src, out)``."""

    def __init__(self, facts: Any, *, is_add: bool) -> None:
        source, index = map(ghost, facts.inputs[:2])
        out = ghost(facts.outputs[0])
        number = isinstance(facts.inputs[2], type)  # comes as a 0-d array of the output's dtype
        src = Array(None, 0, (), (), out.dtype) if number else ghost(facts.inputs[2])
        self.device, self.dim = device_of(facts.outputs[0].device), facts.attributes["dim"]
        self.name, self.faults = facts.op.name, self.device.faults
        self.fault = fault_of(facts.op, ALONG, self.dim)
        self.copy = Copy(self.device, source, out)
        self.launch: Launch | None = None
        self.wide: Array | None = None
        self.is_empty = not out.numel
        if not index.numel or self.is_empty:
            return
        work = accumulated(out.dtype) if is_add else out.dtype
        target = out
        if work is not out.dtype:  # halves are gathered in float32
            target = self.wide = packed(out, work)
            self.widen = Copy(self.device, source, target)
            self.narrow = Copy(self.device, target, out)
        self.launch = self._adding(target, index, src) if is_add else self._moving(out, index, src)

    def _moving(self, out: Array, index: Array, src: Array) -> Launch:
        device, shape = self.device, index.shape
        loops = collapse(index, _walked(out, shape, self.dim), _walked(src, shape, None))
        macros = {
            "IS_SCATTER": 1,
            **moved("X", "S", itemsize=out.itemsize),
            **places("PLACES", loops, "p", ("place", "to", "from")),
            **runs(device, "PLACES", loops, "p", ("place", "to", "from")),
        }
        numbers = [np.uint64(n) for n in (0, 0, 0, index.numel, *along(out, self.dim))]
        numbers += [*loop_numbers(loops), self.fault]
        text = program(device, "index", macros, (), ("fault",))
        size = device.workers(index.numel, 2048)
        return device.launch(text, "scatter", 4, numbers, size, self.name)

    def _adding(self, out: Array, index: Array, src: Array) -> Launch:
        device, dim, shape = self.device, self.dim, index.shape
        rest = [i for i in range(len(shape)) if i != dim] if shape else []
        lines = int(np.prod([shape[i] for i in rest], dtype=np.int64)) if shape else 1
        is_atomic = self._takes_atomics(out.dtype, lines)
        walk = [index, _walked(out, shape, dim), _walked(src, shape, None)]
        if not is_atomic:
            walk = [part(a, rest) for a in walk]
        loops = collapse(*walk)
        macros = {
            "IS_ATOMIC" if is_atomic else "IS_ADD": 1,
            "ADDED(v)": converted(src.dtype, out.dtype, "v"),
            "SUM(a, b)": _sum(out.dtype),
            **element(device, "X", out.dtype),
            **element(device, "S", src.dtype),
            **places("PLACES", loops, "p", ("place", "to", "from")),
        }
        if is_atomic:
            macros |= atomic(out.dtype)
        count = index.numel if is_atomic else lines
        numbers = [np.uint64(n) for n in (0, 0, 0, count, *along(out, dim))]
        numbers += loop_numbers(loops)
        if not is_atomic:
            step = 0 if src.ndim != len(shape) or not shape else along(src, dim)[1]
            line = (index.numel // max(1, lines), step, along(index, dim)[1])
            numbers += [np.uint64(n) for n in line]
        numbers.append(self.fault)
        text = program(device, "index", macros, (out.dtype, src.dtype), ("fault",))
        each = 1024 if is_atomic else max(1, 1024 * lines // index.numel)
        name = "add_atomic" if is_atomic else "add_lines"
        return device.launch(text, name, 4, numbers, device.workers(count, each), self.name)

    def _takes_atomics(self, dtype: DType, lines: int) -> bool:
        device = self.device
        if is_ordered() or dtype.is_complex:
            return False
        if device.is_cpu and lines * IN_ORDER >= device.units:
            return False
        if not device.is_cpu and lines >= device.units * 64:
            return False
        return dtype.itemsize == 4 or (dtype.itemsize == 8 and device.has_long_atomics)

    def __call__(self, x: Any, index: Any, src: Any, out: Any) -> None:
        """Queue it."""
        if self.is_empty:
            return
        is_inplace = x.buffer is out.buffer and x.offset == out.offset
        if self.wide is None or self.launch is None:
            if not is_inplace:
                self.copy(x, out)
            if self.launch is not None:
                buffers = (out.buffer, src.buffer, index.buffer, self.faults)
                self.launch.with_numbers(buffers, offsets(out, src, index))
                self.device.suspect = True
            return
        wide = self.wide
        with self.device.scratch(wide.numel * wide.itemsize) as (block,):
            held = Array(block, 0, wide.shape, wide.strides, wide.dtype)
            self.widen(x, held)
            buffers = (block, src.buffer, index.buffer, self.faults)
            self.launch.with_numbers(buffers, offsets(held, src, index))
            self.narrow(held, out)
        self.device.suspect = True


def _sum(dtype: DType) -> str:
    if dtype.category == 0:
        return "((a) | (b))"
    if dtype.category == 1:
        unsigned = "ulong" if dtype.itemsize == 8 else "uint"
        return f"(X_VALUE)(({unsigned})(a) + ({unsigned})(b))"
    return "((a) + (b))"


def atomic(dtype: DType) -> dict[str, str]:
    """Compare and exchange on the element's bits."""
    is_long = dtype.itemsize == 8
    bits = "ulong" if is_long else "uint"
    value = {"float32": "float", "float64": "double", "int32": "int", "int64": "long"}[dtype.name]
    return {
        "BITS": bits,
        "EXCHANGE(p, a, b)": "atom_cmpxchg(p, a, b)" if is_long else "atomic_cmpxchg(p, a, b)",
        "TO_BITS(v)": f"as_{bits}(({value})(v))",
        "FROM_BITS(v)": f"as_{value}(v)",
    }


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


def _nonzero(facts: Any) -> Any:
    source, out = ghost(facts.inputs[0]), ghost(facts.outputs[0])
    device: Device = device_of(facts.outputs[0].device)
    count = source.numel
    if not out.numel:
        return lambda *arrays: None
    is_dense = source.is_contiguous and out.is_contiguous
    if device.is_cpu and is_dense and 1 <= source.ndim <= MOST:
        return nonzero_of(device, source, out)
    loops = Loops(source.shape, (source.element_strides,))
    kind = source.dtype
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
        **element(device, "X", kind),
        **places("PLACES", loops, "p", ("from",)),
    }
    text = program(device, "index", macros, (kind,))
    chunks = -(-count // CHUNK)
    common = [np.uint64(n) for n in (0, count, CHUNK, chunks)] + loop_numbers(loops)
    size = device.workers(chunks, 1)
    first = device.launch(text, "found", 2, common, size, "nonzero")
    before = device.launch(text, "before", 1, [np.uint64(chunks)], ((1,), (1,)), "nonzero")
    numbers = [np.uint64(n) for n in (0, out.strides[0] // 8, column, out.shape[0])] + common
    last = device.launch(text, "nonzero", 3, numbers, size, "nonzero")

    def run(x: Any, y: Any) -> None:
        begin = np.uint64(x.offset // kind.itemsize)
        with device.scratch(chunks * 8) as (totals,):
            first.with_numbers((totals, x.buffer), ((0, begin),))
            before(totals)
            last.with_numbers((y.buffer, totals, x.buffer), (*offsets(y), (4, begin)))

    return run
