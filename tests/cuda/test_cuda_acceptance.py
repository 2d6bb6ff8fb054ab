"""The acceptance script without a GPU: its parts begin, end in time, and its table adds up.

No figure of a rehearsal is a measurement of the backend.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "cuda_acceptance.py"


def _call(*options: str) -> str:
    command = [sys.executable, str(SCRIPT), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import cuda_measure

    return cuda_measure


def _row(measure: Any, name: str, ratio: float, **more: Any) -> Any:
    return measure.Row(name, 1.1, ours=ratio, theirs=1.0, ratio=ratio, **more)


def _written(path: Path, table: Any) -> str:
    path.write_text(json.dumps(table.data(), default=str))
    return str(path)


def test_one_table_of_several_calls(measure: Any, tmp_path: Path) -> None:
    """The later call over the earlier one; what none has run is said."""
    first, second = measure.Table(), measure.Table()
    first.add("rows", _row(measure, "softmax", 1.25))
    first.add("rows", _row(measure, "gelu", 1.0))
    first.add("rows", measure.Row("attention", 1.1, error="RuntimeError: no plan"))
    first.fact("rows, seconds", 7)
    first.fact("rows: Adam", "NOT DONE: no time left")
    first.fact("memcheck 1 sort", "NOT DONE: no time left")
    second.add("rows", _row(measure, "softmax", 0.75))
    second.fact("memcheck 1 sort", "exit code 0, no finding")
    second.fact("racecheck 1 sort", "NOT DONE after 30 s")
    files = [_written(tmp_path / f"{i}.json", t) for i, t in enumerate((first, second))]
    lines = _call("--table", *files).splitlines()
    (softmax,) = [line for line in lines if line.startswith("softmax")]
    assert "0.750 (goal 1.1) yes" in softmax
    assert any(line.startswith("attention") and "no plan" in line for line in lines)
    assert "memcheck 1 sort: exit code 0, no finding" in lines
    assert "2 of 3 goals met" in lines
    missing = {line.removeprefix("  not run: ") for line in lines if "not run" in line}
    assert {"rows: Adam", "racecheck 1 sort", "training, seconds", "capture, seconds"} <= missing
    assert not {"memcheck 1 sort", "rows, seconds"} & missing


def test_a_row_that_comes_too_late_is_not_run(measure: Any) -> None:
    table = measure.Table()
    ran: list[str] = []

    def run(row: Any) -> None:
        ran.append(row.name)
        table.end = time.monotonic() - 1

    measure.guarded(table, "rows", [(measure.Row(name), run) for name in ("one", "two")])
    assert ran == ["one"]
    assert [row.name for row in table.parts["rows"]] == ["one"]
    assert table.facts == {"rows: two": "NOT DONE: no time left"}
    assert "not run: rows: two" in table.summary()


def test_a_row_that_fails_does_not_end_its_part(measure: Any) -> None:
    table = measure.Table()

    def fail(row: Any) -> None:
        raise ValueError("an odd shape")

    measure.guarded(table, "rows", [(measure.Row("one"), fail), (measure.Row("two"), lambda r: 0)])
    assert [row.error for row in table.parts["rows"]] == ["ValueError: an odd shape", ""]


def test_parts_begin(tmp_path: Path) -> None:
    """Small sizes on the cpu: each writes its figures, without an error."""
    pytest.importorskip("torch")
    out = tmp_path / "1.json"
    rehearsal = ("--rehearse", "cpu", "--seconds", "0.01", "--out", str(out))
    _call("--part", "products,convolutions,rows", *rehearsal)
    data = json.loads(out.read_text())
    for part in ("products", "convolutions", "rows"):
        assert data["parts"][part]
        assert not [row["error"] for row in data["parts"][part] if row["error"]]
        assert f"{part}, seconds" in data["facts"]


def test_the_suite_and_the_sanitizer_begin(tmp_path: Path) -> None:
    out = tmp_path / "1.json"
    group = ("--rehearse", "cpu", "--out", str(out), "--jobs", "0")
    _call("--part", "conformance", "--group", "3/3", "--level", "1", "--suite=--op neg", *group)
    (said,) = [v for name, v in json.loads(out.read_text())["facts"].items() if "e to m" in name]
    assert said.startswith("exit code 0; ")
    _call("--part", "sanitizer", "--group", "2/2", "--sanitizer", sys.executable, "--tools",
          "racecheck", *group)  # fmt: skip
    facts = json.loads(out.read_text())["facts"]
    ran = [value for name, value in facts.items() if name.startswith("racecheck")]
    assert ran
    # That was no sanitizer: what it was called with is all that can be seen.
    assert all(value.startswith("exit code 2") for value in ran)
