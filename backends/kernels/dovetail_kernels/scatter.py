"""What is written at, or added to, the places that indices name: scatter, scatter_add, index_add,
index_copy, index_fill, put; and products, extremes and means of it, scatter_reduce, index_reduce.

The output is the input with that done to it. Few elements are one launch: its one work group copies
the input, then scatters.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.backend.sentences import ALONG, FLAT
from dovetail.dtypes import FLOATING, INTEGRAL, bool_, iinfo
from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import Array, merged, offsets, packed, part
from dovetail_kernels.bits import BITS, bits_of
from dovetail_kernels.copy import Copy
from dovetail_kernels.deterministic import is_ordered
from dovetail_kernels.device import Launch, device_of
from dovetail_kernels.elementwise import ghost, seen
from dovetail_kernels.faults import fault_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.index import along, walked
from dovetail_kernels.source import converted, element, loop_numbers, moved, places, program, runs

__all__ = ["FEW", "IN_ORDER", "Scatter", "atomic", "combined", "enter"]

REAL = (bool_, *INTEGRAL, *FLOATING)

IN_ORDER = 4
"""Cores that add by atomics in about the time that one of them takes in order."""

FEW = 1 << 12
"""Elements that one work group copies and scatters."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name, is_add in (("scatter", False), ("scatter_add", True)):
        table.add(name, partial(Scatter, is_add=is_add), specialize=True)
    table.add("scatter", _by_number, when=_has_number, scalars=True, specialize=True)
    table.add("scatter_reduce", partial(Scatter, is_add=True), dtypes=REAL, specialize=True)
    table.add("index_reduce", partial(Scatter, is_add=True), when=_can_reduce, specialize=True)
    table.add("put", _put_flat, when=_is_flat, specialize=True)
    for name, options in ROWS.items():
        table.add(name, partial(Scatter, **options), when=_has_rows, specialize=True)
    table.add("index_fill", _by_number, when=_has_number, scalars=True, specialize=True)
    put: dict[str, Any] = {"specialize": True, "in_place": True}
    for name in ("index_put_wrapped", "index_put"):
        table.add(name, _put, when=_is_vector, **put)
        table.add(name, _by_number, when=_has_number, scalars=True, **put)


def _can_reduce(call: Any) -> bool:
    is_real = call.outputs[0].dtype in REAL
    return is_real and bool(call.input.ndim) and call.attributes["reduce"] != "mean"


def _is_flat(call: Any) -> bool:
    """Everything is in the order that it is counted in."""
    tensors = (*call.inputs, *call.outputs)
    return bool(call.input.numel) and all(x.is_contiguous for x in tensors)


def _put_flat(facts: Any) -> Scatter:
    return Scatter(facts, is_add=facts.attributes["accumulate"], wraps=True)


def _flat(array: Array) -> Array:
    return Array(None, 0, (array.numel,), (array.itemsize,), array.dtype)


ROWS: dict[str, dict[str, bool]] = {
    "index_add": {"is_add": True},
    "index_copy": {"is_add": False},
    "index_fill": {"is_add": False, "wraps": True},
}
"""Those whose indices are a vector of rows."""


PUT = ("index_put_wrapped", "index_put")
"""Those that may be given several dims, and as many of indices, which lie as one."""


def _is_vector(call: Any) -> bool:
    return bool(call.input.numel) and None not in _as_rows(call)


def _as_rows(facts: Any) -> tuple[Array | None, ...]:
    """The input, the index, what is written (no dims: a number) and the output of ``PUT``, each
    with the indexed dims as one; None for one that does not lie so."""
    dim = facts.attributes.get("position", facts.attributes["dim"])
    count = facts.attributes.get("count", 1)
    source, index, out = map(ghost, (facts.inputs[0], facts.inputs[1], facts.outputs[0]))
    values: Array | None = Array(None, 0, (), (), out.dtype)
    given = facts.inputs[2]
    if not isinstance(given, type) and given.ndim:
        shape = (*out.shape[:dim], *index.shape, *out.shape[dim + count :])
        values = merged(_expanded(ghost(given), shape), dim, index.ndim)
    return (
        merged(source, dim, count), merged(index, 0, index.ndim), values, merged(out, dim, count)
    )  # fmt: skip


