"""How far a run is: one line that changes on a terminal, at most ten in a file."""

from __future__ import annotations

import io

import pytest

from dovetail_conformance import progress
from dovetail_conformance.model import Outcome

TOTAL = 250


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(stream: io.StringIO) -> str:
    tell = progress.progress_to(stream)
    for done in range(1, TOTAL + 1):
        status = "failed" if done % 100 == 0 else "passed"
        tell(Outcome(f"case-{done}", 1, "values", "add", "float32", "", status), done, TOTAL)
    return stream.getvalue()


def test_a_file_gets_ten_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    lines = written(io.StringIO()).splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("25 of 250 cases  level 1  0 failed  ")
    assert lines[-1].startswith("250 of 250 cases  level 1  2 failed  ")
    assert not any("\r" in line for line in lines)


def test_a_short_run_writes_no_line() -> None:
    assert written(io.StringIO()) == ""


def test_a_terminal_has_one_line_that_changes() -> None:
    text = written(Terminal())
    assert text.count("\n") == 1
    assert text.startswith("\r1/250  level 1  0 failed  case-1 ")
    assert text.split("\r")[-1].startswith("250/250  level 1  2 failed  case-250")
