"""What changed between two reports, and the exit code of the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from outcomes import case, report

from dovetail_conformance.diff import diff, main

TABLE = {"add": {"float32": "kernel"}, "relu": {"float32": "fused"}}


def made(*outcomes: Any, **fields: Any) -> dict[str, Any]:
    fields.setdefault("capabilities", TABLE)
    return json.loads(json.dumps(report(outcomes, **fields).as_dict()))


ADD = case("1/values/add/float32", worst=0.4)
WRONG = case("1/values/add/float32", "failed", worst=9.0)
EXPECTED = case("1/values/add/float32", "expected", reason="known-bug: x")


def test_equal_reports_are_not_worse() -> None:
    found = diff(made(ADD), made(ADD))
    assert not found.is_worse
    assert found.text().splitlines() == ["loop:0: level 2", "no case changed", "not worse"]


def test_a_case_that_fails_is_worse_and_told_with_its_text() -> None:
    found = diff(made(ADD), made(WRONG))
    assert found.is_worse
    assert found.level == (2, 0)
    assert found.failing == (("1/values/add/float32", "add: element [0] must be 1.0, got 2.0"),)
    assert "newly failing: 1\n  1/values/add/float32: add: element [0]" in found.text()


def test_a_case_that_passes_is_better() -> None:
    found = diff(made(WRONG), made(ADD))
    assert not found.is_worse
    assert found.passing == ("1/values/add/float32",)
    assert "level 0 → 2" in found.text()


def test_a_failure_that_got_explained_is_told_and_not_worse() -> None:
    found = diff(made(ADD), made(EXPECTED))
    assert found.expected == ("1/values/add/float32",)
    assert not found.is_worse


def test_new_and_gone_cases() -> None:
    new = case("1/values/exp/float32")
    assert diff(made(ADD), made(ADD, new)).new == ("1/values/exp/float32",)
    assert not diff(made(ADD), made(ADD, new)).is_worse
    lost = diff(made(ADD, new), made(ADD))
    assert lost.gone == ("1/values/exp/float32",)
    assert lost.is_worse


def test_a_case_that_is_gone_since_less_was_asked_is_no_loss() -> None:
    new = case("1/values/exp/float32")
    assert not diff(made(ADD, new), made(ADD, filtered="--op add")).is_worse
    assert not diff(made(ADD, new, asked=2), made(ADD, asked=1)).is_worse
    version = {"environment": {"dovetail": "0.2.0"}}
    assert not diff(made(ADD, new), made(ADD, **version)).is_worse


def test_a_new_case_that_fails_is_worse() -> None:
    assert diff(made(ADD), made(ADD, case("1/values/exp/int8", "hung"))).is_worse


@pytest.mark.parametrize(
    ("label", "is_worse"),
    [("kernel", False), ("fused", False), ("decomposed", True), ("host", True), ("none", True)],
)
def test_labels(label: str, is_worse: bool) -> None:
    found = diff(made(ADD), made(ADD, capabilities={**TABLE, "add": {"float32": label}}))
    assert found.is_worse is is_worse
    told = [str(c) for c in found.labels]
    assert told == ([] if label == "kernel" else [f"add float32: kernel → {label}"])


@pytest.mark.parametrize(
    ("old", "new", "is_worse"),
    [
        (0.2, 0.5, True),
        (0.3, 0.5, False),
        (0.001, 0.05, False),
        (None, 0.5, False),
        (0.5, None, False),
    ],
)
def test_errors_that_grew(old: float | None, new: float | None, is_worse: bool) -> None:
    before, after = case("1/values/add/float32", worst=old), case("1/values/add/float32", worst=new)
    found = diff(made(before), made(after))
    assert found.is_worse is is_worse
    assert bool(found.grown) is is_worse


def written(path: Path, data: Any) -> str:
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return str(path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = written(tmp_path / "a.json", made(ADD)), written(tmp_path / "b.json", made(WRONG))
    assert main([good, good]) == 0
    assert main([bad, good]) == 0
    assert main([good, bad]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "worse"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "has no schema"),
        ('{"schema": 1, "device": "x"}', "has no level, cases, capabilities"),
        ('{"schema": 9, "device": "", "level": 0, "cases": [], "capabilities": {}}', "schema 1"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_bad_file_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str
) -> None:
    good, bad = written(tmp_path / "a.json", made(ADD)), tmp_path / "b.json"
    if text is not None:
        written(bad, text)
    assert main([good, str(bad)]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "b.json" in told
    assert told.count("\n") == 1


def test_missing_words_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["only.json"]) == 2
    assert "dovetail conformance diff" in capsys.readouterr().err
