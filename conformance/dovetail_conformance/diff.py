"""What changed between two JSON reports, and whether it is for the worse."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.cli import UsageError, parser
from dovetail_conformance.report import SCHEMA

__all__ = ["Diff", "LabelChange", "RatioChange", "diff", "main", "read"]

_GOOD = ("passed", "expected")
_RANK = {"view": 0, "kernel": 0, "fused": 0, "decomposed": 1, "host": 2, "none": 3, "": 3}
"""How an operator is served, the best first; an unknown label is as good as a kernel."""

_GROWTH = 2.0
_NOTED = 0.1
"""An error that grew by more than the first, to more than the second (in tolerances), is noted:
what is far below the tolerance may well double."""

_SHOWN = 12


@dataclass(frozen=True)
class LabelChange:
    """How an operator in a dtype is served, before and after."""

    op: str
    dtype: str
    old: str
    new: str

    @property
    def is_worse(self) -> bool:
        """Whether it moved away from a kernel of the device."""
        return _RANK.get(self.new, 0) > _RANK.get(self.old, 0)

    def __str__(self) -> str:
        return f"{self.op} {self.dtype}: {self.old or 'absent'} → {self.new or 'absent'}"


@dataclass(frozen=True)
class RatioChange:
    """A case's worst error in tolerances, before and after."""

    case: str
    old: float
    new: float

    def __str__(self) -> str:
        return f"{self.case}: {self.old:.3g} → {self.new:.3g} tolerances"


