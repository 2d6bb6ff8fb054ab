"""Reductions: sum, mean, prod, amax, amin, argmax, argmin, any, all, norms; max, min with places.

A reduction has outer loops, over what is kept, and inner loops, over what is folded. A work item
folds one run of inner elements for one outer element: where the inner elements are neighbours, in
lanes that a compiler makes a vector of; or for several outer elements at once, see :mod:`.sides`.
Where there are too few outer elements to keep the device busy, or so many inner ones that rounding
would add up, the inner ones are folded in parts, and then the parts' results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, Loops, collapse
from dovetail.dtypes import FLOATING, bool_
from dovetail.dtypes import dtype as DType
from dovetail_kernels import narrow
from dovetail_kernels.arrays import Array, offsets, part
from dovetail_kernels.device import Device, Launch, device_of, known
from dovetail_kernels.elementwise import ghost, seen
from dovetail_kernels.folds import FOLDS, NORMS, fold_macros, vector_macros, worked_in
from dovetail_kernels.sides import (
    COLUMNS,
    WIDE,
    Split,
    Ways,
    aligned,
    is_by_columns,
    is_dense,
    side_macros,
    split_of,
    whole,
)
from dovetail_kernels.source import converted, element, loop_numbers, places, program
from dovetail_kernels.vectors import BYTES, FETCH, vector_helpers

__all__ = ["Reduction", "enter", "enter_as"]

LANES = 16

VALUES_AT = 9
"""Where the first of a fold's own numbers is among a kernel's."""

FEW = 1 << 16
"""Elements that are counted where they are not 0; of more of them flags are made, and summed by
vectors."""

PART = 1 << 14
"""Elements that one work item folds at most, where there are many."""


def enter(table: KernelTable) -> None:
    """Enter the reductions."""
    enter_as(Reduction, table, lambda facts: True)
    for name, find in (("max_dim", "argmax"), ("min_dim", "argmin")):
        table.add(name, partial(_picked, find), specialize=True, when=_has_values)


def _has_values(facts: Any) -> bool:
    """Whether values and their places are written in one order, on the host's cores."""
    (source,), (values, places) = facts.inputs, facts.outputs
    device = known(values.device)
    if device is None or not device.is_cpu or not source.ndim or source.dtype is bool_:
        return False
    return bool(ghost(values).element_strides == ghost(places).element_strides)


def _picked(name: str, facts: Any) -> Reduction:
    (source,), (_, places) = facts.inputs, facts.outputs
    work = worked_in(FOLDS[name], source.dtype, places.dtype)
    device, dim = device_of(places.device), (facts.attributes["dim"],)
    return Picked(device, name, ghost(source), ghost(places), dim, work)


def enter_as(make: type[Reduction], table: KernelTable, suits: Callable[[Any], bool]) -> None:
    """Enter the reductions as this class makes them, where they suit."""
    for name in ("sum", "prod", "amax", "amin", "argmax", "argmin"):
        table.add(name, partial(_resolved, make, name), specialize=True, when=suits)
    for name in ("any", "all"):  # over no dims they reduce nothing
        table.add(
            name, partial(_resolved, make, name), specialize=True,
            when=lambda facts: bool(facts.attributes["dim"]) and suits(facts),
        )  # fmt: skip
    table.add(
        "count_nonzero", partial(_resolved, make, "count_nonzero"), specialize=True,
        when=lambda facts: facts.inputs[0].numel <= FEW and suits(facts),
    )  # fmt: skip
    table.add(
        "mean", partial(_resolved, make, "mean"), dtypes=FLOATING, specialize=True, when=suits
    )
    table.add(
        "vector_norm",
        lambda facts: _resolved(make, NORMS[facts.attributes["ord"]], facts),
        dtypes=FLOATING,
        specialize=True,
        when=lambda facts: facts.attributes["ord"] in NORMS and suits(facts),
    )


