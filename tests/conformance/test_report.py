"""The report's numbers, its JSON, and the summary that fits a screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from outcomes import OPS, case, report, values_cases

from dovetail_conformance.command import main
from dovetail_conformance.model import LEVELS, Failure
from dovetail_conformance.summary import expected_kinds, footer, summary, verdict

KEYS = {
    *("schema", "device", "level", "asked_level", "executed", "collected", "passed", "failed"),
    *("expected_failures", "host_dispatches", "problems", "filtered", "seconds", "hash"),
    *("environment", "levels", "by_check", "labels", "capabilities", "listed", "notes", "cases"),
}


def broken(count: int = 30) -> list:
    """Failures of many kinds, with long names and texts."""
    outcomes = values_cases(lambda op, dtype, f: f["offset"] > 0)
    op = "scaled_dot_product_attention_backward"
    text = f"{op}: element [0, 1, 2, 3] must be 1.0, got 2.0; {'and so on, ' * 40}"
    outcomes += [
        case(f"2/check-{i}/{op}_{i}/bfloat16", "failed", failures=(Failure("values", text),))
        for i in range(count)
    ]
    return [*outcomes, case("1/values/exp/int8", "crashed"), case("2/values/relu/int8", "hung")]


def test_the_json_has_the_schema_s_keys(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report(broken()).write_json(path)
    data = json.loads(path.read_text(encoding="utf-8"))
    assert set(data) >= KEYS
    assert data["schema"] == 1
    assert data["executed"] == len(data["cases"]) == data["passed"] + data["failed"]
    assert [row["level"] for row in data["levels"]] == [0, 1, 2]
    assert set(data["cases"][0]) >= {"id", "status", "failures", "worst", "labels"}


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_summary_fits_a_screen(width: int) -> None:
    listed = tuple(f"5/stress/{i}" for i in range(3))
    whole = report(
        broken(),
        asked=5,
        stale=tuple(f"case {i} matches nothing" for i in range(9)),
        environment={f"package-{i}": "1.2.3" for i in range(30)},
        listed=listed,
    )
    lines = summary(whole, width).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= width
    assert "what is wrong" in summary(whole, width)


def test_the_summary_says_what_is_wrong_with_an_example_and_its_command() -> None:
    text = summary(report(values_cases(lambda op, dtype, f: f["offset"] > 0)), 100)
    assert "every operator: calls whose input starts at a storage offset fail (36 cases)" in text
    assert "1/values/add/float32/mixed: add: element [2] must be 1.0, got nan" in text
    assert "$ python -m dovetail_conformance --device loop:0 --op add --dtype float32" in text


def test_a_narrow_terminal_gets_the_command_whole() -> None:
    lines = summary(report(broken(1)), 60).replace("\\\n", " ").splitlines()
    commands = [" ".join(line.split()) for line in lines if line.startswith("   $")]
    assert "$ python -m dovetail_conformance --device loop:0 --op exp --dtype int8" in commands


def test_groups_that_do_not_fit_are_counted() -> None:
    text = summary(report(broken()), 100)
    assert "groups more (" in text
    assert text.splitlines()[-1].startswith("executed ")


def test_a_good_report_says_so_in_few_lines() -> None:
    good = report([case(f"{n}/values/add/float32", worst=0.5) for n in range(6)], asked=5)
    lines = summary(good).splitlines()
    assert len(lines) < 20
    assert "level 5 (stress) is reached; nothing is left unexplained" in lines
    assert "worst error, in tolerances: add 0.5 (float32)" in lines
    assert lines[-1] == "executed 6 = passed 6 + expected 0 + failed 0; collected 6"


def test_the_verdict_names_what_stops_the_next_level() -> None:
    outcomes = [case(f"2/values/{op}/float32", "failed") for op in OPS[:4]]
    assert verdict(report(outcomes)) == (
        f"level 1 ({LEVELS[1]}) is reached; level 2 ({LEVELS[2]}) is stopped by 4 cases"
    )
    assert verdict(report([case("0/memory/alloc", "failed")])).startswith("no level is reached")
    assert "higher levels were not asked for" in verdict(report([], asked=2))


def test_a_part_of_the_suite_and_a_broken_run_get_no_grade() -> None:
    assert "only a part of the suite was asked (--op add)" in verdict(
        report([], filtered="--op add")
    )
    assert verdict(report([], collected={0: 9})) == "no grade: the run is not whole"
    assert "were executed" in summary(report([], collected={0: 9}))


def test_the_footer_counts_by_what_came() -> None:
    whole = report(
        [case("1/values/a/int8"), case("1/x/b/int8", "expected"), case("1/x/c/int8", "hung")],
        asked=1,
        listed=("1/x/d",),
        collected={0: 1, 1: 4},
    )
    assert footer(whole) == (
        "executed 4 = passed 2 + expected 1 + failed 1; collected 5 (1 listed as not to be run)"
    )
    assert "expected failures 2: no kind 1, not run 1" in summary(whole)


def test_expected_failures_by_kind() -> None:
    reasons = ["imprecise: single precision", "imprecise: fast exp", "unsupported: no float64", ""]
    outcomes = [case(f"1/x/y{i}", "expected", reason=r) for i, r in enumerate(reasons)]
    outcomes.append(case("1/x/z", "passed", reason="imprecise: not one"))
    assert expected_kinds(outcomes) == {"imprecise": 2, "unsupported": 1, "no kind": 1}


def test_host_dispatches_are_counted_by_operator() -> None:
    outcomes = [
        case("1/x/mode", labels={"host": 3, "kernel": 1}),
        case("1/x/add", labels={"host": 1}),
    ]
    said = summary(report(outcomes))
    assert "host dispatches 4, all of optional kernels, in cases of mode 3, add 1" in said
    wrong = case("1/x/exp", "failed", labels={"host": 2}, failures=(Failure("label", "", {}),))
    assert "host dispatches 6: mode 3, exp 2, add 1" in summary(report([*outcomes, wrong]))


def test_an_error_beyond_measure_is_not_spelled_out() -> None:
    outcomes = [case("1/values/add/float32", "failed", worst=1e30)]
    assert "worst error, in tolerances: add > 1e6 (float32)" in summary(report(outcomes))


def test_a_log_file_has_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    """No terminal, and a run may take minutes: it is seen to be alive."""
    words = ["--device", "cpu", "--level", "1", "--op", "add", "--jobs", "0"]
    assert main(words) == 0
    lines = capsys.readouterr().err.splitlines()
    total = lines[-1].partition("/")[2]
    assert lines[-1] == f"{total.split(',')[0]}/{total}"
    assert 2 < len(lines) <= 10
    assert all(line.endswith(", 0 failed") for line in lines)