def _has_rows(call: Any) -> bool:
    alpha, kind = call.attributes.get("alpha", 1), call.outputs[0].dtype
    # Halves are rounded after they have been scaled.
    is_scaled = kind.name in ("float32", "float64") and isinstance(alpha, (int, float))
    return bool(call.input.ndim) and (is_scaled or alpha == 1)


def _has_number(call: Any) -> bool:
    """One Python number to write, as a word."""
    kind, value = call.outputs[0].dtype, call.inputs[2]
    fits = isinstance(value, type) and (value is not complex or kind.is_complex)
    is_put = call.op.name in PUT
    if (is_put and not _is_vector(call)) or call.attributes.get("accumulate"):
        return False
    return fits and kind.itemsize <= 8 and bool(call.inputs[0].ndim)


def _by_number(facts: Any) -> Any:
    """``kernel(input, index, number, out)``."""
    wraps = facts.op.name not in ("scatter", "index_put")
    made = Scatter(facts, is_add=False, wraps=wraps, has_number=True)
    kind = facts.outputs[0].dtype

    def run(x: Any, index: Any, value: Any, out: Any) -> None:
        made(x, index, index, out, bits_of(value, kind))

    return run


def _put(facts: Any) -> Scatter:
    wraps = facts.op.name != "index_put"
    return Scatter(facts, is_add=facts.attributes["accumulate"], wraps=wraps)


def _as_wide(index: Array, shape: Sequence[int], dim: int) -> Array:
    """A vector of indices as wide as the rows that it names."""
    step = index.strides[0] if index.ndim else 0
    strides = tuple(step if i == dim else 0 for i in range(len(shape)))
    return Array(None, 0, tuple(shape), strides, index.dtype)


def _expanded(array: Array, shape: Sequence[int]) -> Array:
    wide = array.expand(shape)
    return Array(None, 0, wide.shape, wide.strides, wide.dtype)


