"""The report of one run: counts, grade, JSON with a stable schema, and what changed since."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dovetail_conformance.model import LEVELS, STATUSES, Outcome
from dovetail_conformance.summary import summary

__all__ = ["SCHEMA", "Report"]

SCHEMA = 1
"""Version of the JSON's schema; keys are added within a version, never taken away."""


@dataclass
class Report:
    """What a device was asked and what it did.

    Attributes:
        device: its name, such as ``loop:0``.
        asked: the highest level that was asked for.
        collected: how many cases there were per level.
        outcomes: one per executed case.
        listed: cases that the file of expectations says not to run (they hang or crash).
        stale: entries of the file of expectations that match nothing or have expired.
        environment: names and versions of what took part.
        capabilities: operator -> dtype -> kernel, fused, decomposed, host or none.
        filtered: the selection by ``--op`` and ``--dtype``, if any; a part of the suite gives no
            grade.
        seconds: wall time.
    """

    device: str
    asked: int
    collected: Mapping[int, int]
    outcomes: list[Outcome]
    listed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    capabilities: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    filtered: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    # Counts.

    def count(self, *statuses: str, level: int | None = None) -> int:
        """How many outcomes have one of these statuses."""
        return sum(
            o.status in statuses and (level is None or o.level == level) for o in self.outcomes
        )

    @property
    def executed(self) -> int:
        """Cases that ran."""
        return len(self.outcomes)

    @property
    def passed(self) -> int:
        """Cases that passed and were expected to."""
        return self.count("passed")

    @property
    def failed(self) -> int:
        """Cases that count against the device, whatever the kind."""
        return sum(o.is_against for o in self.outcomes)

    @property
    def expected_failures(self) -> int:
        """Cases that failed and stand in the file of expectations."""
        return self.count("expected") + len(self.listed)

    @property
    def host_dispatches(self) -> int:
        """Operators that ran on the host because the device has no kernel."""
        return sum(o.labels.get("host", 0) for o in self.outcomes)

    @property
    def has_wrong_hosts(self) -> bool:
        """Whether some of these were of operators that the host must not run: such a case fails."""
        return any(
            o.labels.get("host") and any(f.check == "label" for f in o.failures)
            for o in self.outcomes
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """What makes the run itself invalid: nothing ran, cases are missing, stale expectations."""
        found = []
        total = sum(self.collected.values())
        if not self.executed:
            found.append("no case was executed")
        elif self.executed + len(self.listed) != total:
            found.append(
                f"{self.executed} cases were executed and {len(self.listed)} are listed as not to "
                f"be run, of {total} collected"
            )
        found += [f"stale expectation: {entry}" for entry in self.stale]
        return tuple(found)

    @property
    def level(self) -> int:
        """The highest level up to which nothing failed unexplained; -1 for none."""
        if self.filtered or any("stale" not in p for p in self.problems):
            return -1
        against = {o.level for o in self.outcomes if o.is_against}
        reached = -1
        for level in range(self.asked + 1):
            if level in against or not self.collected.get(level):
                break
            reached = level
        return reached

    @property
    def is_good(self) -> bool:
        """Whether nothing counts against the device in what was asked."""
        return not self.failed and not self.problems

    @property
    def exit_code(self) -> int:
        """0: all is well; 1: something counts against the device or the run."""
        return 0 if self.is_good else 1

    def worst(self) -> list[tuple[float, Outcome]]:
        """The cases with the largest error over tolerance, the worst first, one per operator."""
        best: dict[str, tuple[float, Outcome]] = {}
        for o in self.outcomes:
            if o.worst is not None and (o.op not in best or o.worst > best[o.op][0]):
                best[o.op] = (o.worst, o)
        return sorted(best.values(), key=lambda pair: -pair[0])

    def content_hash(self) -> str:
        """A hash over what was asked and what came, without times: equal runs have equal hashes."""
        rows = sorted((o.id, o.status, o.attempts) for o in self.outcomes)
        text = json.dumps([self.device.split(":")[0], self.asked, rows, sorted(self.listed)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    # Writing.

    def as_dict(self) -> dict[str, Any]:
        """Plain data with a stable schema (see docs/contract.md)."""
        by_level = []
        for level in range(self.asked + 1):
            counts = {s: self.count(s, level=level) for s in STATUSES}
            row = {"level": level, "about": LEVELS[level]}
            by_level.append({**row, "collected": self.collected.get(level, 0), **counts})
        return {
            "schema": SCHEMA,
            "device": self.device,
            "level": self.level,
            "asked_level": self.asked,
            "executed": self.executed,
            "collected": sum(self.collected.values()),
            "passed": self.passed,
            "failed": self.failed,
            "expected_failures": self.expected_failures,
            "host_dispatches": self.host_dispatches,
            "problems": list(self.problems),
            "filtered": self.filtered,
            "seconds": round(self.seconds, 3),
            "hash": self.content_hash(),
            "environment": dict(self.environment),
            "levels": by_level,
            "by_check": dict(sorted(Counter(o.check for o in self.outcomes).items())),
            "labels": dict(sorted(total_labels(self.outcomes).items())),
            "capabilities": {op: dict(row) for op, row in sorted(self.capabilities.items())},
            "listed": list(self.listed),
            "notes": list(self.notes),
            "cases": [o.as_dict() for o in sorted(self.outcomes, key=lambda o: o.id)],
        }

    def write_json(self, path: str | Path) -> None:
        """Write :meth:`as_dict` to a file."""
        text = json.dumps(self.as_dict(), indent=1, allow_nan=False, default=str)
        Path(path).write_text(text + "\n", encoding="utf-8")

    def text(self, width: int = 100) -> str:
        """The summary for a terminal: it fits a screen."""
        return summary(self, width)

    def failures(self) -> Sequence[Outcome]:
        """The outcomes that count against the device, in the order of levels."""
        return sorted((o for o in self.outcomes if o.is_against), key=lambda o: (o.level, o.id))


def total_labels(outcomes: Iterable[Outcome]) -> Counter[str]:
    """How often each way of serving was seen in all."""
    total: Counter[str] = Counter()
    for o in outcomes:
        total.update(o.labels)
    return total
