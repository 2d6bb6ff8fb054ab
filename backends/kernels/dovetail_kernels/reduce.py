"""Reductions: sum, mean, prod, amax, amin, argmax, argmin, any, all, vectors' norms over any dims.

A reduction has outer loops, over what is kept, and inner loops, over what is folded. A work item
folds one run of inner elements for one outer element: where the inner elements are neighbours, in
lanes that a compiler makes a vector of; where the outer ones are, for several outer elements at
once. Where there are too few outer elements to keep the device busy, or so many inner ones that
rounding would add up, the inner ones are folded in parts, and then the parts' results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from dovetail.backend import KernelTable, Loops, collapse
from dovetail.dtypes import FLOATING
from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import Array, dense_strides, offsets, part
from dovetail_kernels.device import Device, Launch, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import FOLDS, NORMS, fold_macros, vector_macros, worked_in
from dovetail_kernels.source import element, loop_numbers, places, program
from dovetail_kernels.vectors import BYTES, FETCH, vector_helpers

__all__ = [
    "ALIGNED",
    "WIDE",
    "Reduction",
    "enter",
    "enter_as",
    "is_by_columns",
    "is_dense",
    "lines_of",
]

LANES = 16
COLUMNS = 64
"""Neighbouring outer elements of one work item, in vectors or one by one, at least."""

ALIGNED = 64
"""Elements that parts begin at a multiple of, so that no vector lies in two lines of a cache."""

WIDE = 4096
"""Bytes of what is kept of neighbouring outer elements: it stays in the nearest cache."""

NEAR = 1 << 10
"""Bytes of neighbouring outer elements that a work item reads at once, at least: of less, what a
processor fetches beforehand is mostly another's."""

SHORTEST, LONGEST = 64, 1 << 10
"""Elements of a run of neighbours that is worth folding by itself."""

MUCH = 1 << 18
"""Elements of a reduction that is worth a second launch."""

PART = 1 << 14
"""Elements that one work item folds at most, where there are many."""


