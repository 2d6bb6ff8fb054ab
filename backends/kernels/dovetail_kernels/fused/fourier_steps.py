"""Fourier transforms as steps of ``src/fourier.cl``.

A step takes lines of n points through all its passes in fast memory. A longer line is n * m points,
and is one pass of radix n with the step's transforms as its butterflies: two or three steps. A line
with a large prime factor is a convolution with a chirp, which is two transforms of a good length
(L. I. Bluestein, A linear filtering approach to the computation of the discrete Fourier transform,
1970). Half a spectrum is that of half as many complex numbers, whose parts are the real ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from dovetail_kernels.arrays import dense_strides
from dovetail_kernels.fused.fourier_tables import (
    Table,
    bits_of,
    divided,
    good_length,
    is_good,
    radices,
)

__all__ = ["COMPLEX", "HALF", "MACROS", "REAL", "Plan", "Side"]

COMPLEX, REAL, PAIRS, HALF = range(4)
"""How a line lies in memory: see ``src/fourier.cl``."""

NUMBERS = (
    "POINTS", "STRIDE", "INNER", "LINES", "LOADS", "MAKES", "SOURCE", "TARGET", "SOURCE_BEGIN",
    "TARGET_BEGIN", "IN_UNIT", "OUT_UNIT", "LOADED", "STORED", "LOAD_SWAP", "STORE_SWAP",
    "FROM_STEP", "TO_STEP", "FROM_LIMIT", "TO_LIMIT", "BEFORE", "AGAIN", "BEHIND", "JOINS",
    "SPLITS", "WAVES", "ROOTS", "TURNS", "BITS", "SCALED", "SIDE", "COUNT", "NDIM",
)  # fmt: skip
BEGINS = ("LOAD_SWAP", "BEFORE", "JOINS", "LOADS")
"""What the first step of several does; the last does the rest."""

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
        steps: by the names of :data:`NUMBERS` and :data:`LISTS`.
        memory: numbers of the launch's own memory that are in use at the end of the steps.
        peak: the most that are at any time.
    """

    most: int
    room: int
    steps: list[dict[str, Any]] = field(default_factory=list)
    table: Table = field(default_factory=Table)
    memory: int = 0
    peak: int = 0

    def borrow(self, count: int) -> int:
        """Memory for so many complex numbers; where it begins, in real numbers."""
        begin = self.memory
        self.memory += 2 * count
        self.peak = max(self.peak, self.memory)
        return begin

    def packed(self) -> np.ndarray:
        """The steps as the kernel reads them."""
        rows = []
        for step in self.steps:
            row = [step[name] for name in NUMBERS]
            for name, count in LISTS.items():
                row += [*step[name], *[0] * (count - len(step[name]))]
            rows.append(row)
        return np.array(rows, np.int64)

    def can(self, n: int) -> bool:
        """Whether lines of ``n`` points are served."""
        length = n if is_good(n) and divided(n, self.most) else good_length(2 * n - 1)
        return n < 1 << 30 and bool(divided(length, self.most))

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
        half, memory = n // 2, self.memory
        fits = n % 2 == 0 and half <= self.most and is_good(half)
        if source.kind == REAL and fits and makes < self.room:
            more |= {"SPLITS": 1, "WAVES": self.table.place("half", n), "MAKES": makes}
            source = replace(source, kind=PAIRS)
            self._lines(shape, half, source, target, half, makes, more)
        elif source.kind == HALF and target.kind == REAL and fits:
            more |= {"JOINS": 1, "WAVES": self.table.place("half", n), "LOADS": half + 1}
            target = replace(target, kind=PAIRS)
            self._lines(shape, half, source, target, n, half, more | {"STORE_SWAP": 1})
        elif is_good(n) and divided(n, self.most):
            more |= {"LOAD_SWAP": inverse, "STORE_SWAP": inverse}
            self._lines(shape, n, source, target, n, makes, more)
        else:
            self._chirp(shape, n, source, target, makes, inverse, more)
        self.memory = memory

    def _chirp(
        self, shape: tuple[int, ...], n: int, source: Side, target: Side, makes: int, inverse: bool,
        more: dict[str, Any],
    ) -> None:  # fmt: skip
        """By a convolution; the second transform is an inverse one, whose parts are swapped."""
        place, length = self.table.place, good_length(2 * n - 1)
        spectrum = place("spectrum", n, length)
        first = {"LOAD_SWAP": inverse, "BEFORE": place("chirp", n)}
        second = {"STORE_SWAP": not inverse, "BEHIND": place("away", n), **more}
        if length <= self.most:
            once = {**first, **second, "AGAIN": spectrum}
            self._lines(shape, length, source, target, n, makes, once)
            return
        between = self._between(shape, length)
        self._lines(shape, length, source, between, n, length, {**first, "BEHIND": spectrum})
        second["LOAD_SWAP"] = 1
        self._lines(shape, length, between, target, length, makes, second)

    def _between(self, shape: tuple[int, ...], n: int) -> Side:
        """Memory for all lines, one behind another."""
        begin = self.borrow(prod(shape) * n)
        return Side(2, dense_strides(shape, 2 * n), 2, COMPLEX, begin)

    def _lines(
        self, shape: tuple[int, ...], n: int, source: Side, target: Side, limit: int, makes: int,
        more: dict[str, Any],
    ) -> None:  # fmt: skip
        """A transform of a good length: a step, or one for each factor.

        Args:
            limit: numbers of a line that there are.
            makes: numbers that are wanted.
            more: what else the first step does, or the last.
        """
        factors, stride, lines = divided(n, self.most), 1, prod(shape)
        for i, points in enumerate(factors):
            is_first, is_last = i == 0, i == len(factors) - 1
            to = target if is_last else self._between(shape, n)
            step = {
                "POINTS": points, "STRIDE": stride, "INNER": n // points,
                "LINES": lines * (n // points), "LOADS": points, "MAKES": points,
                "SOURCE": source.which, "TARGET": to.which, "SOURCE_BEGIN": source.begin,
                "TARGET_BEGIN": to.begin, "IN_UNIT": source.unit, "OUT_UNIT": to.unit,
                "LOADED": source.kind, "STORED": to.kind, "LOAD_SWAP": 0, "STORE_SWAP": 0,
                "FROM_STEP": source.step, "TO_STEP": to.step,
                "FROM_LIMIT": limit if is_first else n, "TO_LIMIT": makes if is_last else n,
                "BEFORE": -1, "AGAIN": -1, "BEHIND": -1, "JOINS": 0, "SPLITS": 0, "WAVES": 0,
                "ROOTS": self.table.place("passes", points), "TURNS": -1, "BITS": 0, "SCALED": 0,
                "SIDE": 1, "COUNT": len(radices(points)), "NDIM": len(shape),
                "RADICES": radices(points), "SIZES": shape, "FROM": source.strides,
                "TO": to.strides,
            }  # fmt: skip
            if is_last and len(factors) == 1:
                step["MAKES"] = min(points, makes)
            if not is_last:
                whole = n // stride
                step |= {"TURNS": self.table.place("digits", whole), "BITS": bits_of(whole)}
            step |= {k: v for k, v in more.items() if (is_first if k in BEGINS else is_last)}
            self.steps.append(step)
            source, stride = to, stride * points
