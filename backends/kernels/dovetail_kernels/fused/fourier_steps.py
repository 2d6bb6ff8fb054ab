"""Fourier transforms as steps of ``src/fourier.cl``.

A step takes lines of n points through all its passes in fast memory. A longer line is n * m points,
and is one pass of radix n with the step's transforms as its butterflies: two or three steps. A line
with a large prime factor is a convolution with a chirp, which is two transforms of a good length
(L. I. Bluestein, A linear filtering approach to the computation of the discrete Fourier transform,
1970). Half a spectrum is that of half as many complex numbers, whose parts are the real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import Loops
from dovetail_kernels.arrays import dense_strides
from dovetail_kernels.fused.fourier_tables import (
    Table, bits_of, divided, good_length, is_good, radices,
)  # fmt: skip

__all__ = ["COMPLEX", "HALF", "MACROS", "PAIRS", "REAL", "Plan", "Side"]

COMPLEX, REAL, PAIRS, HALF = range(4)
"""How a line lies in memory: see ``src/fourier.cl``."""

NUMBERS = (
    "POINTS", "STRIDE", "INNER", "LINES", "LOADS", "MAKES", "SOURCE", "TARGET", "SOURCE_BEGIN",
    "TARGET_BEGIN", "IN_UNIT", "OUT_UNIT", "LOADED", "STORED", "LOAD_SWAP", "STORE_SWAP",
    "FROM_STEP", "TO_STEP", "FROM_LIMIT", "TO_LIMIT", "BEFORE", "BEHIND", "JOINS", "SPLITS",
    "WAVES", "ROOTS", "TURNS", "BITS", "SCALED", "SIDE", "COUNT", "NDIM",
)  # fmt: skip
LISTS = {"RADICES": 24, "SIZES": 8, "FROM": 8, "TO": 8}


def _macros() -> dict[str, Any]:
    made: dict[str, Any] = {name: f"step[{i}]" for i, name in enumerate(NUMBERS)}
    at = len(NUMBERS)
    for name, count in LISTS.items():
        made[name] = at
        at += count
    return made | {"FIELDS": at}


MACROS = _macros()
"""A step's numbers by their names in the kernel."""


@dataclass(frozen=True)
class Side:
    """Where lines are read or written.

    Attributes:
        which: 0 the input, 1 the output, 2 memory of the launch's own.
        strides: of the loops over lines, in real numbers.
        step: between neighbours of a line, in real numbers.
        kind: how a line lies.
        begin: of the first, in real numbers.
        unit: real numbers of an element of the tensor.
    """

    which: int
    strides: tuple[int, ...]
    step: int
    kind: int = COMPLEX
    begin: int = 0
    unit: int = 2


