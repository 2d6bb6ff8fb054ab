"""Kernels of a good device, broken in every way: does the suite see each?"""

from __future__ import annotations

import fnmatch
import functools
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from dovetail_conformance.model import Outcome, run_case
from dovetail_conformance.mutants.result import SelfTest
from dovetail_conformance.mutants.rounds import SEED, in_rounds
from dovetail_conformance.mutants.selftest import Touched, mutant_cases, mutants, touched
from dovetail_conformance.workers import run_in_workers

__all__ = ["self_test"]

LIMIT = 240.0


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
