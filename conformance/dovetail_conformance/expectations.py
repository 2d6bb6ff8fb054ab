"""A backend's own list of what is known to fail: ``expect/NAME.toml``, strict both ways.

Each entry is a table::

    [[expect]]
    case = "2/values/erfinv/*"          # a case's id, or a shell pattern of ids
    kind = "imprecise"                  # unsupported | known-bug | imprecise
    reason = "the driver's erfinv is good to 2e-6"
    since = "2026-11-21"
    expires = "2027-06-01"              # optional: the day from which it counts as stale
    run = false                         # optional: do not even try (it hangs or crashes)

Every case that an entry matches must fail, in the way that its kind says; an entry that matches
nothing, or has expired, is stale and makes the run fail.
"""

from __future__ import annotations

import datetime
import fnmatch
import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dovetail_conformance.model import Case, Failure, Outcome

__all__ = ["KINDS", "Expectation", "ExpectationError", "Expectations", "find_beside", "find_file"]

KINDS: Mapping[str, str] = {
    "unsupported": "the device refuses (Unsupported, or a host fallback)",
    "known-bug": "the device fails in whatever way",
    "imprecise": "a value is off by less than 1000 tolerances",
}
"""The kinds of expected failure, and what a case of that kind must do."""

_REFUSALS = ("Unsupported", "HostFallbackError", "NotImplementedError")
_TOO_FAR = 1000.0


class ExpectationError(ValueError):
    """A file of expectations cannot be used; the message is one sentence with its name."""


@dataclass(frozen=True)
class Expectation:
    """One entry; see the module's text for its fields."""

    case: str
    kind: str
    reason: str
    since: datetime.date
    expires: datetime.date | None = None
    run: bool = True

    def matches(self, case_id: str) -> bool:
        """Whether the entry is about this case."""
        return fnmatch.fnmatchcase(case_id, self.case)

    def covers(self, failures: Sequence[Failure], worst: float | None) -> bool:
        """Whether the case failed in the way that the kind says."""
        if self.kind == "unsupported":
            return all(f.check == "raises" and f.text.startswith(_REFUSALS) for f in failures)
        if self.kind == "imprecise":
            return worst is not None and worst < _TOO_FAR and not any(f.trace for f in failures)
        return True


class Expectations:
    """The entries of one file, and which of them have been used.

    Args:
        entries: the entries, the first that matches a case decides.
        today: for ``expires``; the clock's day where it is not given.
    """

    def __init__(
        self, entries: Iterable[Expectation] = (), today: datetime.date | None = None
    ) -> None:
        self.entries = tuple(entries)
        self.today = today or datetime.date.today()

    @classmethod
    def read(cls, path: str | Path) -> Expectations:
        """The entries of a TOML file.

        Raises:
            ExpectationError: it cannot be read, or an entry is malformed.
        """
        try:
            data = _toml(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ExpectationError(f"{path}: {error}") from error
        unknown = set(data) - {"expect"}
        if unknown:
            raise ExpectationError(f"{path}: only [[expect]] tables, got {sorted(unknown)[0]!r}")
        return cls(_entry(path, i, row) for i, row in enumerate(data.get("expect", []), 1))

    def of(self, case_id: str) -> Expectation | None:
        """The entry about a case, if there is one."""
        return next((e for e in self.entries if e.matches(case_id)), None)

    def split(self, cases: Sequence[Case]) -> tuple[list[Case], tuple[str, ...]]:
        """The cases to run, and the ids of those that an entry says not to run."""
        listed = {c.id for c in cases if (e := self.of(c.id)) is not None and not e.run}
        return [c for c in cases if c.id not in listed], tuple(sorted(listed))

    def apply(self, outcome: Outcome) -> Outcome:
        """The outcome with its status as the entries see it."""
        entry = self.of(outcome.id)
        if entry is None:
            return outcome
        if outcome.status == "passed":
            text = f"passes, but {entry.case!r} expects it to fail ({entry.reason}); take it out"
            failure = Failure("expectation", text)
            return replace(outcome, status="unexpected-pass", failures=(failure,))
        if outcome.status == "failed" and not entry.covers(outcome.failures, outcome.worst):
            text = f"expected as {entry.kind} ({KINDS[entry.kind]}), but failed in another way"
            failures = (*outcome.failures, Failure("expectation", text))
            return replace(outcome, failures=failures)
        reason = f"{entry.kind}: {entry.reason} (since {entry.since})"
        return replace(outcome, status="expected", reason=reason)

    def stale(self, case_ids: Iterable[str]) -> tuple[str, ...]:
        """What is wrong with entries, given all cases that there are for the device."""
        ids = list(case_ids)
        found = []
        for e in self.entries:
            if e.expires is not None and e.expires <= self.today:
                found.append(f"{e.case!r} expired on {e.expires} ({e.reason})")
            elif not any(e.matches(i) for i in ids):
                found.append(f"{e.case!r} matches no case ({e.reason})")
        return tuple(found)


def _toml(text: str) -> dict[str, Any]:
    try:
        toml = importlib.import_module("tomllib")
    except ModuleNotFoundError:  # Python 3.10
        try:
            toml = importlib.import_module("tomli")
        except ModuleNotFoundError:
            raise ValueError("reading TOML needs Python 3.11, or `pip install tomli`") from None
    return dict(toml.loads(text))


def _entry(path: Any, number: int, row: Mapping[str, Any]) -> Expectation:
    where = f"{path}: entry {number}"
    known = {"case": str, "kind": str, "reason": str, "since": None, "expires": None, "run": bool}
    for name, value in row.items():
        if name not in known:
            raise ExpectationError(f"{where}: no key {name!r}; there are {', '.join(known)}")
        kind = known[name]
        if kind is not None and not isinstance(value, kind):
            raise ExpectationError(f"{where}: {name} must be {kind.__name__}, got {value!r}")
    for name in ("case", "kind", "reason", "since"):
        if not row.get(name):
            raise ExpectationError(f"{where}: {name} is missing")
    if row["kind"] not in KINDS:
        raise ExpectationError(
            f"{where}: kind must be one of {', '.join(KINDS)}, got {row['kind']!r}"
        )
    dates = {n: _date(where, n, row[n]) for n in ("since", "expires") if n in row}
    return Expectation(**{**row, **dates})


def _date(where: str, name: str, value: Any) -> datetime.date:
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(str(value))
    except ValueError:
        raise ExpectationError(
            f"{where}: {name} must be a day as YYYY-MM-DD, got {value!r}"
        ) from None


def find_file(device: str) -> Path | None:
    """The file of a device's backend: in ``expect/`` here, in its package or beside that."""
    name = device.split(":")[0]
    here = Path.cwd() / "expect" / f"{name}.toml"
    return here if here.is_file() else find_beside(device, f"expect/{name}.toml")


def find_beside(device: str, file: str) -> Path | None:
    """A file in the package of a device's backend, or beside it as in a clone; None: not there."""
    from dovetail.backend import registry

    name = device.split(":")[0]
    for record in registry.report(load=False):
        home = None
        if record.name == name:
            home = getattr(importlib.import_module(record.module), "__file__", None)
        for folder in Path(home).parents[:2] if home else ():
            if (folder / file).is_file():
                return folder / file
    return None
