"""How a call is served: kernel, fused, decomposed, host, view; packs; the host-fallback policy."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import pytest

import dovetail as dt
from dovetail import fallback, spec
from dovetail.errors import HostFallbackError, HostFallbackWarning, Unsupported
from dovetail.observe import Event
from dovetail.ops.schema import REGISTRY


@pytest.fixture(autouse=True)
def own_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test counts for itself, and prints no summary when the tests end."""
    monkeypatch.setattr(fallback, "ledger", {})
    monkeypatch.setattr(fallback.atexit, "register", lambda function: None)


def served(events: list[Event], name: str) -> list[str]:
    return [e.served_by for e in events if e.op == name]


def test_labels(partial: Any) -> None:
    device = partial("softmax", "erf", layout="strided")
    x = dt.arange(6.0, device=device).view(2, 3)
    with dt.trace() as events, warnings.catch_warnings():
        warnings.simplefilter("ignore", HostFallbackWarning)
        x + x
        x.t()
        x.softmax(1)
        x.erf()
    assert served(events, "add") == ["kernel"]
    assert set(served(events, "t") + served(events, "transpose")) == {"view"}
    assert served(events, "softmax") == ["decomposed"]
    assert served(events, "erf")[-1] == "host"
    inside = [e for e in events if e.depth > 0]
    assert {"exp", "sum", "amax"} <= {e.op for e in inside}
    assert all(e.device == f"{device}:0" for e in events if e.op in ("add", "softmax"))
    assert all(e.milliseconds >= 0 for e in events)


def test_a_kernel_for_a_composite_is_called_fused() -> None:
    x = dt.ones(2, 3)
    table = dt.backend.registry.get("cpu").table
    name = next(n for n in ("softmax", "log_softmax", "linear", "relu") if n in table)
    with dt.trace() as events:
        dt.relu(x) if name == "relu" else getattr(dt, name)(x, 1)
    assert served(events, name) == ["fused"]


def test_copies_and_factories_are_traced(device: Any) -> None:
    with dt.trace() as events:
        x = dt.ones(3, device=device)
        x.to(dt.float64)
        x.clone()
    assert [e.op for e in events] == ["fill", "copy_to", "copy_to"]
    assert {e.served_by for e in events} == {"kernel"}


def test_the_trace_ends_with_its_block(device: Any) -> None:
    x = dt.ones(3, device=device)
    with dt.trace() as events, dt.trace() as inner:
        x + 1
    x + 2
    assert [e.op for e in events] == [e.op for e in inner] == ["add"]


@pytest.mark.parametrize(
    ("layout", "packs"), [("strided", (0, 0)), ("broadcast", (1, 0)), ("contiguous", (1, 1))]
)
def test_packs_are_counted(partial: Any, layout: str, packs: tuple[int, int]) -> None:
    device = partial(layout=layout)
    x = dt.arange(12.0, device=device).view(3, 4)
    row = dt.arange(3.0, device=device)
    with dt.trace() as events:
        first = x.t() + dt.ones(4, 3, device=device)
        second = x.t().contiguous() + row
    adds = [e.packs for e in events if e.op == "add"]
    assert adds == list(packs)
    assert first.tolist() == [[1, 5, 9], [2, 6, 10], [3, 7, 11], [4, 8, 12]]
    assert second.tolist() == [[0, 5, 10], [1, 6, 11], [2, 7, 12], [3, 8, 13]]


