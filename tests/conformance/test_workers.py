"""What a driver does to a process: the case that was under way is named, the others still run."""

from __future__ import annotations

import pytest
from strange import collect

from dovetail_conformance.model import Outcome
from dovetail_conformance.workers import _Shares, run_in_workers


def ask(*names: str, jobs: int = 1, limit: float = 60.0) -> dict[str, Outcome]:
    cases = collect(*names)
    found = list(run_in_workers(cases, "cpu", jobs, collect, names, limit, chunk=3))
    assert len(found) == len(names), "each case has one outcome"
    return {o.op: o for o in found}


def test_outcomes_come_back() -> None:
    made = ask("fine-1", "wrong", "fine-2", jobs=2)
    assert [made[n].status for n in ("fine-1", "wrong", "fine-2")] == ["passed", "failed", "passed"]
    assert made["wrong"].failures[0].text == "2 must be 3"
    assert made["wrong"].failures[0].check == "values"


@pytest.mark.parametrize(("name", "text"), [("dies", "SIGSEGV"), ("leaves", "exit code 3")])
def test_a_crash_is_one_case(name: str, text: str) -> None:
    made = ask("fine-1", name, "fine-2", "fine-3", "fine-4")
    assert made[name].status == "crashed"
    assert text in made[name].failures[0].text
    assert all(o.status == "passed" for n, o in made.items() if n != name)


def test_a_hanging_case_is_stopped() -> None:
    made = ask("fine-1", "hangs", "fine-2", limit=4.0)
    assert made["hangs"].status == "hung"
    assert made["fine-1"].status == made["fine-2"].status == "passed"


def test_neighbours_go_to_one_worker_until_another_has_nothing_to_do() -> None:
    shares = _Shares(range(12), 2, chunk=2)
    assert shares.take(0) == [0, 1]
    assert shares.take(1) == [6, 7]
    assert [shares.take(0) for _ in range(2)] == [[2, 3], [4, 5]]
    assert shares.take(0) == [10, 11], "the end of what is the other's"
    shares.give_back(0, [10])
    assert shares.take(0) == [10]
    assert shares.take(1) == [8, 9]
    assert not shares.left
