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
from dovetail_kernels.arrays import offsets, part
from dovetail_kernels.device import Launch, device_of, known
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import accumulated, across, iota
from dovetail_kernels.sides import (
    ALIGNED,
    BLOCK,
    WIDE,
    Split,
    Ways,
    is_dense,
    side_macros,
    split_of,
    whole,
)
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
    work: DType, width: int, calls: Sequence[tuple[str, int]], kept: DType, word: str
) -> tuple[dict[str, Any], list[str], str]:
    """(Macros of ``src/exponentials.cl``, names of the other functions, the text before them).

    Args:
        calls: these, and for vectors of how many numbers each is wanted.
        kept: the dtype of what comes out; for halves exponentials are those of
            ``mathematics_half.cl`` of the name ``word``.
    """
    kind, is_float = dialect.VALUES[work.name], work is float32
    is_short = is_float and kept.itemsize == 2
    parts = () if is_float else (("exp2_part", 1), ("exp2_part", width))
    short = ((word, 1), (word, width)) if is_short else ()
    names, text = mathematics.taken((*calls, *parts), kind, is_own=True, short=short)
    made = across(kind, width) | {"T": kind, "IS_FLOAT": int(is_float)}
    made |= {"IOTA": iota("int" if is_float else "long", width), "IS_SHORT": int(is_short)}
    if is_short:
        made |= {"EXP_S(x)": f"{names[-2]}(x)", "EXP_V(x)": f"{names[-1]}(x)"}
    return made, names[: len(calls)], text


WAYS = Ways(few=48, wide=1 << 10, long=1 << 10, alone=1 << 10, short=BLOCK)
"""A pair takes much longer to join than an element, so there should be few of them."""