@dataclass
class Plan:
    """The steps of a call, and what they read from tables.

    Attributes:
        most: points of the longest line that one step takes.
        room: numbers that a line may be while a step works on it.
        memory: complex numbers of the launch's own memory.
    """

    most: int
    room: int
    steps: list[dict[str, Any]] = field(default_factory=list)
    table: Table = field(default_factory=Table)
    memory: int = 0

    def borrow(self, count: int) -> int:
        """Memory for so many complex numbers; where it begins, in real numbers."""
        begin = 2 * self.memory
        self.memory += count
        return begin

    def packed(self, steps: Sequence[dict[str, Any]]) -> np.ndarray:
        """Steps as the kernel reads them."""
        rows = []
        for step in steps:
            row = [step[name] for name in NUMBERS]
            for name, count in LISTS.items():
                row += [*step[name], *[0] * (count - len(step[name]))]
            rows.append(row)
        return np.array(rows, np.int64)

    def transform(
        self, shape: tuple[int, ...], n: int, source: Side, target: Side, *, inverse: bool,
        makes: int, scaled: bool,
    ) -> None:  # fmt: skip
        """Lines of ``n`` points, or of the real numbers of half a spectrum of so many.

        Args:
            shape: the loops over lines.
            makes: numbers of a line that are wanted.
        """
        more: dict[str, Any] = {"SCALED": scaled}
        half = n // 2
        fits = n % 2 == 0 and half <= self.most and is_good(half)
        if source.kind == REAL and fits and makes < self.room:
            more |= {"SPLITS": 1, "WAVES": self.table.place("half", n), "MAKES": makes}
            source = Side(source.which, source.strides, source.step, PAIRS, source.begin, 1)
            self._lines(shape, half, source, target, half, makes, more)
        elif source.kind == HALF and target.kind == REAL and fits:
            more |= {"JOINS": 1, "WAVES": self.table.place("half", n), "LOADS": half + 1}
            target = Side(target.which, target.strides, target.step, PAIRS, target.begin, 1)
            self._lines(shape, half, source, target, n, half, more | {"STORE_SWAP": 1})
        elif is_good(n) and divided(n, self.most):
            more |= {"LOAD_SWAP": inverse, "STORE_SWAP": inverse}
            self._lines(shape, n, source, target, n, makes, more)
        else:
            self._chirp(shape, n, source, target, makes, inverse, more)

    def _chirp(
        self, shape: tuple[int, ...], n: int, source: Side, target: Side, makes: int, inverse: bool,
        more: dict[str, Any],
    ) -> None:  # fmt: skip
        """By a convolution; the second transform is an inverse one, whose parts are swapped."""
        place, length = self.table.place, good_length(2 * n - 1)
        between = self._between(shape, length)
        first = {
            "LOAD_SWAP": inverse, "BEFORE": place("chirp", n),
            "BEHIND": place("spectrum", n, length),
        }  # fmt: skip
        self._lines(shape, length, source, between, n, length, first)
        second = {"LOAD_SWAP": 1, "STORE_SWAP": not inverse, "BEHIND": place("away", n)}
        self._lines(shape, length, between, target, length, makes, second | more)

    def _between(self, shape: tuple[int, ...], n: int) -> Side:
        """Memory for all lines, one behind another."""
        begin = self.borrow(prod(shape) * n)
        return Side(2, dense_strides(shape, 2 * n), 2, COMPLEX, begin)

    def _lines(
        self, shape: tuple[int, ...], n: int, source: Side, target: Side, limit: int, makes: int,
        more: dict[str, Any],
    ) -> None:  # fmt: skip
        """A transform of a good length: a step, or one for each factor."""
        factors, stride = divided(n, self.most), 1
        for i, points in enumerate(factors):
            is_first, is_last = i == 0, i == len(factors) - 1
            to = target if is_last else self._between(shape, n)
            rest = n // (stride * points)
            step = {
                "POINTS": points, "STRIDE": stride, "INNER": n // points,
                "LINES": prod(shape) * (n // points), "LOADS": points, "MAKES": points,
                "LOAD_SWAP": 0, "STORE_SWAP": 0, "BEFORE": -1, "BEHIND": -1, "JOINS": 0,
                "SPLITS": 0, "WAVES": 0, "SCALED": 0, "TURNS": -1, "BITS": 0, "SIDE": 1,
                "SOURCE": source.which, "TARGET": to.which, "SOURCE_BEGIN": source.begin,
                "TARGET_BEGIN": to.begin, "IN_UNIT": source.unit, "OUT_UNIT": to.unit,
                "LOADED": source.kind, "STORED": to.kind, "FROM_STEP": source.step,
                "TO_STEP": to.step, "FROM_LIMIT": limit if is_first else n,
                "TO_LIMIT": makes if is_last else n, "ROOTS": self.table.place("passes", points),
                "COUNT": len(radices(points)), "RADICES": radices(points), "NDIM": len(shape),
                "SIZES": shape, "FROM": source.strides, "TO": to.strides,
            }  # fmt: skip
            begins, ends = ("LOAD_SWAP", "BEFORE", "JOINS", "LOADS"), ("LOAD_SWAP", "BEFORE")
            step |= {k: v for k, v in more.items() if (is_first if k in begins else is_last)}
            del ends
            if len(factors) == 1 and not step["SPLITS"]:
                step["MAKES"] = min(points, makes)
            if not is_last:
                whole = points * rest
                step |= {"TURNS": self.table.place("digits", whole), "BITS": bits_of(whole)}
            self.steps.append(step)
            source, stride = to, stride * points


def lines_of(loops: Loops, units: tuple[int, int]) -> tuple[tuple[int, ...], ...]:
    """(Sizes, the output's strides, the input's) of loops over lines, in real numbers."""
    outs, ins = (tuple(s * unit for s in row) for row, unit in zip(loops.strides, units))
    return loops.shape, outs, ins
