"""``python -m dovetail_conformance --self-test --source``: the core with mistakes in its source."""

from __future__ import annotations

import fnmatch
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dovetail_conformance.model import Case, Outcome, run_case
from dovetail_conformance.mutants import equivalent_source
from dovetail_conformance.mutants.result import SelfTest
from dovetail_conformance.mutants.rounds import SEED, in_rounds
from dovetail_conformance.mutants.source import (
    BARE,
    Entered,
    entering_cases,
    source_mutant_cases,
    source_mutants,
)
from dovetail_conformance.workers import run_in_workers

__all__ = ["SourceTest", "ask_mutants", "entered", "source_test", "wanted"]

LIMIT = 90.0
"""Seconds that one mutant may take before it counts as hung."""

Progress = Callable[[str, int, int], None]


class SourceTest(SelfTest):
    """What came of the mistakes in the source; see :class:`SelfTest`."""

    def proof(self, outcome: Outcome) -> str | None:
        """Why the suite cannot tell this mistake from the good source."""
        return equivalent_source.EQUIVALENT_SOURCE.get(outcome.op)

    def unused(self) -> list[str]:
        """The entries of the list of equivalents that are no survivor's name."""
        return sorted(
            equivalent_source.EQUIVALENT_SOURCE.keys() - {o.op for o in self._survivors()}
        )


def source_test(
    sample: int | None = None,
    jobs: int | None = None,
    op: str | None = None,
    progress: Progress | None = None,
    seed: int = SEED,
) -> SourceTest:
    """Make mistakes in the core's source and see whether the suite finds them out.

    Args:
        sample: so many of each kind, drawn from ``seed``; None: all.
        jobs: worker processes; 0: this one.
        op: a shell pattern of ``file:function``, such as ``'affine.py*'`` or ``'*:softmax*'``.
        progress: called with what is going on, how much is done, and how much there is.
    """
    start = time.perf_counter()
    tell = progress or (lambda what, done, total: None)
    count = os.cpu_count() or 1 if jobs is None else jobs
    names = wanted(sample, op, seed)
    made = SourceTest(asked=len(names), is_whole=sample is None and op is None)
    made.outcomes += in_rounds(
        made,
        names,
        lambda name: source_mutants()[name].function,
        lambda part, ops: entered(count, tell, part, ops),
        lambda some, known: ask_mutants(some, known, count, tell),
        is_sample=sample is not None,
    )
    made.outcomes.sort(key=lambda o: o.op)
    made.seconds = time.perf_counter() - start
    return made


def wanted(sample: int | None, op: str | None, seed: int) -> list[str]:
    """The names of the mistakes to make; arguments as for :func:`source_test`."""
    every = [m for m in source_mutants().values() if op is None or fnmatch.fnmatch(m.function, op)]
    if sample is None:
        return [m.name for m in every]
    by_kind: dict[str, list[str]] = defaultdict(list)
    for m in every:
        by_kind[m.kind].append(m.name)
    draw = random.Random(seed)
    return [name for some in by_kind.values() for name in draw.sample(some, min(sample, len(some)))]


def entered(
    jobs: int, tell: Progress, part: bool = False, ops: frozenset[str] | None = None
) -> tuple[Entered, list[Outcome]]:
    """Which cases run which function of the source, and what fails without any mistake.

    Args:
        jobs, tell: as for :func:`source_test`.
        part, ops: of which cases, see ``source.entering_cases``.
    """
    cases = entering_cases(part, ops)
    seen: dict[str, list[Outcome]] = defaultdict(list)
    bad = []
    for i, outcome in enumerate(_run(cases, jobs, entering_cases, (part, ops))):
        if outcome.status != "passed":
            bad.append(outcome)
        else:
            for name in outcome.labels:
                seen[name].append(outcome)
        tell("the good source", i + 1, len(cases))
    return {name: tuple(o.op for o in _mixed(some, name)) for name, some in seen.items()}, bad


def _mixed(outcomes: Iterable[Outcome], function: str) -> Iterator[Outcome]:
    """Quick ones first, but of every check, operator and kind of dtype one before a second.

    Before all come those of the operator that a function is named after.
    """
    own = function.partition(":")[2].partition(".")[0]
    piles: dict[tuple[str, ...], list[Outcome]] = defaultdict(list)
    for o in sorted(outcomes, key=lambda o: (o.seconds, o.op)):
        check, op, kind = [*o.op.split("/"), ""][1:4]  # some are of no dtype
        piles[check, op, kind.rstrip("0123456789")].append(o)
    rank = {o.op: i for pile in piles.values() for i, o in enumerate(pile)}
    everything = [o for pile in piles.values() for o in pile]
    # Everything promotes, but only one check is about it.
    yield from sorted(
        everything,
        key=lambda o: (
            o.op.split("/")[2] != own, "/promotion/" not in o.op, rank[o.op], o.seconds
        ),
    )  # fmt: skip


def ask_mutants(names: list[str], known: Entered, jobs: int, tell: Progress) -> Iterator[Outcome]:
    """The outcomes of mutants: ``passed`` where the suite found one out."""
    cases = source_mutant_cases(names, known)
    for i, outcome in enumerate(_run(cases, jobs, source_mutant_cases, (names, known), 4)):
        yield outcome
        tell("mistakes", i + 1, len(cases))


def _run(
    cases: list[Case], jobs: int, collect: Any, arguments: tuple[Any, ...], chunk: int = 24
) -> Iterator[Outcome]:
    if jobs:
        return run_in_workers(cases, BARE, jobs, collect, arguments, LIMIT, chunk)
    return (run_case(case, BARE) for case in cases)
