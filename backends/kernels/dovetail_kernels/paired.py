"""Reductions to pairs of numbers: var, std, both with the mean, and logsumexp, in one pass.

A part's pair is a mean and the sum of squared distances from it, or a largest element and the sum
of exponentials of distances from it, and pairs are joined (Chan, Golub and LeVeque's way). A block
of elements that stays in a cache is read twice, or eight rows are held in registers, so memory is
read once. For the host's cores: elsewhere they are made of the reductions that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, Loops, collapse
from dovetail.dtypes import FLOATING, float32
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect, mathematics
from dovetail_kernels.arrays import dense_strides, offsets, part
from dovetail_kernels.device import Launch, device_of, known
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import accumulated, across, iota
from dovetail_kernels.reduce import ALIGNED, WIDE, is_by_columns, is_dense, lines_of
from dovetail_kernels.source import converted, element, loop_numbers, places, program
from dovetail_kernels.vectors import FETCH, lanes, vector_helpers

__all__ = ["enter", "exponentials"]

RESULTS = {
    "var": "(b) / freedom",
    "std": "sqrt((b) / freedom)",
    "logsumexp": "LOG((b)) + FINITE(a, (T)0)",
}
"""What comes out of the pair (a, b)."""


def exponentials(
    work: DType, width: int, calls: Sequence[tuple[str, int]]
) -> tuple[dict[str, Any], list[str], str]:
    """(Macros of ``src/exponentials.cl``, names of the other functions, the text before them).

    Args:
        calls: these, and for vectors of how many numbers each is wanted.
    """
    kind, is_float = dialect.VALUES[work.name], work is float32
    parts = () if is_float else (("exp2_part", 1), ("exp2_part", width))
    names, text = mathematics.taken((*calls, *parts), kind, is_own=True)
    made = across(kind, width) | {"T": kind, "IS_FLOAT": int(is_float)}
    made |= {"IOTA": iota("int" if is_float else "long", width)}
    return made, names[: len(calls)], text


class Paired:
    """One such reduction resolved: ``kernel(input, out)`` or ``kernel(input, out, mean)``."""

    def __init__(self, name: str, facts: Any) -> None:
        (source,), out = facts.inputs, facts.outputs[0]
        dim = facts.attributes["dim"]
        self.name = name
        self.device = device_of(out.device)
        self.source, self.out = source.dtype, out.dtype
        self.work = accumulated(source.dtype)
        input, outs = ghost(source), [ghost(s) for s in facts.outputs]
        inner = [i for i in range(input.ndim) if i in dim]
        outer = [i for i in range(input.ndim) if i not in dim]
        kept = outer if outs[0].ndim == input.ndim else range(outs[0].ndim)
        targets = [part(o, kept) for o in outs]
        self.outer_count, self.inner_count = targets[0].numel, part(input, inner).numel
        if not self.outer_count:
            return
        self.freedom = max(self.inner_count - facts.attributes.get("correction", 0), 0)
        inner_loops = collapse(part(input, inner), keep_order=True)
        outer_loops = collapse(targets[0], targets[-1], part(input, outer))
        lines = lines_of(self.outer_count, outer_loops, inner_loops, self.work.itemsize)
        wanted = -(-self.device.units * 4 // lines)
        self.parts = max(1, min(wanted, self.inner_count // 2048))
        chunk = -(-self.inner_count // self.parts)
        self.chunk = -(-chunk // ALIGNED) * ALIGNED if self.parts > 1 else chunk
        self.parts = -(-self.inner_count // self.chunk)
        self.width = 64 // self.work.itemsize
        self.steps = [self._first(outer_loops, inner_loops)]
        if self.parts > 1:
            rest = Loops(
                outer_loops.shape, (*outer_loops.strides[:2], dense_strides(outer_loops.shape, 1))
            )
            size = self.device.workers(self.outer_count, max(1, 4096 // self.parts))
            numbers = self._numbers(rest, inner_loops, is_part=False)
            self.steps.append(self._launch("rest", rest, inner_loops, numbers, size))

    def _first(self, outer: Loops, inner: Loops) -> Launch:
        """The kernel that reads the input."""
        line = inner.shape[-1] if is_dense(inner) else 0
        side = 4 * self.width
        items = self.outer_count * self.parts
        if not (is_by_columns(outer, inner) and outer.shape[-1] >= side):
            is_run = line >= side or line == self.inner_count
            numbers = self._numbers(outer, inner, self.parts > 1, line if is_run else 0)
            size = self.device.workers(items, max(1, 4096 // self.chunk))
            return self._launch("rows", outer, inner, numbers, size)
        walked = Loops(outer.shape[:-1], tuple(row[:-1] for row in outer.strides))
        width, rows = outer.shape[-1], items // outer.shape[-1]
        wanted = -(-width * rows // (self.device.units * 4))
        span = min(-(-wanted // side) * side, WIDE // self.work.itemsize)
        numbers = self._numbers(walked, inner, self.parts > 1)
        numbers += [np.uint64(n) for n in (width, *(s[-1] for s in outer.strides[:2]), span)]
        items = rows * -(-width // span)
        size = self.device.workers(items, max(1, 4096 // (self.chunk * span)))
        return self._launch("columns", walked, inner, numbers, size)

    def _numbers(self, outer: Loops, inner: Loops, is_part: bool, line: int = 0) -> list[Any]:
        made: list[Any] = [np.uint64(0)] * 3
        made += [np.uint64(n) for n in (self.outer_count, self.inner_count, self.parts, self.chunk)]
        made += [np.int32(is_part), self.work.numpy.type(self.freedom), np.uint64(line)]
        return made + loop_numbers(outer) + loop_numbers(inner)

    def _launch(
        self, kernel: str, outer: Loops, inner: Loops, numbers: list[Any], size: Any
    ) -> Launch:
        device, work, width = self.device, self.work, self.width
        has_mean = self.name.endswith("_mean")
        made, (log,), own = exponentials(work, width, (("log", 1),))
        helpers = vector_helpers((self.source,), width) + FETCH + own
        macros = {
            **made,
            "IS_MOMENTS": int(self.name != "logsumexp"),
            "HAS_MORE": int(has_mean),
            "LOG(x)": f"{log}(x)",
            "RESULT(a, b)": converted(work, self.out, RESULTS[self.name.removesuffix("_mean")]),
            "COLUMNS": WIDE // work.itemsize,
            **element(device, "OUT", self.out),
            **lanes(device, "IN", self.source, width, side=False),
            **places("OUTER", outer, "o", ("to", "also", "from")),
            **places("INNER", inner, "i", ("along",)),
        }
        text = program(
            device, "paired", macros, (self.source, self.out, work),
            before=("exponentials",), text=helpers,
        )  # fmt: skip
        return device.launch(text, kernel, 4, numbers, size, self.name)

    def __call__(self, source: Any, *outs: Any) -> None:
        """Queue it."""
        if not self.outer_count:
            return
        out, more = outs[0], outs[-1]
        begins = offsets(out, more, source)
        first, *rest = self.steps
        if not rest:
            first.with_numbers((out.buffer, more.buffer, source.buffer, out.buffer), begins)
            return
        with self.device.scratch(2 * self.outer_count * self.parts * self.work.itemsize) as (
            pairs,
        ):
            for step in self.steps:
                step.with_numbers((out.buffer, more.buffer, source.buffer, pairs), begins)


def _suits(facts: Any) -> bool:
    """On the host's cores, where there is something to fold."""
    device = known(facts.outputs[0].device)
    if device is None or not device.is_cpu:
        return False
    return bool(facts.attributes["dim"]) and facts.inputs[0].numel > 0


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("var", "std", "var_mean", "std_mean", "logsumexp"):
        table.add(name, partial(Paired, name), dtypes=FLOATING, specialize=True, when=_suits)
