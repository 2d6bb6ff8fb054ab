"""The suite against devices that are known to be wrong: each must be found out."""

from __future__ import annotations

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import dovetail as dt
from dovetail.backend import Backend, registry
from dovetail.backend.state import forget_state
from dovetail.device import device as Device
from dovetail.dispatch import clear_plans
from dovetail.ops.schema import REGISTRY, CallFacts, OpDef
from dovetail_conformance.collect import collect
from dovetail_conformance.layouts import LAYOUTS
from dovetail_conformance.model import Case, Outcome, Trial, run_case
from dovetail_conformance.mutants.base import PlainRuntime, good_table
from dovetail_conformance.mutants.fault import Fault, Resolved, Run, faulty_table
from dovetail_conformance.mutants.faults import ATTRIBUTES, FAULTS, attribute_fault
from dovetail_conformance.mutants.runtimes import RUNTIMES, TABLES
from dovetail_conformance.runner import strictly
from dovetail_conformance.workers import run_in_workers

__all__ = ["GOOD", "Mutant", "Touched", "mutant_cases", "mutants", "touched"]

Touched = Mapping[str, tuple[str, ...]]
"""Operator -> ids of the cases that call its kernel."""

GOOD = "good"
"""The device of :func:`good_device`."""

_PER_OPERATOR = 90
"""A mutant is asked no more cases than this; they are taken evenly from those that touch it."""


@dataclass(frozen=True)
class Mutant:
    """One faulty device.

    Attributes:
        kind: the fault's name.
        op: the operator whose kernel has it; ``runtime`` for the others.
        make: makes the runtime.
    """

    kind: str
    op: str
    make: Callable[[Resolved], PlainRuntime]

    @property
    def name(self) -> str:
        """``kind/operator``."""
        return f"{self.kind}/{self.op}"


def _same(good: Run, facts: CallFacts) -> Run:
    return lambda *arrays: good(*arrays)


CONTROL = Fault(
    "control", "no fault: the same wrapping around the good kernel", lambda op: True, _same
)


def _with(fault: Fault, name: str, resolved: Resolved) -> PlainRuntime:
    return PlainRuntime(faulty_table(good_table(), name, fault, resolved))


def _table(change: Callable[..., Any], name: str, resolved: Resolved) -> PlainRuntime:
    return PlainRuntime(change(good_table(), name))


def _whole_runtime(make: Callable[[], PlainRuntime], resolved: Resolved) -> PlainRuntime:
    return make()


def faults_of(op: OpDef) -> list[Fault]:
    """The kinds of fault that have a meaning for an operator."""
    found = [fault for fault in FAULTS if fault.applies(op)]
    found += [attribute_fault(a) for a in op.attributes if a in ATTRIBUTES]
    return found


def mutants() -> list[Mutant]:
    """Every mutant, in a stable order: runtimes, tables, then kernels by operator."""
    made = [
        Mutant(kind, "runtime", functools.partial(_whole_runtime, make))
        for kind, make in RUNTIMES.items()
    ]
    for name in sorted(good_table()):
        op = REGISTRY.get(name)
        if op is None:
            continue
        if op.required:
            made += [
                Mutant(kind, name, functools.partial(_table, change, name))
                for kind, change in TABLES.items()
            ]
        made += [
            Mutant(fault.name, name, functools.partial(_with, fault, name))
            for fault in (CONTROL, *faults_of(op))
        ]
    return made


_numbers = itertools.count()


class _Plugged:
    """A runtime as a device of this process, under a name of its own."""

    def __init__(self, runtime: PlainRuntime) -> None:
        self.runtime = runtime

    def __enter__(self) -> str:
        self.name = f"mutant{next(_numbers)}"
        registry.register(self.name, Backend(self.runtime))
        return f"{self.name}:0"

    def __exit__(self, *error: object) -> None:
        clear_plans()
        for index in range(self.runtime.count()):
            forget_state(Device(self.name, index))
        registry.unregister(self.name)
        self.runtime.blocks.clear()  # the registry keeps the runtime, to close it at the end


@functools.cache
def good_device() -> str:
    """A device of this process that does nothing wrong, until the process ends."""
    registry.register(GOOD, Backend(PlainRuntime()))
    return f"{GOOD}:0"


def touching_cases(part: bool = False, ops: frozenset[str] | None = None) -> list[Case]:
    """The suite's cases up to gradients, each noting as labels which kernels it reached.

    Args:
        part: of each kind of dtype one, in one layout.
        ops: those of these operators alone; None: of all.
    """
    with strictly():
        cases = [c for c in collect(good_device(), 3) if c.level]
    return [
        Case(case.level, "touched", case.id, run=functools.partial(_note_touched, case))
        for case in cases
        if (not part or (case.dtype in _OF_EACH_KIND and case.variant not in LAYOUTS[1:]))
        and (ops is None or case.op in ops)
    ]


