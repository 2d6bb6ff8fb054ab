"""A backend's expected failures: strict both ways; stale entries and bad files are told."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from dovetail_conformance.expectations import Expectation, ExpectationError, Expectations
from dovetail_conformance.model import Case, Failure, Outcome

SINCE = datetime.date(2026, 1, 1)


def outcome(status: str, *failures: Failure, worst: float | None = None) -> Outcome:
    return Outcome(
        "2/values/erf/float32/mixed", 2, "values", "erf", "float32", "mixed", status, failures,
        1, worst=worst,
    )  # fmt: skip


def entry(kind: str = "known-bug", **fields: Any) -> Expectation:
    fields.setdefault("case", "2/values/erf/*")
    return Expectation(kind=kind, reason="a reason", since=SINCE, **fields)


WRONG = Failure("values", "element [0] must be 1, got 2")
REFUSED = Failure("raises", "Unsupported: erf: no", trace="Traceback")


@pytest.mark.parametrize(
    ("kind", "failure", "worst", "status"),
    [
        ("known-bug", WRONG, 5.0, "expected"),
        ("imprecise", WRONG, 5.0, "expected"),
        ("imprecise", WRONG, 1e9, "failed"),
        ("imprecise", REFUSED, None, "failed"),
        ("unsupported", REFUSED, None, "expected"),
        ("unsupported", WRONG, 5.0, "failed"),
    ],
)
def test_a_failure_must_be_of_the_kind(
    kind: str, failure: Failure, worst: float | None, status: str
) -> None:
    made = Expectations([entry(kind)]).apply(outcome("failed", failure, worst=worst))
    assert made.status == status
    if status == "expected":
        assert "a reason" in made.reason
    else:
        assert "in another way" in made.failures[-1].text


def test_what_passes_may_not_be_listed() -> None:
    made = Expectations([entry()]).apply(outcome("passed"))
    assert made.status == "unexpected-pass"
    assert made.is_against
    assert "take it out" in made.failures[0].text


def test_stale_entries_are_named() -> None:
    today = datetime.date(2026, 6, 1)
    entries = [
        entry(case="9/nothing/*"),
        entry(expires=datetime.date(2026, 6, 1)),
        entry(expires=datetime.date(2026, 6, 2)),
    ]
    stale = Expectations(entries, today).stale(["2/values/erf/float32/mixed"])
    assert len(stale) == 2
    assert "matches no case" in stale[0]
    assert "expired on 2026-06-01" in stale[1]


def test_cases_that_are_not_to_be_run() -> None:
    cases = [Case(2, "values", "erf", "float32"), Case(2, "values", "exp", "float32")]
    run, listed = Expectations([entry(run=False)]).split(cases)
    assert [c.op for c in run] == ["exp"]
    assert listed == ("2/values/erf/float32",)


GOOD = """
[[expect]]
case = "2/values/erf/*"
kind = "imprecise"
reason = "good to 2e-6"
since = "2026-11-21"
expires = 2027-06-01
"""


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text(GOOD, encoding="utf-8")
    (read,) = Expectations.read(path).entries
    assert read == Expectation(
        "2/values/erf/*", "imprecise", "good to 2e-6",
        datetime.date(2026, 11, 21), datetime.date(2027, 6, 1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('kind = "imprecise"', 'kind = "flaky"', "kind must be one of unsupported, known-bug"),
        ('reason = "good to 2e-6"', "", "reason is missing"),
        ('since = "2026-11-21"', 'since = "lately"', "since must be a day as YYYY-MM-DD"),
        ("[[expect]]", "[[expected]]", "only [[expect]] tables, got 'expected'"),
        ('reason = "good to 2e-6"', 'reason = "x"\nwhy = "y"', "no key 'why'"),
        ('case = "2/values/erf/*"', "case = 3", "case must be str"),
        ("[[expect]]", "[[expect]", "device.toml"),
    ],
)
def test_a_bad_file_is_told_in_a_sentence(tmp_path: Path, old: str, new: str, text: str) -> None:
    path = tmp_path / "device.toml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(ExpectationError, match=r"device\.toml") as caught:
        Expectations.read(path)
    assert text in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ExpectationError, match=r"nowhere\.toml"):
        Expectations.read(tmp_path / "nowhere.toml")