def _resolved(make: type[Reduction], name: str, facts: Any) -> Reduction:
    (source,), (out,) = seen(facts), facts.outputs
    work = worked_in(FOLDS[name], source.dtype, out.dtype)
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
        loops = collapse(part(source, outer), target)
        kept_loops = Loops(loops.shape, loops.strides[::-1])
        inner_loops = collapse(part(source, inner), keep_order=FOLDS[name].has_place)
        if made := self._narrow(kept_loops, inner_loops, source.dtype, out.dtype):
            self._steps = [made]
            return
        split = self._split(kept_loops, inner_loops, source.dtype)
        parts, count = self._parts(split), split.first[1].numel
        dtypes = (source.dtype, out.dtype)
        if parts <= 1 and not split.is_apart:
            self._steps = [self._step(dtypes, split)]
            return
        chunk = -(-count // max(parts, 1))
        chunk = aligned(chunk)
        parts = -(-count // chunk)
        flat = split.first[0].numel * parts
        self._scratch = [flat * work.itemsize, flat * 8][: 1 + FOLDS[name].has_place]
        self._steps = [
            self._step((source.dtype, work), split, parts, chunk, is_part=True),
            self._step((work, out.dtype), self._rest(*split.rest(parts)), is_rest=True),
        ]

    def _narrow(self, outer: Loops, inner: Loops, source: DType, out: DType) -> Launch | None:
        """A kernel for bytes by columns, where there is one."""
        return narrow.columns(self.device, self.name, outer, inner, source, out)

    def _split(self, outer: Loops, inner: Loops, source: DType) -> Split:
        """In what steps memory is read, and what is side by side."""
        device, fold, work = self.device, FOLDS[self.name], self.work
        if not device.is_cpu:
            return self._rest(outer, inner)
        width, vectors = vector_macros(device, fold, work, source, False, is_dense(inner))
        turns = "MAPPED(v)" in vectors
        ways = Ways(128 if fold.has_place else 16, WIDE, 256, fold.has_place)
        return split_of(outer, inner, width, work.itemsize, ways, turns=turns)

    def _rest(self, outer: Loops, inner: Loops) -> Split:
        """The same of what a first step came to."""
        fold, work = FOLDS[self.name], self.work
        width, _ = vector_macros(self.device, fold, work, work, True, is_dense(inner))
        least = width if width > 1 else COLUMNS
        is_wide = is_by_columns(outer, inner) and outer.shape[-1] >= least
        return whole(outer, inner, "near" if is_wide else "")

    def _fold_numbers(self) -> list[Any]:
        """The numbers that what comes out is computed by."""
        has = FOLDS[self.name].has_divisor
        return [self.work.numpy.type(self.inner_count)] if has else []

    def _more(
        self, source: DType, *, is_part: bool
    ) -> tuple[int, tuple[DType, ...], dict[str, Any]]:
        """(How many buffers a kernel has, the dtypes and macros of those that others have not)."""
        return 3, (), {}

    def _parts(self, split: Split) -> int:
        """In how many parts the inner elements are folded."""
        outer, inner = split.first
        count = inner.numel
        if self.device.is_cpu:
            busy = split.parts(self.device, LANES, self.work.itemsize)
        else:
            busy = min(-(-self.device.units * 256 // outer.numel), count // 2048)
        return max(busy, -(-count // PART) if count > 4 * PART else 1)

    def _step(
        self, dtypes: tuple[DType, DType], split: Split, parts: int = 1, chunk: int = 0, *,
        is_part: bool = False, is_rest: bool = False,
    ) -> Launch:  # fmt: skip
        """One of the kernels: input to output, input to scratch, or scratch to output."""
        device, fold, work = self.device, FOLDS[self.name], self.work
        source, out = dtypes
        outer, inner = split.first
        has_runs = is_dense(inner)
        width, vectors = vector_macros(device, fold, work, source, is_rest, has_runs)
        walked = split.walked
        buffers, kinds, more = self._more(source, is_part=is_part)
        macros = {
            **fold_macros(fold, work, dtypes, is_part=is_part, is_rest=is_rest),
            "IS_CPU": int(device.is_cpu),
            "LANES": LANES,
            "COLUMNS": WIDE // work.itemsize if width > 1 else COLUMNS,
            **element(device, "IN", source),
            **element(device, "OUT", out),
            **places("OUTER", walked, "o", ("to", "from")),
            **places("INNER", inner, "i", ("along",)),
            **vectors,
            **side_macros(device, source, width, split),
            **more,
        }
        each = chunk or inner.numel
        numbers = [np.uint64(n) for n in (0, 0, outer.numel, inner.numel, parts, each)]
        numbers += [np.int32(is_part), np.int32(is_rest)]
        numbers += [np.uint64(inner.shape[-1] if has_runs else 0), *self._fold_numbers()]
        numbers += loop_numbers(walked) + loop_numbers(inner)
        items = outer.numel * parts
        if split.lanes:
            span = split.span(device, width, work.itemsize, parts) if width > 1 else COLUMNS
            side, count, items = split.numbers(span)
            numbers[2] = np.uint64(count)
            numbers.append(side)
            items *= parts
            each *= span * outer.numel // count
        size = device.workers(items, max(1, 4096 // max(1, each)))
        helpers = vector_helpers((source,), width) + FETCH + BYTES
        text = program(
            device, "reduce", macros, (source, out, work, *kinds), before=("sides",), text=helpers
        )
        kernel = {"": "rows", "blocks": "blocks"}.get(split.lanes, "columns")
        return device.launch(text, kernel, buffers, numbers, size, self.name)

    def __call__(self, source: Any, out: Any) -> None:
        """Queue it."""
        if not self.outer_count:
            return
        begins = offsets(out, source)
        if len(self._steps) == 1:
            self._steps[0].with_numbers((out.buffer, source.buffer, out.buffer), begins)
            return
        end, begin = begins
        with self.device.scratch(*self._scratch) as blocks:
            values, found = blocks[0], blocks[-1]  # where no place is asked for, nothing is written
            self._steps[0].with_numbers((values, source.buffer, found), (begin,))
            self._steps[1].with_numbers((out.buffer, values, found), (end,))


class Picked(Reduction):
    """The same that writes the elements whose places are found, too: ``kernel(input, values,
    places)``, which have one order."""

    def _narrow(self, outer: Loops, inner: Loops, source: DType, out: DType) -> Launch | None:
        return None  # there is none that writes the elements too

    def _fold_numbers(self) -> list[Any]:
        return [np.uint64(0)]

    def _more(
        self, source: DType, *, is_part: bool
    ) -> tuple[int, tuple[DType, ...], dict[str, Any]]:
        self.value = getattr(self, "value", source)  # of the first step, which reads the input
        if is_part:
            return 3, (), {"FOLD_NUMBERS": ", ulong offset_values"}
        return (
            4,
            (self.value,),
            {
                "HAS_VALUE": 1,
                "FOLD_NUMBERS": ", ulong offset_values",
                **element(self.device, "VALUE", self.value),
                "VALUE_OF(a)": converted(self.work, self.value, "a"),
            },
        )

    def __call__(self, source: Any, out: Any, places: Any = None) -> None:
        """Queue it."""
        if not self.outer_count:
            return
        values = out
        end, begin, (_, more) = offsets(places, source, values)
        first, *rest = self._steps
        if not rest:
            buffers = (places.buffer, source.buffer, places.buffer, values.buffer)
            first.with_numbers(buffers, (end, begin, (VALUES_AT, more)))
            return
        with self.device.scratch(*self._scratch) as (kept, found):
            first.with_numbers((kept, source.buffer, found), (begin,))
            buffers = (places.buffer, kept, found, values.buffer)
            rest[0].with_numbers(buffers, (end, (VALUES_AT, more)))
