"""What the suite asks of a device without float64: all but what needs it, and that is judged."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from dovetail_conformance.collect import collect
from dovetail_conformance.model import run_case

CASES = ("2/values/bincount/int64/contiguous", "2/values/bincount/int8/mixed",
         "2/repeat/bincount/int64")  # fmt: skip


def outcome(name: str) -> Any:
    (case,) = (c for c in collect("dlp:0", op="bincount") if c.id == name)
    return run_case(case, "dlp:0")


@pytest.mark.parametrize("name", CASES)
def test_bincount_passes_and_is_judged(module: Any, name: str) -> None:
    found = outcome(name)
    assert found.status == "passed", found.failures
    assert found.attempts >= 4


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_bincount_is_caught(
    module: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    histogram = import_module("dovetail.ops.reduction.histogram")
    right = histogram._added_up
    monkeypatch.setattr(
        histogram, "_added_up", lambda places, values, size: right(places, values, size) + 1
    )
    assert outcome(name).status == "failed"


def test_nothing_is_listed_in_vain(module: Any) -> None:
    """Each entry of the device's expectations names cases that there are."""
    from dovetail_conformance.expectations import Expectations, find_file

    path = find_file("dlp:0")
    assert path is not None
    assert Expectations.read(path).stale(case.id for case in collect("dlp:0")) == ()
