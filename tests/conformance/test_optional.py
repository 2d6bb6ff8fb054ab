"""The check of optional kernels sees a host that runs unasked, and one that says nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from dovetail import fallback
from dovetail_conformance.checks.fused import without_kernel
from dovetail_conformance.collect import collect
from dovetail_conformance.model import run_case

DEVICE = "loop:0"


@pytest.fixture(autouse=True)
def _loop(need_device: Any) -> None:
    need_device(DEVICE)


def outcome(check: str = "optional", op: str = "linalg_eigh") -> Any:
    (case, *_) = collect(DEVICE, 2, op, "float32", check)
    return run_case(case, DEVICE)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DOVETAIL_FALLBACK", "error")
    with without_kernel(DEVICE, "linalg_eigh"):
        yield


@pytest.mark.parametrize("check", ["optional", "values"])
def test_passes_with_a_kernel(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOVETAIL_FALLBACK", "error")
    assert outcome(check).status == "passed"


@pytest.mark.parametrize("check", ["optional", "values"])
def test_passes_on_the_host(check: str, bare: None) -> None:
    assert outcome(check).status == "passed"


def test_a_host_that_runs_unasked(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def always(*_: Any) -> Iterator[None]:
        yield

    monkeypatch.setattr(fallback, "counted", always)
    texts = [f.text for f in outcome().failures]
    assert any("must not run it" in text for text in texts)
    assert any("the warnings are []" in text for text in texts)


def test_another_operator_may_not_go_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOVETAIL_FALLBACK", "error")
    with without_kernel(DEVICE, "exp"):
        (case, *_) = collect(DEVICE, 1, "exp", "float32", "values")
        made = run_case(case, DEVICE)
    assert made.status == "failed"
    assert "HostFallbackError" in made.failures[0].text
