"""Operator × dtype: how each is served, and what came of its cases, one cell each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from dovetail import dtypes as d
from dovetail_conformance.model import Outcome
from dovetail_conformance.report import Report

__all__ = ["STATES", "Cell", "cells_of", "columns_of", "rows_of"]

STATES = {
    "fail": ("✕", "FAIL", "a case counts against the device"),
    "expected": ("E", "expected failure", "a failure that the backend's file explains"),
    "kernel": ("K", "kernel", "the device's own kernel"),
    "fused": ("F", "fused", "one kernel for what would be several"),
    "decomposed": ("D", "decomposed", "made of other operators' kernels"),
    "view": ("V", "view", "only metadata changes"),
    "host": ("H", "host", "runs on the host's processor"),
    "right": ("✓", "passed", "passed; nothing was dispatched or noted"),
    "none": ("·", "unsupported", "not offered"),
}
"""State of a cell -> its letter, name and meaning, the worst first."""


@dataclass
class Cell:
    """What is known of one operator in one dtype.

    Attributes:
        op, dtype: which; dtype is empty for questions that have none.
        label: how the table says that it is served; ``none`` where it is not offered; empty where
            the table does not list the operator.
        counts: cases by status.
        levels: the levels that its cases are of.
        worst: the largest error, in tolerances.
        failures: outcomes that failed, expected or not.
    """

    op: str
    dtype: str
    label: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    levels: set[int] = field(default_factory=set)
    worst: float | None = None
    failures: list[Outcome] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def is_tested(self) -> bool:
        """Whether any case asked about it."""
        return bool(self.counts)

    @property
    def state(self) -> str:
        """A key of :data:`STATES`."""
        if any(o.is_against for o in self.failures):
            return "fail"
        if self.failures:
            return "expected"
        if self.label:
            return self.label if self.label in STATES else "right"
        return "right" if self.is_tested else "none"

    def add(self, o: Outcome) -> None:
        """Count an outcome."""
        self.counts[o.status] += 1
        self.levels.add(o.level)
        self.seen.update(o.labels)
        if o.worst is not None:
            self.worst = o.worst if self.worst is None else max(self.worst, o.worst)
        if o.status != "passed":
            self.failures.append(o)


def cells_of(report: Report) -> dict[tuple[str, str], Cell]:
    """A cell for each pair that the table offers or a case asked about."""
    cells: dict[tuple[str, str], Cell] = {}
    for op, row in report.capabilities.items():
        for dtype, label in row.items():
            cells[op, dtype] = Cell(op, dtype, label)
    for o in report.outcomes:
        key = (o.op, o.dtype)
        if key not in cells:
            is_of_table = o.op in report.capabilities and o.dtype
            cells[key] = Cell(*key, "none" if is_of_table else "")
        cells[key].add(o)
    for cell in cells.values():
        # Where the table has no row of it (whole modules), the dispatches that were seen say.
        if cell.op not in report.capabilities and len(cell.seen) == 1 and cell.counts["passed"]:
            cell.label = next(iter(cell.seen))
    return cells


def columns_of(cells: Mapping[tuple[str, str], Cell]) -> list[str]:
    """The dtypes, in the framework's order; the empty one, for none, first."""
    order = {dtype.name: i for i, dtype in enumerate(d.ALL)}
    used = {dtype for _, dtype in cells}
    return sorted(used, key=lambda name: (name != "", order.get(name, len(order)), name))


def rows_of(cells: Mapping[tuple[str, str], Cell]) -> dict[int | None, list[str]]:
    """Operators by the lowest level that asks about them; None for those that nothing asks.

    Level 0 asks how operators of the table refuse mistakes; they stand with their values.
    """
    levels: dict[str, set[int]] = defaultdict(set)
    for cell in cells.values():
        levels[cell.op] |= cell.levels
    rows: dict[int | None, list[str]] = defaultdict(list)
    of_table = {cell.op for cell in cells.values() if cell.label}
    for op in sorted(levels):
        if op in of_table and len(levels[op]) > 1:
            levels[op].discard(0)
        rows[min(levels[op], default=None)].append(op)
    ordered = sorted(rows, key=lambda level: (level is None, level or 0))
    return {level: rows[level] for level in ordered}
