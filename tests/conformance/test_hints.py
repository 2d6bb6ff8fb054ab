"""Failures by what they have in common: each fault's failures lead to the fault."""

from __future__ import annotations

import time
import zlib
from dataclasses import replace
from typing import Any

import pytest
from outcomes import OPS, call, case, judged, values_cases

from dovetail_conformance.detectors import CONTRASTS
from dovetail_conformance.hints import groups, rerun_command
from dovetail_conformance.model import Failure


def luck(*facts: Any) -> int:
    """A number without a pattern, the same in every run."""
    return zlib.crc32(repr(facts).encode())


FAULTS = {
    "storage offset": lambda f: f["offset"] > 0,
    "stride 0": lambda f: f["layout"] == "expanded" and f["numel"] > 1,
    "not contiguous": lambda f: (
        f["layout"] in ("transposed", "stepped", "expanded", "mixed") and f["numel"] > 1
    ),
    "not a multiple of 16": lambda f: f["numel"] % 16 != 0,
    "not a multiple of 8": lambda f: f["numel"] % 8 != 0,
    "odd": lambda f: f["numel"] % 2 == 1,
    "more than 65,535 elements": lambda f: f["numel"] > 65535,
    "without elements": lambda f: f["numel"] == 0,
}


@pytest.mark.parametrize("words", FAULTS)
def test_a_fault_of_all_operators_is_one_group(words: str) -> None:
    found = groups(values_cases(lambda op, dtype, f: FAULTS[words](f)))
    assert len(found) == 1
    assert found[0].title.startswith("every operator: calls ")
    assert words in found[0].title


@pytest.mark.parametrize("words", FAULTS)
def test_a_fault_of_one_operator_names_it(words: str) -> None:
    found = groups(values_cases(lambda op, dtype, f: op == "gather" and FAULTS[words](f)))
    assert [g.title.partition(":")[0] for g in found] == ["gather"]
    assert words in found[0].title


def test_a_fault_in_one_dtype_names_it() -> None:
    outcomes = values_cases(
        lambda op, dtype, f: op == "gather" and dtype == "int64" and f["offset"] > 0
    )
    assert groups(outcomes)[0].title.startswith("gather in int64: calls whose input starts at")


def test_two_faults_are_two_groups() -> None:
    def is_wrong(op: str, dtype: str, f: Any) -> bool:
        return f["offset"] > 0 or (op == "sum" and f["numel"] > 65535)

    first, second = groups(values_cases(is_wrong))
    assert first.title.startswith("every operator: calls whose input starts at a storage offset")
    assert second.title.startswith("sum: calls on more than 65,535 elements")


def test_the_evidence_counts_calls_and_sizes() -> None:
    hint = groups(values_cases(lambda op, dtype, f: f["numel"] % 16 != 0))[0].hint
    cases = len(OPS) * 2 * 6
    assert f"{cases * 7} of {cases * 7} such calls fail" in hint
    assert f"of the others 0 of {cases * 4}" in hint
    assert "sizes that fail: 1, 3, 8, … 24; sizes that pass: 16, 48, 64, 70,000" in hint


def test_cases_that_passed_altogether_are_evidence() -> None:
    wrong = [call("offset", n) for n in (3, 8, 64)]
    outcomes = [judged("1/values/add/float32/offset", wrong, lambda f: True)]
    outcomes += [case(f"1/values/add/float32/{x}", attempts=9) for x in ("contiguous", "expanded")]
    assert "storage offset" in groups(outcomes)[0].title
    assert "of the others 0 of 18" in groups(outcomes)[0].hint


def test_every_outcome_that_counts_is_in_one_group() -> None:
    outcomes = values_cases(lambda op, dtype, f: luck(op, f["numel"], f["layout"]) % 3 == 0)
    outcomes += [case("0/memory/alloc", "crashed"), case("0/memory/free", "hung")]
    outcomes += [case("1/values/exp/float16", "unexpected-pass"), case("1/x/y", "expected")]
    found = [o.id for g in groups(outcomes) for o in g.outcomes]
    assert sorted(found) == sorted(o.id for o in outcomes if o.is_against)


def test_nothing_failed_is_no_group() -> None:
    assert groups([case("1/values/add/float32"), case("1/values/exp/float64", "expected")]) == []


def test_a_process_that_died_comes_first_and_a_mended_case_last() -> None:
    outcomes = values_cases(lambda op, dtype, f: f["offset"] > 0)
    outcomes += [case("5/stress/threads", "crashed"), case("1/values/exp/int8", "unexpected-pass")]
    titles = [g.title for g in groups(outcomes)]
    assert "the process died" in titles[0]
    assert "expected failures pass" in titles[-1]


def failing(id: str, *failures: Failure, **fields: Any) -> Any:
    return case(id, "failed", failures=failures, **fields)


def test_unfinished_work_is_told_from_wrong_work() -> None:
    early = Failure("settled", "sum, read at once: wrong; right after", {"stage": "first read"})
    first = Failure("values", "sum, read at once: wrong", {"stage": "first read"})
    late = Failure("values", "sum, read after: wrong", {"stage": "later read"})
    right = case("0/settled/mul")
    (unfinished,) = groups([right, failing("0/settled/sum", early)])
    assert "differ between reads" in unfinished.title
    assert "d2h" in unfinished.hint
    (wrong,) = groups([right, failing("0/settled/sum", first, late)])
    assert "differ between reads" not in wrong.title