class Paired:
    """One such reduction resolved: ``kernel(input, out)`` or ``kernel(input, out, mean)``."""

    def __init__(self, name: str, facts: Any) -> None:
        (source,), out = facts.inputs, facts.outputs[0]
        dim = facts.attributes["dim"]
        self.name = name
        self.device = device_of(out.device)
        self.source, self.out = source.dtype, out.dtype
        self.work = accumulated(source.dtype)
        self.width = 64 // self.work.itemsize
        input, outs = ghost(source), [ghost(s) for s in facts.outputs]
        inner = [i for i in range(input.ndim) if i in dim]
        outer = [i for i in range(input.ndim) if i not in dim]
        kept = outer if outs[0].ndim == input.ndim else range(outs[0].ndim)
        targets = [part(o, kept) for o in outs]
        self.outer_count, inner_count = targets[0].numel, part(input, inner).numel
        if not self.outer_count:
            return
        self.freedom = max(inner_count - facts.attributes.get("correction", 0), 0)
        loops = collapse(part(input, outer), targets[0], targets[-1])
        split = split_of(
            Loops(loops.shape, (*loops.strides[1:], loops.strides[0])),
            collapse(part(input, inner)),
            self.width, self.work.itemsize, WAYS,
        )  # fmt: skip
        count = split.first[1].numel
        parts = max(1, split.parts(self.device, self.width, self.work.itemsize))
        chunk = -(-count // parts)
        chunk = -(-chunk // ALIGNED) * ALIGNED if parts > 1 else chunk
        parts = -(-count // chunk)
        is_part = parts > 1 or split.is_apart
        self.steps = [self._first(split, parts, chunk, is_part)]
        if is_part:
            self.total = split.first[0].numel * parts
            self.steps.append(self._rest(*split.rest(parts)))

    def _first(self, split: Split, parts: int, chunk: int, is_part: bool) -> Launch:
        """The kernel that reads the input."""
        outer, inner = split.first
        each, items = chunk, outer.numel * parts
        walked, kernel = split.walked, "rows"
        if not split.lanes:
            run = inner.shape[-1] if is_dense(inner) else 0
            is_run = run >= 4 * self.width or run == inner.numel
            numbers = self._numbers(
                outer, inner, outer.numel, parts, chunk, is_part, run if is_run else 0
            )
        else:
            span = split.span(self.device, self.width, self.work.itemsize, parts)
            side, count, items = split.numbers(span)
            numbers = self._numbers(walked, inner, count, parts, chunk, is_part)
            numbers.append(side)
            items *= parts
            each *= span * outer.numel // count
            kernel = "blocks" if split.lanes == "blocks" else "columns"
        size = self.device.workers(items, max(1, 4096 // each))
        return self._launch(kernel, walked, inner, numbers, size, split)

    def _rest(self, outer: Loops, inner: Loops) -> Launch:
        """The kernel that joins what parts came to."""
        width = outer.shape[-1] if outer.shape and outer.strides[-1][-1] == 1 else 0
        if width < self.width:
            line = inner.numel if is_dense(inner) and len(inner.shape) == 1 else 0
            numbers = self._numbers(outer, inner, outer.numel, 1, inner.numel, False, line)
            numbers.append(np.uint64(self.total))
            size = self.device.workers(outer.numel, max(1, 4096 // inner.numel))
            return self._launch("rest", outer, inner, numbers, size, whole(outer, inner))
        split = whole(outer, inner, "near")
        numbers = self._numbers(split.walked, inner, outer.numel, 1, inner.numel)
        steps = outer.strides[0][-1], outer.strides[-2][-1]
        numbers += [np.uint64(n) for n in (self.total, width, *steps)]
        items = outer.numel // width * -(-width // self.width)
        size = self.device.workers(items, max(1, 4096 // (inner.numel * self.width)))
        return self._launch("rest_columns", split.walked, inner, numbers, size, split)

    def _numbers(
        self, outer: Loops, inner: Loops, count: int, parts: int, chunk: int,
        is_part: bool = False, line: int = 0,
    ) -> list[Any]:  # fmt: skip
        made: list[Any] = [np.uint64(0)] * 3
        made += [np.uint64(n) for n in (count, inner.numel, parts, chunk)]
        made += [np.int32(is_part), self.work.numpy.type(self.freedom), np.uint64(line)]
        return made + loop_numbers(outer) + loop_numbers(inner)

    def _launch(
        self, kernel: str, outer: Loops, inner: Loops, numbers: list[Any], size: Any, split: Split
    ) -> Launch:
        device, work, width = self.device, self.work, self.width
        has_mean = self.name.endswith("_mean")
        calls = (("log", 1), ("log", width), ("log_near", width))
        made, (log, logs, near), own = exponentials(work, width, calls, self.out, "summed_exp")
        helpers = vector_helpers((self.source, self.out), width) + FETCH + own
        result = RESULTS[self.name.removesuffix("_mean")]
        macros = {
            **made,
            "IS_CPU": 1,
            "IS_MOMENTS": int(self.name != "logsumexp"),
            "HAS_MORE": int(has_mean),
            "LOG(x)": f"{log}(x)",
            "LOG_V(x)": f"{logs}(x)",
            "LOG_NEAR(x)": f"{near}(x)",
            "RESULT(a, b)": converted(work, self.out, result),
            "RESULT_V(a, b)": f"({result.replace('LOG', 'LOG_V').replace('(T)', '(VECTOR)')})",
            "COLUMNS": WIDE // work.itemsize,
            **element(device, "OUT", self.out),
            **lanes(device, "OUT", self.out, width, side=False),
            **lanes(device, "IN", self.source, width, side=False),
            "RAW_V(p, i)": "IN_V(p, i)",
            "MAPPED(v)": "(v)",
            **places("OUTER", outer, "o", ("to", "also", "from")),
            **places("INNER", inner, "i", ("along",)),
            **side_macros(device, self.source, width, split),
        }
        text = program(
            device, "paired", macros, (self.source, self.out, work),
            before=("exponentials", "sides"), text=helpers,
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
        count = 2 if self.name == "logsumexp" else 4
        with self.device.scratch(count * self.total * self.work.itemsize) as (pairs,):
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
