"""The checks of the runtime contract pass on a good device, and each catches its fault."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.backend import Backend, registry
from dovetail.errors import BackendUnavailable
from dovetail_conformance.model import Case, Outcome, run_case
from dovetail_conformance.target import Target

pytest.importorskip("dovetail_loopback", reason="its runtimes are made of the loopback plugin")

from faulty_runtimes import (
    Anonymous,
    Borrows,
    CountsOnce,
    Divides,
    Forgets,
    FreesEarly,
    FreesNeighbour,
    Keeps,
    LendsTwice,
    NoCount,
    OneDevice,
    Outside,
    Overcounts,
    Peer,
    PeerBackwards,
    PeerFromStart,
    Queue,
    ReadsEarly,
    ReadsFromStart,
    ReadsWords,
    Refuses,
    Remembers,
    SameNumbers,
    Scratch,
    WritesEarly,
    WritesTooMuch,
)

from dovetail_loopback import LoopbackRuntime
from dovetail_loopback.arrays import Array

SUBJECTS = ("runtime", "memory", "copies", "views", "errors", "settled", "random")


def run(device: str, subject: str, *ops: str) -> list[Outcome]:
    """The outcomes of a file of checks, or of some of its subjects."""
    target = Target.of(device)
    cases: Iterator[Case] = import_module(f"dovetail_conformance.checks.{subject}").cases(target)
    return [run_case(case, target.device) for case in cases if not ops or case.op in ops]


def failures(outcomes: list[Outcome]) -> list[str]:
    return [f"{o.id}: {f.check}: {f.text}" for o in outcomes for f in o.failures]


FAULTS: list[tuple[type[LoopbackRuntime], str, tuple[str, ...], str]] = [
    (Forgets, "runtime", ("view",), "view"),
    (Forgets, "views", ("slice",), "views"),
    (ReadsFromStart, "runtime", ("d2h",), "copies"),
    (ReadsFromStart, "memory", ("parts",), "copies"),
    (ReadsWords, "runtime", ("d2h",), "copies"),
    (ReadsWords, "memory", ("sizes",), "copies"),
    (WritesTooMuch, "runtime", ("h2d",), "copies"),
    (ReadsEarly, "settled", ("matmul",), "settled"),
    (ReadsEarly, "settled", ("runtime",), "settled"),
    (WritesEarly, "settled", ("runtime",), "settled"),
    (FreesEarly, "settled", ("memory used again",), "values"),
    (Borrows, "runtime", ("h2d",), "settled"),
    (Borrows, "settled", ("host memory used again",), "settled"),
    (Keeps, "runtime", ("free",), "leak"),
    (FreesNeighbour, "runtime", ("free",), "overlap"),
    (LendsTwice, "runtime", ("alloc",), "overlap"),
    (LendsTwice, "memory", ("many",), "values"),
    (PeerBackwards, "runtime", ("copy_peer",), "copies"),
    (PeerBackwards, "copies", ("between-devices",), "copies"),
    (PeerFromStart, "runtime", ("copy_peer",), "copies"),
    (PeerFromStart, "copies", ("between-devices",), "copies"),
    (OneDevice, "runtime", ("index",), "index"),
    (CountsOnce, "runtime", ("count",), "contract"),
    (Refuses, "out_of_memory", ("out of memory",), "error"),
    (Overcounts, "out_of_memory", ("full device",), "raises"),
    (Scratch, "stress", ("threads",), "threads"),
    (Anonymous, "stress", ("late errors",), "error"),
    (Remembers, "stress", ("late errors",), "error"),
    (Outside, "errors", ("gather",), "foreign-memory"),
    (Divides, "errors", ("a // b",), "error"),
    (SameNumbers, "random", ("rand",), "repeats"),
]
"""(a faulty runtime, the file and the subjects that must catch it, the check that does)."""

SETTINGS: dict[type[LoopbackRuntime], dict[str, Any]] = {
    OneDevice: {"memory": 1 << 30},
    Overcounts: {"memory": 64 << 20},
    FreesEarly: {"caching": False},
    Keeps: {"caching": False},
}

_names = (f"faulty{n}" for n in itertools.count())
Register = Callable[..., str]


@pytest.fixture
def register() -> Iterator[Register]:
    """Makes a device of a runtime; returns its name."""
    used = []

    def make(kind: type[LoopbackRuntime], **settings: Any) -> str:
        name = next(_names)
        registry.register(name, Backend(kind(**settings)))
        used.append(name)
        return name

    yield make
    for name in used:
        registry.unregister(name)


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("name", ["cpu", "loop:0"])
def test_good_devices_pass(name: str, subject: str, need_device: Any) -> None:
    need_device(name)
    outcomes = run(name, subject)
    assert outcomes
    assert not failures(outcomes)


@pytest.mark.parametrize("kind", [Queue, Peer])
@pytest.mark.parametrize("subject", ["runtime", "settled", "copies", "errors"])
def test_work_in_the_background_passes(
    kind: type[LoopbackRuntime], subject: str, register: Register
) -> None:
    """The faulty devices below differ from these in one place."""
    assert not failures(run(register(kind), subject))


def test_errors_of_work_in_the_background_pass(register: Register) -> None:
    assert not failures(run(register(Queue), "stress", "late errors", "errors in backward"))


@pytest.mark.parametrize("name", ["cpu", "loop:0"])
def test_stress_passes(name: str, need_device: Any) -> None:
    need_device(name)
    assert not failures(run(name, "out_of_memory"))
    assert not failures(run(name, "stress", "threads", "errors in backward", "late errors"))


def test_a_small_device_is_filled(register: Register) -> None:
    outcomes = run(register(LoopbackRuntime, memory=64 << 20), "out_of_memory", "full device")
    assert not failures(outcomes)
    assert outcomes[0].attempts == 4


@pytest.mark.parametrize(
    ("kind", "subject", "ops", "check"),
    FAULTS,
    ids=[f"{kind.__name__}-{subject}-{'-'.join(ops)}" for kind, subject, ops, _ in FAULTS],
)
def test_faults_are_caught(
    kind: type[LoopbackRuntime], subject: str, ops: tuple[str, ...], check: str, register: Register
) -> None:
    settings = SETTINGS.get(kind, {})
    outcomes = run(register(kind, **settings), subject, *ops)
    seen = {f.check for o in outcomes for f in o.failures}
    assert check in seen, failures(outcomes) or "nothing failed"


def test_a_late_answer_is_told_from_a_wrong_one(register: Register) -> None:
    outcomes = run(register(ReadsEarly), "settled", "matmul")
    stages = {f.facts["stage"] for o in outcomes for f in o.failures}
    assert stages == {"first read"}
    assert "right after synchronize()" in failures(outcomes)[0]


def test_a_device_that_cannot_be_counted_is_refused(register: Register) -> None:
    with pytest.raises(BackendUnavailable, match="could not list its devices"):
        Target.of(register(NoCount))


def test_a_growing_process_is_a_leak(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something is kept for each view, of which the core's counts do not know."""
    from dovetail_conformance.checks import stress

    kept: list[np.ndarray] = []

    class Hoards(LoopbackRuntime):
        def view(self, buffer: int, offset: int, shape: Any, strides: Any, dtype: Any) -> Array:
            if len(kept) < 2000:
                kept.append(np.ones(12_000))
            return super().view(buffer, offset, shape, strides, dtype)

    monkeypatch.setattr(stress, "_MANY", 400)
    (outcome,) = run(register(Hoards), "stress", "long run")
    assert [f.check for f in outcome.failures] == ["leak"]
    assert "the process has grown" in outcome.failures[0].text


def test_tensors_left_over_are_a_leak(register: Register) -> None:
    """What a kernel keeps shows in the counts."""
    kept = []

    class Hoards(LoopbackRuntime):
        def view(self, buffer: int, offset: int, shape: Any, strides: Any, dtype: Any) -> Array:
            if shape == (200, 300):
                kept.append(dt.ones(3, device=name))
            return super().view(buffer, offset, shape, strides, dtype)

    name = register(Hoards)
    outcomes = run(name, "memory", "balance")
    assert [o.variant for o in outcomes if o.failures] == ["operators"]
    assert outcomes[1].failures[0].check == "leak"
    kept.clear()