def test_flaky_failures_join_unfinished_work_of_all_operators() -> None:
    outcomes = values_cases(lambda op, dtype, f: luck(op, dtype, f["numel"]) % 2 == 0)
    early = Failure("settled", "differs between reads", {"stage": "first read"})
    outcomes += [failing(f"5/settled/{op}/float32", early) for op in OPS]
    (only,) = groups(outcomes)
    assert "differ between reads" in only.title
    assert "more failing cases that may come from it" in only.hint


SIGNS = {
    "on the host": Failure("label", "mode: mode ran on the host; the table must have a kernel"),
    "not served as": Failure("label", "mode was decomposed, but the table has a kernel"),
    "change their inputs": Failure("inputs-unchanged", "mode: input 0 was changed by the call"),
    "not refused": Failure("error", "mode: must raise ValueError, raised nothing"),
    "the second time": Failure("repeat", "mode: the same call gave other values the second time"),
    "what memory held before": Failure(
        "values", "mode: element [4] must be 1, got 2147483644; 1 of"
    ),
    "only the last": Failure("values", "mode: element [4] must be 1, got 2 (only the last)"),
    "raises TypeError: no int8": Failure("raises", "TypeError: no int8 here"),
    "near, but": Failure("values", "off; the largest error is 3 tolerances", {}),
    "values fails, 1 of 2 cases": Failure("values", "mode: element [4] must be 1, got 2"),
}


@pytest.mark.parametrize("words", SIGNS)
def test_what_one_failure_tells(words: str) -> None:
    worst = 3.0 if "near" in words else None
    wrong = failing("2/values/mode/float32", SIGNS[words], worst=worst)
    outcomes = [wrong, case("2/values/mode/int64"), case("1/values/add/int64")]
    assert words in groups(outcomes)[0].title


def test_the_same_exception_is_one_group_and_says_where() -> None:
    trace = 'Traceback\n  File "/home/a/mydevice/kernels.py", line 41, in launch\nKeyError: 7\n'
    outcomes = [
        failing(f"1/values/{op}/float32", Failure("raises", f"KeyError: {i}", {}, trace))
        for i, op in enumerate(OPS)
    ]
    outcomes += [case(f"1/values/{op}/int64") for op in OPS]
    (only,) = groups(outcomes)
    assert "raises KeyError" in only.title
    assert "launch (kernels.py, line 41)" in only.hint


def test_a_dtype_in_which_all_fails_is_named() -> None:
    outcomes = values_cases(lambda op, dtype, f: dtype == "int64" and f["numel"] > 0)
    outcomes += values_cases(lambda op, dtype, f: False, dtypes=["int8", "float64"])
    (only,) = groups(outcomes)
    assert only.title.startswith("int64: 6 of 6 operators fail, which are right in other dtypes")


def test_right_values_with_wrong_gradients() -> None:
    outcomes = values_cases(lambda op, dtype, f: False, dtypes=["float32"])
    outcomes += [case(f"3/gradient/{op}/float32", "failed", attempts=2) for op in ("exp", "sum")]
    (only,) = groups(outcomes)
    assert "calls that ask for gradients, whose values are right" in only.title
    assert "backward" in only.hint


def test_other_devices_special_values_and_memory_that_ran_out() -> None:
    rows = {
        "index 1": [{"index": i} for i in (0, 0, 0, 1, 1)],
        "NaN": [{"sample": s} for s in ("plain", "one", "two", "with nan", "inf")],
        "out-of-memory": [
            {"stage": s} for s in ("a", "b", "c", "after out of memory", "after oom")
        ],
    }
    for words, facts in rows.items():
        wrong = facts[3:]
        outcome = judged("0/memory/copies/float32", facts, lambda f, wrong=wrong: f in wrong)
        assert words in groups([outcome])[0].title


def test_the_example_is_small_and_of_float32() -> None:
    found = groups(values_cases(lambda op, dtype, f: f["offset"] > 0, dtypes=["int64", "float32"]))
    assert found[0].example.dtype == "float32"
    assert found[0].failure is not None
    assert found[0].failure.facts["numel"] == 3


def test_rerun_asks_for_the_operator_and_dtype() -> None:
    command = rerun_command("opencl:0", case("1/values/gather/float32/offset"))
    assert command == (
        "python -m dovetail_conformance --device opencl:0 --op gather --dtype float32"
    )
    assert "--dtype" not in rerun_command("loop:0", case("0/memory/alloc"))


def test_detectors_have_names_of_their_own() -> None:
    names = [c.name for c in CONTRASTS]
    assert len(set(names)) == len(names)


def test_thousands_of_failures_are_grouped_at_once() -> None:
    few = values_cases(lambda op, dtype, f: f["offset"] > 0)
    many = [replace(o, id=f"{o.id}/{i}", op=f"{o.op}{i}") for i in range(60) for o in few]
    start = time.process_time()
    (only,) = groups(many)
    assert len(only.outcomes) == 60 * sum(o.is_against for o in few)
    assert time.process_time() - start < 60, "grouping is not of the order of its failures"
