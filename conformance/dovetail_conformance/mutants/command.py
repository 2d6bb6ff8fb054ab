"""``python -m dovetail_conformance --self-test``: break a good device in every way, and see."""

from __future__ import annotations

import fnmatch
import functools
import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dovetail_conformance.model import Outcome, run_case
from dovetail_conformance.mutants.equivalent import EQUIVALENT, why_equivalent
from dovetail_conformance.mutants.selftest import Touched, mutant_cases, mutants, rows, touched
from dovetail_conformance.workers import run_in_workers

__all__ = ["SelfTest", "in_rounds", "main", "self_test"]

SEED = 20
LIMIT = 240.0

Known = Mapping[str, tuple[str, ...]]
"""What has mistakes made in it (a kernel, a function) -> ids of the cases that run it."""


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


def self_test(
    sample: int | None = None,
    jobs: int | None = None,
    op: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    seed: int = SEED,
    whole: bool = False,
) -> SelfTest:
    """Try mutants on the suite.

    Args:
        sample: so many mutants of each kind, drawn from ``seed``; None: all.
        jobs: worker processes; 0: this one.
        op: a shell pattern of operators.
        progress: called with what is going on, how much is done, and how much there is.
        whole: ask each mutant every case, for the kill matrix; else one that sees it is enough.
    """
    start = time.perf_counter()
    tell = progress or (lambda what, done, total: None)
    names = _wanted(sample, op, seed)
    count = os.cpu_count() or 1 if jobs is None else jobs
    made = SelfTest(is_whole=sample is None and op is None)
    made.asked = sum(not name.startswith("control/") for name in names)
    for outcome in in_rounds(
        made,
        names,
        lambda name: name.partition("/")[2],
        lambda part, ops: touched(count, part, functools.partial(tell, "the good device"), ops),
        lambda some, known: _asked(some, known, whole, count, tell),
        is_sample=sample is not None and not whole,
    ):
        (made.controls if outcome.op.startswith("control/") else made.outcomes).append(outcome)
        if outcome.status != "passed" and not made.proof(outcome):
            print(f"{outcome.op}: {outcome.status}", file=sys.stderr, flush=True)
    made.outcomes.sort(key=lambda o: o.op)
    made.seconds = time.perf_counter() - start
    return made


def in_rounds(
    made: SelfTest,
    names: list[str],
    place_of: Callable[[str], str],
    learn: Callable[[bool, frozenset[str] | None], tuple[Known, list[Outcome]]],
    ask: Callable[[list[str], Known], Iterable[Outcome]],
    is_sample: bool,
) -> Iterator[Outcome]:
    """What came of mutants, each one's last outcome.

    Of a sample a part of the cases sees nearly all. What it does not see is asked every case of the
    operators that it is about, and what is left then every case there is.

    Args:
        made: takes what is wrong without any mistake.
        names: the mutants.
        place_of: a mutant's name -> what has the mistake in it, as ``learn`` names it.
        learn: ``learn(part, ops)``: which cases run what, and what fails without any mistake.
        ask: ``ask(names, known)``: what comes of some mutants.
        is_sample: else every case is asked at once.
    """
    known: Known = {}
    for part in (True, False, False) if is_sample else (False,):
        if not names:
            return
        ops = _operators_of(known, {place_of(name) for name in names}) if known else None
        known, bad = learn(part, ops)
        made.baseline += bad
        left = []
        for outcome in ask(names, known):
            is_open = outcome.status != "passed" and not made.proof(outcome)
            if is_open and (part or ops is not None):
                left.append(outcome.op)
            else:
                yield outcome
        names, known = left, known if part else {}


FEW = 40
"""So many operators are asked every case for one mutant; where more run its place, those of the
operator that it is in."""


def _operators_of(known: Known, places: Iterable[str]) -> frozenset[str] | None:
    """The operators to ask about mistakes in these places; None (all) where none is known."""
    asked: set[str] = set()
    for place in places:
        if place == "runtime":  # whose cases are always the same
            continue
        found = {case.split("/")[2] for case in known.get(place, ())}
        own = place.partition(":")[2].partition(".")[0] or place
        if not found:
            return None
        asked |= {own} if own in found and len(found) > FEW else {own, *found}
    return frozenset(asked)


def _asked(
    names: list[str],
    known: Touched,
    whole: bool,
    count: int,
    tell: Callable[[str, int, int], None],
) -> Iterator[Outcome]:
    """What came of some mutants; arguments as for :func:`self_test`."""
    cases = mutant_cases(names, known, whole)
    source = (
        run_in_workers(cases, "cpu", count, mutant_cases, (names, known, whole), LIMIT, chunk=4)
        if count
        else (run_case(case, "cpu") for case in cases)
    )
    for i, outcome in enumerate(source):
        tell("mutants", i + 1, len(cases))
        yield outcome


def _wanted(sample: int | None, op: str | None, seed: int) -> list[str]:
    everything = [m for m in mutants() if op is None or fnmatch.fnmatch(m.op, op)]
    if sample is None:
        return [m.name for m in everything]
    by_kind: dict[str, list[str]] = defaultdict(list)
    for m in everything:
        by_kind[m.kind].append(m.name)
    draw = random.Random(seed)
    return [name for some in by_kind.values() for name in draw.sample(some, min(sample, len(some)))]


def main(options: Any) -> int:
    """Run the self-test as the command line asks, print its table, and return the exit code."""
    if options.source:
        from dovetail_conformance.mutants.source_test import source_test

        made: Any = source_test(options.sample, options.jobs, options.op, _Progress())
    else:
        whole = options.kill_matrix
        made = self_test(options.sample, options.jobs, options.op, _Progress(), whole=whole)
    print(made.text())
    if options.kill_matrix:
        print(made.matrix_text())
    if options.json:
        Path(options.json).write_text(json.dumps(made.as_dict(), indent=1) + "\n", encoding="utf-8")
    return 1 if made.problems else 0


class _Progress:
    """A line on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self.drawn = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or (done < total and now - self.drawn < 0.2):
            return
        self.drawn = now
        end = "\n" if done == total else ""
        print(f"\r{what}: {done}/{total}   ", end=end, file=sys.stderr, flush=True)