class Scatter:
    """One of them resolved: ``kernel(input, index, src, out)``.

    Args:
        wraps: indices may count from the end.
        has_number: what is written is a number's bits, given to the call.
    """

    IS_MEAN = False
    """It has a buffer more, of counts (see ``scatter_mean.py``)."""

    counted: int

    def __init__(
        self, facts: Any, *, is_add: bool, wraps: bool = False, has_number: bool = False
    ) -> None:
        source, index = map(ghost, seen(facts)[:2])
        out = ghost(facts.outputs[0])
        number = isinstance(facts.inputs[2], type)  # comes as a 0-d array of the output's dtype
        src = Array(None, 0, (), (), out.dtype) if number else ghost(facts.inputs[2])
        self.device, dim = device_of(facts.outputs[0].device), facts.attributes.get("dim", 0)
        self.dim = facts.attributes.get("position", dim)
        self.name, self.faults, self.wraps = facts.op.name, self.device.faults, int(wraps)
        self.fault = fault_of(facts.op, FLAT if self.name == "put" else ALONG, dim)
        self.reduce = facts.attributes.get("reduce", "mean" if self.IS_MEAN else "sum")
        if self.name == "put":
            source, index, src, out = map(_flat, (source, index, src, out))
        elif self.name in PUT:
            source, index, src, out = (a or out for a in _as_rows(facts))
        self.has_number, self.alpha = has_number, facts.attributes.get("alpha", 1)
        self.starts = not facts.attributes.get("include_self", True)
        if self.name in ROWS or self.name in (*PUT, "index_reduce"):
            rows = list(out.shape)
            rows[self.dim] = index.numel
            index = _as_wide(index, rows, self.dim)
            if src.ndim:
                src = _expanded(src, rows)
        self.copy = Copy(self.device, source, out)
        self.launch: Launch | None = None
        self.is_few = False
        self.first: Launch | None = None
        self.wide: Array | None = None
        self.is_empty = not out.numel
        self.is_still = not index.numel
        if self.is_still or self.is_empty:
            return
        work = accumulated(out.dtype) if is_add else out.dtype
        target = out
        if work is not out.dtype:  # halves are gathered in float32
            target = self.wide = packed(out, work)
            self.widen = Copy(self.device, source, target)
            self.narrow = Copy(self.device, target, out)
        self._make = partial(self._adding if is_add else self._moving, target, index, src)
        is_dense = source.is_contiguous and out.is_contiguous
        self.is_few = self.wide is None and is_dense and out.numel + index.numel <= FEW
        self.count = out.numel

    def _launched(
        self, kernel: str, macros: dict[str, Any], dtypes: Sequence[DType], numbers: list[Any],
        size: Any, copied: int,
    ) -> Launch:  # fmt: skip
        """The launch, of one work group where elements are copied first."""
        device = self.device
        numbers = [np.uint64(0)] * 3 + numbers + [self.fault]
        flags = {"WRAPS": self.wraps, "COPIES": copied > 0, "HAS_NUMBER": self.has_number}
        macros = {**{name: int(flag) for name, flag in flags.items()}, **macros}
        if copied:
            macros["IS_CPU"] = int(device.is_cpu)
            numbers[3:3] = [np.uint64(0), np.uint64(copied)]
            group = 1 if device.is_cpu else device.group
            size = (group,), (group,)
        text = program(device, "scatter", macros, dtypes, ("fault",))
        buffers = 4 + (copied > 0) + self.IS_MEAN
        return device.launch(text, kernel, buffers, numbers, size, self.name)

    def _moving(self, out: Array, index: Array, src: Array, copied: int = 0) -> Launch:
        device, shape = self.device, index.shape
        loops = collapse(index, walked(out, shape, self.dim), walked(src, shape, None))
        macros = {
            "IS_SCATTER": 1,
            **moved("X", "S", itemsize=out.itemsize),
            **places("PLACES", loops, "p", ("place", "to", "from")),
            **runs(device, "PLACES", loops, "p", ("place", "to", "from")),
        }
        numbers = [np.uint64(n) for n in (index.numel, *along(out, self.dim))]
        numbers += loop_numbers(loops)
        if self.has_number:
            self.number_at = len(numbers) + 3
            numbers.append(BITS[out.itemsize][1](0))
        size = device.workers(index.numel, 2048)
        return self._launched("scatter", macros, (), numbers, size, copied)

    def _adding(self, out: Array, index: Array, src: Array, copied: int = 0) -> Launch:
        device, dim, shape = self.device, self.dim, index.shape
        rest = [i for i in range(len(shape)) if i != dim] if shape else []
        lines = int(np.prod([shape[i] for i in rest], dtype=np.int64)) if shape else 1
        is_atomic = not ((copied and device.is_cpu) or self.starts or self.IS_MEAN)
        is_atomic = is_atomic and self._takes_atomics(out.dtype, lines)
        walk = [index, walked(out, shape, dim), walked(src, shape, None)]
        if not is_atomic:
            walk = [part(a, rest) for a in walk]
        loops = collapse(*walk)
        macros = {
            "IS_ATOMIC" if is_atomic else "IS_ADD": 1,
            "ADDED(v)": converted(src.dtype, out.dtype, "v"),
            "SCALED": int(self.alpha != 1),
            "SUM(a, b)": combined(self.reduce, out.dtype),
            "STARTS": int(self.starts),
            "MEAN": int(self.IS_MEAN),
            **element(device, "X", out.dtype),
            **element(device, "S", src.dtype),
            **places("PLACES", loops, "p", ("place", "to", "from")),
        }
        if is_atomic:
            macros |= atomic(out.dtype)
        if self.starts:
            macros["START"] = _start(self.reduce, out.dtype)
        count = index.numel if is_atomic else lines
        numbers = [np.uint64(n) for n in (count, *along(out, dim))]
        numbers += loop_numbers(loops)
        if not is_atomic:
            step = 0 if src.ndim != len(shape) or not shape else along(src, dim)[1]
            line = (index.numel // max(1, lines), step, along(index, dim)[1])
            numbers += [np.uint64(n) for n in line]
            if self.IS_MEAN:
                self.counted = lines * along(out, dim)[0]
                macros["MEAN_OF(v, n)"] = MEANS[out.dtype.category]
        if self.alpha != 1:
            numbers.append(out.dtype.numpy.type(self.alpha))
        each = 1024 if is_atomic else max(1, 1024 * lines // index.numel)
        name = "add_atomic" if is_atomic else "add_lines"
        size = device.workers(count, each)
        return self._launched(name, macros, (out.dtype, src.dtype), numbers, size, copied)

    def _takes_atomics(self, dtype: DType, lines: int) -> bool:
        device = self.device
        if is_ordered() or dtype.is_complex:
            return False
        if device.is_cpu and lines * IN_ORDER >= device.units:
            return False
        if not device.is_cpu and lines >= device.units * 64:
            return False
        return dtype.itemsize == 4 or (dtype.itemsize == 8 and device.has_long_atomics)

    def _first(self) -> Launch:
        self.first = self.device.fitting(lambda: self._make(copied=self.count))
        return self.first

    def __call__(self, x: Any, index: Any, src: Any, out: Any, bits: bytes = b"") -> None:
        """Queue it; ``bits``: of what is written, where that is a number."""
        if self.is_empty:
            return
        is_inplace = x.buffer is out.buffer and x.offset == out.offset
        if self.is_few and not is_inplace:
            first = self.first or self._first()
            all_five = (out.buffer, src.buffer, index.buffer, self.faults, x.buffer)
            begins = offsets(out, src, index, x)
            if bits:
                begins += ((self.number_at + 2, bits),)
            first.with_numbers(all_five, begins)
            self.device.suspect = True
            return
        if self.is_still:
            if not is_inplace:
                self.copy(x, out)
            return
        launch = self.launch
        if launch is None:
            launch = self.launch = self.device.fitting(self._make)
        wide = self.wide
        if wide is None:
            if not is_inplace:
                self.copy(x, out)
            buffers = (out.buffer, src.buffer, index.buffer, self.faults)
            begins = offsets(out, src, index)
            if bits:
                begins += ((self.number_at, bits),)
            launch.with_numbers(buffers, begins)
            self.device.suspect = True
            return
        with self.device.scratch(wide.numel * wide.itemsize) as (block,):
            held = Array(block, 0, wide.shape, wide.strides, wide.dtype)
            self.widen(x, held)
            buffers = (block, src.buffer, index.buffer, self.faults)
            launch.with_numbers(buffers, offsets(held, src, index))
            self.narrow(held, out)
        self.device.suspect = True


MEANS = {
    1: "(X_VALUE)((long)(v) / (long)(n) - ((long)(v) < 0 && (long)(v) % (long)(n) != 0))",
    2: "((v) / (X_VALUE)(n))",
}
"""A sum over a count: of whole numbers rounded down."""

_FLAGS = {"sum": "|", "prod": "&", "amax": "|", "amin": "&"}
_SIGNS = {"sum": "+", "prod": "*", "amax": ">", "amin": "<"}


def combined(reduce: str, dtype: DType) -> str:
    """``a`` and ``b`` brought together."""
    if dtype.category == 0:
        return f"((a) {_FLAGS[reduce]} (b))"
    sign = _SIGNS.get(reduce, "+")
    if sign in "<>":  # NaN is handed on
        return f"((a) != (a) ? (a) : (b) != (b) ? (b) : (a) {sign} (b) ? (a) : (b))"
    if dtype.category == 1:
        unsigned = "ulong" if dtype.itemsize == 8 else "uint"
        return f"(X_VALUE)(({unsigned})(a) {sign} ({unsigned})(b))"
    return f"((a) {sign} (b))"


def _start(reduce: str, dtype: DType) -> str:
    """What anything may be brought together with and stays what it is."""
    if reduce == "prod":
        return "(X_VALUE)1"
    if reduce == "mean":
        return "(X_VALUE)0"
    is_largest = reduce == "amax"
    if dtype.category == 0:
        return "0" if is_largest else "1"
    if dtype.category == 2:
        return "-INFINITY" if is_largest else "INFINITY"
    limits = iinfo(dtype)
    if is_largest:
        return f"(X_VALUE)({limits.min + 1}l - 1)" if limits.min else "(X_VALUE)0"
    return f"(X_VALUE){limits.max}l"


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
