"""Reductions: sum, prod, amax, amin, argmax, argmin over any dims.

A reduction has outer loops, over what is kept, and inner loops, over what is folded. A work item
folds one run of inner elements for one outer element: where the inner elements are neighbours, in
lanes that a compiler makes a vector of; where the outer ones are, for several outer elements at
once. Where there are too few outer elements to keep the device busy, or so many inner ones that
rounding would add up, the inner ones are folded in parts, and then the parts' results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, Loops, collapse
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32
from dovetail_kernels import dialect
from dovetail_kernels.arrays import Array, dense_strides, offsets, part
from dovetail_kernels.device import Device, Launch, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.source import converted, element, loop_numbers, places, program
from dovetail_kernels.vectors import FETCH, lanes, vector_helpers

__all__ = ["ALIGNED", "FOLDS", "Reduction", "accumulated", "enter", "resolved", "wrapping"]

LANES = 16
COLUMNS = 64
"""Neighbouring outer elements of one work item, in vectors or one by one, at least."""

ALIGNED = 64
"""Elements that parts begin at a multiple of, so that no vector lies in two lines of a cache."""

WIDE = 4096
"""Bytes of what is kept of neighbouring outer elements: it stays in the nearest cache."""

PART = 1 << 14
"""Elements that one work item folds at most, where there are many."""


@dataclass(frozen=True)
class Fold:
    """How two values become one, in C.

    Attributes:
        start: the value of nothing; None: begin with the first element.
        text: folds ``v`` into ``a``, and its place ``at`` into ``p``.
        complex_text: the same for complex numbers, where it differs.
        has_place: the place is what comes out.
    """

    start: str | None
    text: str
    complex_text: str = ""
    has_place: bool = False

    def of(self, work: DType) -> str:
        """The text for a dtype."""
        return self.complex_text if work.is_complex and self.complex_text else self.text


def _extreme(sign: str) -> Fold:
    """What is not beyond ``a`` leaves it; NaN is neither beyond it nor not, and so it comes in."""
    return Fold(None, f"a = ((v {sign} a) | (a != a)) ? a : v")


def _place(sign: str) -> Fold:
    """The first NaN goes before everything; of equal elements the first."""
    is_better = f"v != v ? a == a || at < p : a == a && (v {sign} a || (v == a && at < p))"
    return Fold(None, f"if ({is_better}) {{ a = v; p = at; }}", has_place=True)


FOLDS = {
    "sum": Fold("0", "a += v"),
    "prod": Fold("1", "a *= v", "a = PAIR(a.x * v.x - a.y * v.y, a.x * v.y + a.y * v.x)"),
    "amax": _extreme("<="),
    "amin": _extreme(">="),
    "argmax": _place(">"),
    "argmin": _place("<"),
}


def enter(table: KernelTable) -> None:
    """Enter the reductions."""
    for name in FOLDS:
        table.add(name, partial(resolved, Reduction, name), specialize=True)


def accumulated(dtype: DType) -> DType:
    """What sums and products of ``dtype`` are gathered in."""
    return float32 if dtype.category == 2 and dtype.itemsize == 2 else dtype


def wrapping(dtype: DType) -> str:
    """The type that sums and products are gathered in: integers unsigned, so that they wrap."""
    value = dialect.VALUES[dtype.name]
    return f"u{value}" if dtype.category == 1 and dtype.is_signed else value


def resolved(make: type[Reduction], name: str, facts: Any) -> Reduction:
    """A reduction as this class makes it."""
    (source,), (out,) = facts.inputs, facts.outputs
    work = accumulated(source.dtype if FOLDS[name].has_place else out.dtype)
    device = device_of(out.device)
    return make(device, name, ghost(source), ghost(out), facts.attributes["dim"], work)


class Reduction:
    """One reduction resolved: ``kernel(input, out)``.

    Args:
        source, out: ghosts of the input and the output, which may have kept its dims.
        dim: the dims that are folded.
        work: the dtype that values are folded in.
    """

    def __init__(
        self, device: Device, name: str, source: Array, out: Array, dim: Sequence[int], work: DType
    ) -> None:
        self.device, self.name, self.work = device, name, work
        inner = [i for i in range(source.ndim) if i in dim]
        outer = [i for i in range(source.ndim) if i not in dim]
        kept = outer if out.ndim == source.ndim else range(out.ndim)
        target = part(out, kept)
        self.outer_count, self.inner_count = target.numel, part(source, inner).numel
        if not self.outer_count:
            return
        outer_loops = collapse(target, part(source, outer))
        inner_loops = collapse(part(source, inner), keep_order=True)
        parts = self._parts(outer_loops, inner_loops)
        dtypes = (source.dtype, out.dtype)
        if parts <= 1:
            self._steps = [self._step(dtypes, outer_loops, inner_loops, self.inner_count)]
            return
        chunk = -(-self.inner_count // parts)
        chunk = -(-chunk // ALIGNED) * ALIGNED if chunk > 16 * ALIGNED else chunk
        parts = -(-self.inner_count // chunk)
        flat = self.outer_count * parts
        self._scratch = (flat * work.itemsize, flat * 8 * FOLDS[name].has_place)
        first = self._step(
            (source.dtype, work), outer_loops, inner_loops, self.inner_count, parts, chunk
        )
        rest, along = _rest_loops(outer_loops, parts), Loops((parts,), ((1,),))
        self._steps = [first, self._step((work, out.dtype), rest, along, parts, is_rest=True)]

    def _parts(self, outer: Loops, inner: Loops) -> int:
        """In how many parts the inner elements are folded."""
        wanted = self.device.units * (4 if self.device.is_cpu else 256)
        busy = min(-(-wanted // self.outer_count), self.inner_count // 2048)
        return max(busy, -(-self.inner_count // PART) if self.inner_count > 4 * PART else 1)

    def _step(
        self, dtypes: tuple[DType, DType], outer: Loops, inner: Loops, count: int, parts: int = 1,
        chunk: int = 0, is_rest: bool = False,
    ) -> Launch:  # fmt: skip
        """One of the kernels: input to output, input to scratch, or scratch to output."""
        device, fold, work = self.device, FOLDS[self.name], self.work
        source, out = dtypes
        is_dense = bool(inner.shape) and inner.strides[0][-1] == 1
        width, vectors = self._vectors(source)
        side = span = 4 * width if width > 1 else COLUMNS
        columns = (
            not is_dense
            and bool(outer.shape)
            and outer.strides[1][-1] == 1
            and outer.shape[-1] >= side
        )
        walked = outer
        if columns:
            walked = Loops(outer.shape[:-1], tuple(row[:-1] for row in outer.strides))
        macros = {
            "T": wrapping(work) if self.name in ("sum", "prod") else dialect.VALUES[work.name],
            **dialect.pairing(wrapping(work)),
            "LOADED(i)": converted(source, work, "IN_LOAD(in, i)"),
            "RESULT(a)": converted(work, out, "a"),
            "FOLD(a, p, v, at)": fold.of(work),
            "HAS_PLACE": int(fold.has_place),
            "IS_PART": int(fold.has_place and parts > 1),
            "IS_CPU": int(device.is_cpu),
            "LANES": LANES,
            "COLUMNS": WIDE // work.itemsize if width > 1 else COLUMNS,
            **element(device, "IN", source),
            **element(device, "OUT", out),
            **places("OUTER", walked, "o", ("to", "from")),
            **places("INNER", inner, "i", ("along",)),
            **vectors,
        }  # fmt: skip
        if fold.start is not None:
            macros["START"] = converted(float32 if work.is_complex else work, work, fold.start)
        numbers = [np.uint64(n) for n in (0, 0, self.outer_count, count, parts, chunk or count)]
        numbers += [np.int32(parts > 1), np.int32(is_rest)]
        numbers += [np.uint64(inner.shape[-1] if is_dense else 0)]
        numbers += loop_numbers(walked) + loop_numbers(inner)
        items = self.outer_count * parts
        if columns:
            if width > 1:  # as wide as leaves something to each work item
                rows = items // outer.shape[-1]
                wanted = -(-outer.shape[-1] * rows // (device.units * 4))
                span = min(-(-wanted // side) * side, WIDE // work.itemsize)
            numbers += [np.uint64(n) for n in (outer.shape[-1], outer.strides[0][-1], span)]
            items = items // outer.shape[-1] * -(-outer.shape[-1] // span)
        each = (chunk or count) * (span if columns else 1)
        size = device.workers(items, max(1, 4096 // max(1, each)))
        helpers = vector_helpers((source,), width) + FETCH
        text = program(device, "reduce", macros, (source, out, work), text=helpers)
        return device.launch(text, "columns" if columns else "rows", 3, numbers, size, self.name)

    def _vectors(self, source: DType) -> tuple[int, dict[str, Any]]:
        """(elements of a vector, the macros for it), where a CPU folds floats."""
        work = self.work
        if not self.device.is_cpu or source.category != 2:
            return 1, {"W": 1}
        if accumulated(source) is not work:
            return 1, {"W": 1}
        width = 64 // work.itemsize
        made: dict[str, Any] = lanes(self.device, "IN", source, width, side=False)
        sign = {"amax": ">", "argmax": ">", "amin": "<", "argmin": "<"}.get(self.name)
        places: dict[str, Any] = {}
        if sign is not None:
            kind, bits = ("int", 0x7F800000) if work.itemsize == 4 else ("long", 0x7FF << 52)
            magnitude = f"as_{kind}{width}(v) & {(1 << 8 * work.itemsize - 1) - 1:#x}"
            places = {
                "IS_EXTREME": 1,
                "NUMBER": kind,
                "NUMBERED": f"{kind}{width}",
                "INFINITE": f"{bits:#x}",
                "BEYOND": sign,
                "MOST(a, v)": "a = max(a, v);",
                "LEAST(a, v)": "a = min(a, v);",
                "IOTA": f"({kind}{width})({', '.join(map(str, range(width)))})",
                "ACROSS_NUMBERS(r, v, STEP)": _across(kind, width),
                "EXTREME(a, v, seen)": f"a = v {sign} a ? v : a; seen = max(seen, {magnitude});",
                "FOLD_VALUE(a, v)": f"a = v {sign} a ? v : a;",
            }
        return width, places | {
            "W": width,
            "VECTOR": f"{dialect.VALUES[work.name]}{width}",
            "STORE_LANES(v, p)": f"vstore{width}(v, 0, p)",
            "ACROSS_VALUES(r, v, STEP)": _across(dialect.VALUES[work.name], width),
            "LOAD_LANES(p)": f"vload{width}(0, p)",
            "IN_V(p, i)": made["IN_V(p, i)"],
        }

    def __call__(self, source: Any, out: Any) -> None:
        """Queue it."""
        if not self.outer_count:
            return
        end, begin = offsets(out, source)
        if len(self._steps) == 1:
            self._steps[0].with_numbers((out.buffer, source.buffer, out.buffer), (end, begin))
            return
        with self.device.scratch(*self._scratch) as (values, found):
            self._steps[0].with_numbers((values, source.buffer, found), (begin,))
            self._steps[1].with_numbers((out.buffer, values, found), (end,))


def _across(kind: str, width: int) -> str:
    """Statements that fold the lanes of ``v`` into ``r``, half of them into the other at a time."""
    text, vector = [], "(v)"
    while width > 2:
        width //= 2
        text.append(f"{kind}{width} v{width}_ = {vector}.lo; STEP(v{width}_, {vector}.hi)")
        vector = f"v{width}_"
    return f"{{ {' '.join(text)} r = {vector}.x; STEP(r, {vector}.y) }}"


def _rest_loops(outer: Loops, parts: int) -> Loops:
    """The outer loops, reading the parts' results, which lie in the loops' own order."""
    return Loops(outer.shape, (outer.strides[0], dense_strides(outer.shape, parts)))
