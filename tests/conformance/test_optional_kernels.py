"""Optional operators in the suite: a device may lack the kernel, the policy decides then."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import dovetail as dt
from dovetail import dtypes as d
from dovetail.backend import Backend, registry
from dovetail.backend.state import forget_state, state_of
from dovetail.device import device as Device
from dovetail.dispatch import clear_plans
from dovetail.errors import HostFallbackError, HostFallbackWarning
from dovetail.ops.schema import REGISTRY
from dovetail_conformance.collect import collect
from dovetail_conformance.model import Outcome, run_case
from dovetail_conformance.mutants.base import PlainRuntime, good_table
from dovetail_conformance.runner import strictly

NAME = "without_optional"
OPTIONAL = sorted(name for name, op in REGISTRY.items() if op.is_optional)


@pytest.fixture
def device() -> Iterator[str]:
    """A good device without any optional kernel."""
    table = good_table()
    for name in OPTIONAL:
        table.remove(name)
    registry.register(NAME, Backend(PlainRuntime(table)))
    try:
        yield f"{NAME}:0"
    finally:
        clear_plans()
        forget_state(Device(NAME, 0))
        registry.unregister(NAME)


def outcomes(device: str, level: int = 3) -> list[Outcome]:
    with strictly():
        return [run_case(case, device) for case in collect(device, level, op="fft_c2c")]


def failed(device: str) -> set[str]:
    return {o.check for o in outcomes(device) if o.failures}


def test_which_are_optional() -> None:
    assert {"fft_c2c", "fft_r2c", "fft_c2r"} <= set(OPTIONAL)
    assert not any(REGISTRY[name].required or REGISTRY[name].decompose for name in OPTIONAL)


def test_without_the_kernel_nothing_counts_against_the_device(device: str) -> None:
    asked = outcomes(device)
    assert [o.id for o in asked if o.failures] == []
    assert sum(o.labels.get("host", 0) for o in asked) > 0
    assert "2/optional/fft_c2c/complex64" in {o.id for o in asked}


def test_a_wrong_host_result_shows(device: str) -> None:
    state = state_of(dt.device("cpu"))
    whole = state.table

    def half(x: np.ndarray, out: np.ndarray, **_: object) -> None:
        out[...] = x / 2

    state.table = whole.copy()
    state.table.add("fft_c2c", half)
    clear_plans()
    try:
        assert {"values", "gradient"} <= failed(device)
    finally:
        state.table = whole
        clear_plans()


def test_a_policy_that_is_not_kept_shows(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dovetail.fallback.fallback_policy", lambda: "allow")
    assert failed(device) == {"optional"}


def test_with_the_kernel_it_must_be_used() -> None:
    asked = outcomes("cpu", 2)
    assert [o.id for o in asked if o.failures] == []
    assert sum(o.labels.get("host", 0) for o in asked) == 0


def test_the_policies(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = dt.ones(4, device=device)
    monkeypatch.setenv("DOVETAIL_FALLBACK", "error")
    with pytest.raises(HostFallbackError, match="fft_r2c"):
        dt.fft.fft(x)
    monkeypatch.setenv("DOVETAIL_FALLBACK", "warn")
    with pytest.warns(HostFallbackWarning, match="fft_r2c"):
        made = dt.fft.fft(x)
    assert made.device == x.device
    monkeypatch.setenv("DOVETAIL_FALLBACK", "allow")
    leaf = dt.ones(4, device=device, requires_grad=True)
    dt.fft.fft(leaf).real.sum().backward()
    assert leaf.grad.cpu().tolist() == [4.0, 0.0, 0.0, 0.0]
    labels = dt.capabilities(device, "fft_*")
    assert labels.cell("fft_c2c", d.complex64).label == "host"