_OF_EACH_KIND = ("float32", "float64", "int64", "complex64", "bool", "")


def _note_touched(case: Case, trial: Trial) -> None:
    device = good_device()
    with strictly(), np.errstate(all="ignore"), dt.trace() as events:
        outcome = run_case(case, device)
    trial.attempts += 1
    trial.failures.extend(outcome.failures)
    names = {e.op for e in events if e.device == device}
    trial.labels.update({_KERNEL.get(name, name): 1 for name in names | {case.op}})


def touched(
    jobs: int = 0,
    part: bool = False,
    progress: Callable[[int, int], None] | None = None,
    ops: frozenset[str] | None = None,
) -> tuple[Touched, list[Outcome]]:
    """Which cases reach which kernel of the good device, and what it did wrong (nothing).

    Args:
        jobs: worker processes; 0: this one.
        part, ops: of which cases, see :func:`touching_cases`.
        progress: called with how much is done, and how much there is.
    """
    cases = touching_cases(part, ops)
    ids = [case.op for case in cases]
    found: defaultdict[str, set[str]] = defaultdict(set)
    bad = []
    source = (
        run_in_workers(cases, GOOD, jobs, touching_cases, (part, ops))
        if jobs
        else (run_case(case, GOOD) for case in cases)
    )
    for i, outcome in enumerate(source):
        if outcome.status != "passed":
            bad.append(outcome)
        for name in outcome.labels:
            found[name].add(outcome.op)
        if progress is not None:
            progress(i + 1, len(cases))
    return {name: tuple(i for i in ids if i in some) for name, some in found.items()}, bad


_KERNEL = {"copy_to": "copy", "clone_record": "copy"}


@functools.lru_cache(maxsize=1)
def _cases() -> dict[str, Case]:
    with strictly(), _Plugged(PlainRuntime()) as device:
        return {case.id: case for case in collect(device, 5)}


def _chosen(mutant: Mutant, known: Touched) -> list[Case]:
    """The cases that a mutant is asked: the operator's own, else those that reach its kernel."""
    cases = _cases()
    if mutant.op == "runtime":
        return [c for c in cases.values() if c.level == 0 or (c.level == 5 and c.alone)]
    reached = [cases[i] for i in known.get(mutant.op, ()) if i in cases]
    own = [c for c in reached if c.op == mutant.op]
    table = [c for c in cases.values() if c.check == "claims" and c.op == "table"]
    if mutant.op == "copy":
        return own + table
    others = [c for c in reached if c.op != mutant.op]
    step = max(1, len(others) // _PER_OPERATOR)
    return own + table + (others[::step] if len(own) < _PER_OPERATOR else [])


def mutant_cases(names: Sequence[str], known: Touched, whole: bool) -> list[Case]:
    """Mutants as cases of the workers: one passes when the suite finds it out.

    Args:
        whole: ask every case, to learn which checks see the mutant; else the first that does ends
            it.
    """
    wanted = set(names)
    return [
        Case(0, "mutant", m.name, run=functools.partial(_try, m, known, whole))
        for m in mutants()
        if m.name in wanted
    ]


def _try(mutant: Mutant, known: Touched, whole: bool, trial: Trial) -> None:
    """Ask a mutant its cases; the checks that saw something wrong are counted as labels."""
    cases = _chosen(mutant, known)
    kills: Counter[str] = Counter()
    examples: list[str] = []
    resolved = Resolved()
    with strictly(), np.errstate(all="ignore"), _Plugged(mutant.make(resolved)) as device:
        for case in cases:
            outcome = run_case(case, device)
            trial.attempts += 1
            for failure in outcome.failures:
                kills[f"{case.check}: {failure.check}"] += 1
            if outcome.failures:
                examples.append(f"{case.id}: {outcome.failures[0].text}")
                if not whole:
                    break
    trial.labels.update(kills)
    is_control = mutant.kind == CONTROL.name
    if is_control and kills:
        trial.fail("control", f"the good kernel was found wrong: {examples[0]}")
    if not is_control and not kills:
        if resolved.unmeant and not resolved.meant:
            trial.fail("equivalent", resolved.reason)
        else:
            trial.fail("survived", f"none of {len(cases)} cases saw it")


def rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str, Outcome]]:
    """(kind, operator, outcome) of what came of mutants."""
    for outcome in outcomes:
        kind, _, op = outcome.op.partition("/")
        yield kind, op, outcome