@dataclass(frozen=True)
class Diff:
    """What changed from an old report to another.

    Attributes:
        device: the devices' names.
        level: the grades; -1 for none.
        failing: cases that were right or new-born and count against the device, with the text of
            the first failure.
        passing: cases that counted against it and do no more.
        expected: cases that passed and are expected failures in the other.
        new: names of cases that only the other has.
        gone: names of cases that only the old one has.
        is_comparable: both asked for the same, of the same version, so that a case that is gone is
            a loss.
        labels: operators that are served in another way.
        grown: errors that grew to more than twice, of cases that pass in both.
    """

    device: tuple[str, str]
    level: tuple[int, int]
    failing: tuple[tuple[str, str], ...]
    passing: tuple[str, ...]
    expected: tuple[str, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    is_comparable: bool
    labels: tuple[LabelChange, ...]
    grown: tuple[RatioChange, ...]

    @property
    def is_worse(self) -> bool:
        """Whether anything got worse.

        A lower grade, a case that fails and did not, a case that is gone although the same was
        asked, an operator further from a kernel, or an error that grew to more than twice.
        """
        lost = self.is_comparable and bool(self.gone)
        lower = self.level[1] < self.level[0] and self.is_comparable
        moved = any(change.is_worse for change in self.labels)
        return bool(self.failing) or lower or lost or moved or bool(self.grown)

    def text(self) -> str:
        """What changed, as lines for a terminal."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        old, new = self.level
        yield f"{_arrow(*self.device)}: level {_arrow(_grade(old), _grade(new))}"
        worse = [str(c) for c in self.labels if c.is_worse]
        other = [str(c) for c in self.labels if not c.is_worse]
        sections: tuple[tuple[str, Sequence[str]], ...] = (
            ("newly failing", [f"{case}: {text}" if text else case for case, text in self.failing]),
            ("no longer failing", self.passing),
            ("now expected to fail", self.expected),
            ("served worse", worse),
            ("served otherwise", other),
            ("error grew", [str(c) for c in self.grown]),
            (
                "gone" if self.is_comparable else "gone (the reports asked for different things)",
                self.gone,
            ),
            ("new", self.new),
        )
        for title, lines in sections:
            if lines:
                yield f"{title}: {len(lines):,}"
                yield from (f"  {_clip(line)}" for line in lines[:_SHOWN])
                if len(lines) > _SHOWN:
                    yield f"  and {len(lines) - _SHOWN:,} more"
        if not any(lines for _, lines in sections):
            yield "no case changed"
        yield "worse" if self.is_worse else "not worse"


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> Diff:
    """What changed between two reports, as :meth:`Report.as_dict` writes them."""
    before = {case["id"]: case for case in old["cases"]}
    after = {case["id"]: case for case in new["cases"]}
    listed = set(new.get("listed", ()))
    both = [case for case in after if case in before]
    wrong = {name: case for name, case in after.items() if case["status"] not in _GOOD}
    return Diff(
        device=(old["device"], new["device"]),
        level=(old["level"], new["level"]),
        failing=tuple(
            (name, _reason(case))
            for name, case in sorted(wrong.items())
            if name not in before or before[name]["status"] in _GOOD
        ),
        passing=tuple(
            sorted(n for n in both if before[n]["status"] not in _GOOD and n not in wrong)
        ),
        expected=tuple(
            sorted(
                n
                for n, case in before.items()
                if case["status"] == "passed"
                and (n in listed or after.get(n, {}).get("status") == "expected")
            )
        ),
        new=tuple(sorted(set(after) - set(before))),
        gone=tuple(sorted(set(before) - set(after) - listed)),
        is_comparable=_asked(old) == _asked(new),
        labels=tuple(_label_changes(*_tables_of(old, new))),
        grown=tuple(
            sorted(
                (
                    RatioChange(n, before[n]["worst"] or 0.0, after[n]["worst"])
                    for n in both
                    if n not in wrong and _has_grown(before[n]["worst"], after[n]["worst"])
                ),
                key=lambda change: -change.new,
            )
        ),
    )


def read(path: str | Path) -> dict[str, Any]:
    """A report from its JSON file.

    Raises:
        UsageError: there is no such file, or it is no report that this version can read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(f"conformance diff: {path}: cannot be read: {why}") from error
    try:
        report = json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"conformance diff: {path}: must be a report written with --json, is not JSON ({error})"
        ) from error
    needed = ("schema", "device", "level", "cases", "capabilities")
    missing = [k for k in needed if k not in report] if isinstance(report, dict) else list(needed)
    if missing:
        raise UsageError(
            f"conformance diff: {path}: must be a report written with --json, it has no "
            f"{', '.join(missing)}"
        )
    if report["schema"] != SCHEMA:
        raise UsageError(
            f"conformance diff: {path}: must have schema {SCHEMA}, has {report['schema']!r}; "
            "write it again with this version of the suite"
        )
    found: dict[str, Any] = report
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """``dovetail conformance diff A.json B.json``.

    Returns:
        0: the same or better; 1: something got worse; 2: a file cannot be compared.
    """
    try:
        options = parser(
            "conformance diff",
            "What changed from one JSON report to another; exit code 1 where something got worse.",
        )
        options.add_argument("old", help="a report written with --json")
        options.add_argument("new", help="a later one")
        chosen = options.parse_args(None if argv is None else list(argv))
        found = diff(read(chosen.old), read(chosen.new))
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    print(found.text())
    return int(found.is_worse)


def _tables_of(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Any, Any]:
    """Both tables of labels; of runs that asked for other operators what both have."""
    tables = old["capabilities"], new["capabilities"]
    if old.get("filtered", "") == new.get("filtered", ""):
        return tables
    both = set(tables[0]) & set(tables[1])
    first, second = ({op: row for op, row in t.items() if op in both} for t in tables)
    return first, second


def _label_changes(
    old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]
) -> Iterator[LabelChange]:
    for op in sorted({*old, *new}):
        before, after = old.get(op, {}), new.get(op, {})
        for dtype in sorted({*before, *after}):
            if before.get(dtype, "") != after.get(dtype, ""):
                yield LabelChange(op, dtype, before.get(dtype, ""), after.get(dtype, ""))


def _has_grown(old: float | None, new: float | None) -> bool:
    return new is not None and old is not None and new > _NOTED and new > _GROWTH * old


def _asked(report: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes two runs ask the same questions."""
    version = report.get("environment", {}).get("dovetail")
    return report.get("asked_level"), report.get("filtered", ""), version


def _reason(case: Mapping[str, Any]) -> str:
    failures = case.get("failures") or ()
    return str(failures[0]["text"]) if failures else str(case["status"])


def _arrow(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"


def _grade(level: int) -> str:
    return str(level) if level >= 0 else "none"


def _clip(line: str, width: int = 160) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"
