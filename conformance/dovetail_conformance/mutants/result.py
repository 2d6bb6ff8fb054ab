"""What came of a self-test: which faults were found out, and what is left unexplained."""

from __future__ import annotations

import fnmatch
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from dovetail_conformance.model import Outcome
from dovetail_conformance.mutants.equivalent import EQUIVALENT, why_equivalent
from dovetail_conformance.mutants.selftest import rows

__all__ = ["SelfTest"]


@dataclass
class SelfTest:
    """What came of the mutants.

    Attributes:
        outcomes: one per mutant; ``passed`` means that it was found out.
        controls: one per operator: the good kernel in the same wrapping.
        baseline: what was wrong with the good device (must be nothing).
        asked: how many mutants were to be tried.
        is_whole: every mutant was tried, so that unused entries of the list of equivalents show.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    controls: list[Outcome] = field(default_factory=list)
    baseline: list[Outcome] = field(default_factory=list)
    asked: int = 0
    is_whole: bool = False
    seconds: float = 0.0

    @property
    def killed(self) -> list[Outcome]:
        """The mutants that were found out."""
        return [o for o in self.outcomes if o.status == "passed"]

    @property
    def equivalent(self) -> list[Outcome]:
        """Survivors with a proof that they do the same as the good kernel."""
        return [o for o in self._survivors() if self.proof(o)]

    @property
    def unexplained(self) -> list[Outcome]:
        """Survivors without one, and mutants that crashed or hung the suite itself."""
        return [o for o in self._survivors() if not self.proof(o)]

    def proof(self, outcome: Outcome) -> str | None:
        """Why a survivor cannot be told from the good kernel."""
        return why_equivalent(outcome)

    def unused(self) -> list[str]:
        """The entries of the list of equivalents that match no survivor."""
        return [p for p in EQUIVALENT if not fnmatch.filter([o.op for o in self._survivors()], p)]

    def _survivors(self) -> list[Outcome]:
        return [o for o in self.outcomes if o.status != "passed"]

    @property
    def problems(self) -> list[str]:
        """What makes the self-test fail."""
        found = [f"the good device fails {o.id}: {o.failures[0].text}" for o in self.baseline]
        found += [
            f"the control of {o.op} fails: {o.failures[0].text}"
            for o in self.controls
            if o.status != "passed"
        ]
        if not self.outcomes:
            found.append("no mutant was tried")
        elif len(self.outcomes) != self.asked:
            found.append(f"{len(self.outcomes)} of {self.asked} mutants were tried")
        found += [f"{o.op}: {o.status}, {o.failures[0].text}" for o in self.unexplained]
        if self.is_whole:
            found += [
                f"equivalent {pattern!r} matches no survivor; take it out"
                for pattern in self.unused()
            ]
        return found

    def matrix(self) -> dict[str, Counter[str]]:
        """Kind of fault -> check -> how many mutants that check saw."""
        made: dict[str, Counter[str]] = defaultdict(Counter)
        for kind, _, outcome in rows(self.outcomes):
            made[kind].update(dict.fromkeys(outcome.labels, 1))
        return made

    def as_dict(self) -> dict[str, Any]:
        """Plain data with a stable schema."""
        kills: Counter[str] = Counter()
        for row in self.matrix().values():
            kills.update(row)
        return {
            "schema": 1,
            "mutants": len(self.outcomes),
            "killed": len(self.killed),
            "equivalent": len(self.equivalent),
            "unexplained": len(self.unexplained),
            "controls": len(self.controls),
            "whole": self.is_whole,
            "problems": self.problems,
            "kinds": {
                kind: dict(sorted(row.items())) for kind, row in sorted(self.matrix().items())
            },
            "checks": dict(sorted(kills.items())),
            "survivors": {o.op: self.proof(o) or "" for o in self._survivors()},
            "seconds": round(self.seconds, 1),
        }

    def text(self) -> str:
        """The table for a terminal."""
        by_kind: dict[str, list[Outcome]] = defaultdict(list)
        for kind, _, outcome in rows(self.outcomes):
            by_kind[kind].append(outcome)
        lines = [
            f"{'kind of fault':24}{'made':>6}{'caught':>8}{'equivalent':>12}{'unexplained':>13}"
        ]
        good, odd = {o.op for o in self.equivalent}, {o.op for o in self.unexplained}
        for kind, some in sorted(by_kind.items()):
            counts = [sum(o.op in names for o in some) for names in (good, odd)]
            caught = sum(o.status == "passed" for o in some)
            lines.append(f"{kind:24}{len(some):>6}{caught:>8}{counts[0]:>12}{counts[1]:>13}")
        total = (len(self.outcomes), len(self.killed), len(self.equivalent), len(self.unexplained))
        lines.append(f"{'all':24}{total[0]:>6}{total[1]:>8}{total[2]:>12}{total[3]:>13}")
        lines.append(f"{len(self.controls)} controls (the good kernel, wrapped): all must pass")
        lines += [f"PROBLEM {p}" for p in self.problems[:40]]
        lines.append("every mutant is caught or explained" if not self.problems else "NOT PROVEN")
        return "\n".join(lines)

    def matrix_text(self) -> str:
        """Which check saw which kind, as a list under each check."""
        by_check: dict[str, Counter[str]] = defaultdict(Counter)
        for kind, row in self.matrix().items():
            for check, count in row.items():
                by_check[check][kind] += count
        lines = []
        for check, kinds in sorted(by_check.items(), key=lambda item: -sum(item[1].values())):
            some = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common(6))
            lines.append(f"{check:34}{sum(kinds.values()):>6}  {some}")
        return "\n".join(lines)