def enter(table: KernelTable) -> None:
    """Enter the reductions."""
    enter_as(Reduction, table, lambda facts: True)


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
    (source,), (out,) = facts.inputs, facts.outputs
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
        outer_loops = collapse(target, part(source, outer))
        inner_loops = collapse(part(source, inner), keep_order=True)
        whole = _whole(outer_loops, inner_loops)
        split = self._split(outer_loops, inner_loops) or whole
        first = split.first
        parts, count = self._parts(*first), first[1].numel
        dtypes = (source.dtype, out.dtype)
        if parts <= 1 and split is whole:
            self._steps = [self._step(dtypes, *first)]
            return
        chunk = -(-count // parts)
        chunk = -(-chunk // ALIGNED) * ALIGNED if chunk > 16 * ALIGNED else chunk
        parts = -(-count // chunk)
        flat = first[0].numel * parts
        self._scratch = [flat * work.itemsize, flat * 8][: 1 + FOLDS[name].has_place]
        self._steps = [
            self._step((source.dtype, work), *first, parts, chunk, is_part=True),
            self._step((work, out.dtype), *split.rest(parts), is_rest=True),
        ]

    def _split(self, outer: Loops, inner: Loops) -> Split | None:
        """What is folded apart, on the host's cores, so that memory is read in its order."""
        fold = FOLDS[self.name]
        if not self.device.is_cpu or fold.has_place:
            return None
        if not is_dense(inner):
            return _woven(outer, inner, self.work.itemsize)
        is_short = len(inner.shape) > 1 and SHORTEST <= inner.shape[-1] <= LONGEST
        is_much = outer.numel * inner.numel >= MUCH
        # Sums are as fast run after run: their loop does less, so a processor looks farther ahead.
        return _by_runs(outer, inner) if fold.beyond and is_short and is_much else None

    def _fold_numbers(self) -> list[Any]:
        """The numbers that what comes out is computed by."""
        has = FOLDS[self.name].has_divisor
        return [self.work.numpy.type(self.inner_count)] if has else []

    def _parts(self, outer: Loops, inner: Loops) -> int:
        """In how many parts the inner elements are folded."""
        wanted = self.device.units * (4 if self.device.is_cpu else 256)
        lines, count = outer.numel, inner.numel
        if self.device.is_cpu:
            lines = lines_of(lines, outer, inner, self.work.itemsize)
        busy = min(-(-wanted // lines), count // 2048)
        return max(busy, -(-count // PART) if count > 4 * PART else 1)

    def _step(
        self, dtypes: tuple[DType, DType], outer: Loops, inner: Loops, parts: int = 1,
        chunk: int = 0, *, is_part: bool = False, is_rest: bool = False,
    ) -> Launch:  # fmt: skip
        """One of the kernels: input to output, input to scratch, or scratch to output."""
        device, fold, work = self.device, FOLDS[self.name], self.work
        source, out = dtypes
        has_runs = is_dense(inner)
        width, vectors = vector_macros(device, fold, work, source, is_rest, has_runs)
        side = span = 4 * width if width > 1 else COLUMNS
        columns = is_by_columns(outer, inner) and outer.shape[-1] >= side
        walked = outer
        if columns:
            walked = Loops(outer.shape[:-1], tuple(row[:-1] for row in outer.strides))
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
        }  # fmt: skip
        each = chunk or inner.numel
        numbers = [np.uint64(n) for n in (0, 0, outer.numel, inner.numel, parts, each)]
        numbers += [np.int32(is_part), np.int32(is_rest)]
        numbers += [np.uint64(inner.shape[-1] if has_runs else 0), *self._fold_numbers()]
        numbers += loop_numbers(walked) + loop_numbers(inner)
        items = outer.numel * parts
        if columns:
            if width > 1:  # as wide as leaves something to each work item
                rows = items // outer.shape[-1]
                wanted = -(-outer.shape[-1] * rows // (device.units * 4))
                span = min(-(-wanted // side) * side, WIDE // work.itemsize)
            numbers += [np.uint64(n) for n in (outer.shape[-1], outer.strides[0][-1], span)]
            items = items // outer.shape[-1] * -(-outer.shape[-1] // span)
        each *= span if columns else 1
        size = device.workers(items, max(1, 4096 // max(1, each)))
        helpers = vector_helpers((source,), width) + FETCH + BYTES
        text = program(device, "reduce", macros, (source, out, work), text=helpers)
        return device.launch(text, "columns" if columns else "rows", 3, numbers, size, self.name)

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


class Split(NamedTuple):
    """A reduction in two steps, by the loops (outer, inner) of each.

    Attributes:
        first: from the input to scratch.
        rest: the loops of what that comes to, if each of its elements is folded in so many parts.
    """

    first: tuple[Loops, Loops]
    rest: Callable[[int], tuple[Loops, Loops]]


def _whole(outer: Loops, inner: Loops) -> Split:
    """All of an outer element in parts, which lie together in scratch, in the loops' own order."""

    def rest(parts: int) -> tuple[Loops, Loops]:
        kept = Loops(outer.shape, (outer.strides[0], dense_strides(outer.shape, parts)))
        return kept, Loops((parts,), ((1,),))

    return Split((outer, inner), rest)


def _by_runs(outer: Loops, inner: Loops) -> Split:
    """Runs of neighbours first, in the order of memory: those of one element are far apart."""
    *shape, run = inner.shape
    steps = inner.strides[0][:-1]
    every = (*shape, *outer.shape)
    dense = dense_strides(every)
    first = Loops(every, (dense, (*steps, *outer.strides[1]))), Loops((run,), ((1,),))

    def rest(parts: int) -> tuple[Loops, Loops]:
        among = tuple(n * parts for n in dense)
        kept = Loops(outer.shape, (outer.strides[0], among[len(shape) :]))
        return kept, Loops((*shape, parts), ((*among[: len(shape)], 1),))

    return Split(first, rest)


def _woven(outer: Loops, inner: Loops, itemsize: int) -> Split | None:
    """Narrow rows of one dense matrix: several are seen as one that is wide enough for vectors."""
    if len(outer.shape) != 1 or len(inner.shape) != 1:
        return None
    (width,), (rows,) = outer.shape, inner.shape
    is_matrix = outer.strides[1] == (1,) and inner.strides[0] == (width,)
    if not is_matrix or width >= COLUMNS or width * rows < MUCH // 16:
        return None
    for several in range(WIDE // (width * itemsize), -(-COLUMNS // width) - 1, -1):
        if rows % several == 0:
            break
    else:
        return None
    wide = several * width
    first = Loops((wide,), ((1,), (1,))), Loops((rows // several,), ((wide,),))

    def rest(parts: int) -> tuple[Loops, Loops]:
        kept = Loops((width,), (outer.strides[0], (parts,)))
        return kept, Loops((several, parts), ((width * parts, 1),))

    return Split(first, rest)


def is_dense(inner: Loops) -> bool:
    """Whether what is folded into one element are neighbours."""
    return bool(inner.shape) and inner.strides[0][-1] == 1


def is_by_columns(outer: Loops, inner: Loops) -> bool:
    """Whether neighbours are folded into neighbours; the last strides of both are the input's."""
    return not is_dense(inner) and bool(outer.shape) and outer.strides[-1][-1] == 1


def lines_of(count: int, outer: Loops, inner: Loops, itemsize: int) -> int:
    """How many work items of the host's cores so many outer elements are for, if each is to read
    what lies together."""
    return -(-count // (NEAR // itemsize)) if is_by_columns(outer, inner) else count