def test_warn_runs_on_the_host_and_says_so_once(
    partial: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOVETAIL_FALLBACK", "warn")
    device = partial("erf", "sort")
    x = dt.tensor([0.5, -0.5], device=device, requires_grad=True)
    with pytest.warns(HostFallbackWarning, match=f"erf: {device}:0 has no kernel of it") as caught:
        y = x.erf()
    assert caught[0].filename == __file__  # the warning points at the user's line
    assert y.device == x.device
    assert y.tolist() == pytest.approx([0.5204999, -0.5204999])
    x.erf()  # a second warning would be an error here
    with pytest.warns(HostFallbackWarning, match="sort"):
        x.detach().sort()
    y.sum().backward()
    assert x.grad.device == x.device
    assert x.grad.tolist() == pytest.approx([0.8787826, 0.8787826])
    calls, moved, milliseconds = fallback.ledger["erf", f"{device}:0"]
    assert (calls, moved) == (2, 16)
    assert milliseconds > 0


def test_error_refuses(partial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOVETAIL_FALLBACK", "error")
    x = dt.ones(2, device=partial("erf"))
    with pytest.raises(HostFallbackError, match=r"erf: .* DOVETAIL_FALLBACK=error"):
        x.erf()
    assert fallback.ledger == {}
    monkeypatch.setenv("DOVETAIL_FALLBACK", "allow")  # the policy is asked at every call
    x.erf()


def test_allow_is_silent_and_counts(partial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOVETAIL_FALLBACK", "allow")
    device = partial("erf")
    for _ in range(3):
        dt.ones(2, device=device).erf()
    assert fallback.ledger["erf", f"{device}:0"][:2] == [3, 24]


def test_several_outputs_come_back(partial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOVETAIL_FALLBACK", "allow")
    x = dt.tensor([3.0, 1.0, 2.0], device=partial("sort"), requires_grad=True)
    values, indices = x.sort()
    assert values.device == indices.device == x.device
    assert (values.tolist(), indices.tolist()) == ([1, 2, 3], [1, 2, 0])
    (values * dt.tensor([1.0, 2.0, 3.0], device=x.device)).sum().backward()
    assert x.grad.tolist() == [3, 1, 2]


def test_in_place_through_the_host(partial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOVETAIL_FALLBACK", "allow")
    x = dt.zeros(2, 2, device=partial("erf"))
    x[0].add_(100).erf_()
    assert x.tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("missing", "use"),
    [
        ("fill", lambda d: dt.ones(2, device=d)),
        ("arange", lambda d: dt.arange(2, device=d)),
        ("random_bits", lambda d: dt.rand(2, device=d)),
        ("copy", lambda d: dt.tensor([1.0, 2.0], device=d).to(dt.float64)),
    ],
)
def test_storage_and_random_never_fall_back(
    partial: Any, monkeypatch: pytest.MonkeyPatch, missing: str, use: Any
) -> None:
    monkeypatch.setenv("DOVETAIL_FALLBACK", "allow")
    fused = ("random_uniform",) if missing == "random_bits" else ()
    with pytest.raises(Unsupported, match=f"{missing}: .* has no kernel of it"):
        use(partial(missing, *fused))
    assert fallback.ledger == {}


def test_dtypes_that_a_device_has_not(partial: Any) -> None:
    device = partial(dtypes=("float32", "int64", "bool", "uint8", "int32"))
    x = dt.ones(2, device=device)
    for call in (
        lambda: dt.zeros(2, dtype=dt.float64, device=device),
        lambda: x.double(),
        lambda: dt.ones(2, dtype=dt.float16).to(device),
        lambda: x + dt.tensor(1.0, dtype=dt.complex64),
    ):
        with pytest.raises(Unsupported, match=r"has no (float64|float16|complex64); convert to"):
            call()


def test_operators_that_dtypes_have_not(device: Any) -> None:
    flags = dt.ones(2, dtype=dt.bool, device=device)
    for call, text in (
        (lambda: dt.ones(2, device=device) & 1, "not implemented for 'Float'"),
        (lambda: dt.ones(2, dtype=dt.int64, device=device) & 1.5, "not implemented for 'Float'"),
        (lambda: flags << flags, "not implemented for 'Bool'"),
        (lambda: flags.__ilshift__(flags), "not implemented for 'Bool'"),
    ):
        with pytest.raises(Unsupported, match=text):
            call()
    for call in (lambda: flags - True, lambda: -flags, flags.neg_):
        with pytest.raises(RuntimeError, match=r"[Bb]ool"):
            call()


def test_the_summary_at_exit(need_device: Any) -> None:
    need_device("loop")
    program = """
import warnings
import dovetail as dt
from dovetail.backend import Backend, registry
from dovetail_loopback import LoopbackRuntime
class Runtime(LoopbackRuntime):
    def kernels(self):
        table = super().kernels()
        table.remove("erf")
        return table
registry.register("partial", Backend(Runtime()))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for _ in range(3):
        dt.ones(4, device="partial").erf()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    assert lines[0] == "dovetail: operators that ran on the host:"
    assert lines[1].startswith("  erf on partial:0: 3 calls, 48 bytes, ")
    assert done.stdout == ""


def test_plans_are_forgotten_when_a_backend_comes(partial: Any) -> None:
    x = dt.ones(2)
    x + x
    op = dt.ops.REGISTRY["add"]
    assert op.plans
    partial()
    assert not op.plans
    assert (x + x).tolist() == [2, 2]


def test_minus_a_mask_says_what_to_use() -> None:
    mask = dt.tensor([True])
    for call in (lambda: -mask, mask.neg):
        with pytest.raises(RuntimeError, match="Negation, the `-` operator, on a bool tensor"):
            call()
    with pytest.raises(RuntimeError, match="two bool tensors is not supported"):
        mask - mask


def test_plans_of_specs_that_were_forgotten_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would find them: a program of ever new shapes would only grow."""
    monkeypatch.setattr(spec, "_LIMIT", 64)
    for n in range(1, 200):
        dt.zeros(n).exp()
    assert len(REGISTRY["exp"].plans) <= 64
