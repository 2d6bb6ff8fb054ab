"""A case that judges nothing fails; attempts go on after one that went wrong."""

from __future__ import annotations

from dovetail_conformance.model import Case, Mismatch, Trial, run_case
from dovetail_conformance.report import Report


def test_nothing_judged_is_a_failure() -> None:
    made = run_case(Case(1, "values", "add", run=lambda trial: None), "cpu")
    assert made.status == "failed"
    assert made.failures[0].check == "empty"


def test_attempts_go_on() -> None:
    def run(trial: Trial) -> None:
        with trial.attempt(layout="offset"):
            raise Mismatch("wrong", "values", 3.0)
        with trial.attempt(layout="contiguous"):
            pass
        with trial.attempt(layout="stepped"):
            raise KeyError("gone")

    made = run_case(Case(1, "values", "add", run=run), "cpu")
    assert (made.status, made.attempts, made.worst) == ("failed", 3, 3.0)
    assert [f.check for f in made.failures] == ["values", "raises"]
    assert made.failures[1].trace
    assert [dict(p) for p in made.passes] == [{"layout": "contiguous"}]


def test_a_run_that_executed_nothing_is_a_failure() -> None:
    report = Report("cpu", 1, {}, [])
    assert report.level == -1
    assert report.exit_code == 1
    assert "no case was executed" in report.problems[0]


def test_a_missing_case_is_a_failure() -> None:
    passed = run_case(Case(0, "a", "b", run=lambda t: setattr(t, "attempts", 1)), "cpu")
    report = Report("cpu", 0, {0: 2}, [passed])
    assert report.level == -1
    assert "1 cases were executed" in report.problems[0]
    assert Report("cpu", 0, {0: 1}, [passed]).level == 0
