"""The table of capabilities: against the dispatcher, dry, the same twice, and as committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import dtypes as d
from dovetail import observe
from dovetail.backend.state import state_of
from dovetail.capability import Capabilities, capabilities
from dovetail.capability_rule import expected_label
from dovetail.capability_text import markdown, terminal
from dovetail.cli import main
from dovetail.errors import Unsupported
from dovetail.ops.schema import REGISTRY, OpDef

CPU = Path(__file__).parents[2] / "backends" / "cpu" / "dovetail_cpu"
NARROW = [d.float32, d.int64, d.bool_, d.bfloat16, d.complex64]


@pytest.fixture(scope="module")
def cpu() -> Capabilities:
    return capabilities("cpu")


def test_known_cells(cpu: Capabilities) -> None:
    cells = {
        ("add", d.float32): "kernel",
        ("fill", d.bool_): "kernel",
        ("nonzero", d.int64): "kernel",
        ("softmax", d.float32): "fused",
        ("huber_loss", d.float32): "decomposed",
        ("matmul", d.bool_): "none",
        ("arange", d.complex64): "none",
        ("random_bits", d.float32): "none",
        ("random_normal", d.float16): "fused",
        ("tanh_backward", d.bfloat16): "decomposed",
    }
    assert {key: cpu.cell(*key).label for key in cells} == cells


def test_every_dtype_and_every_operator_that_is_called(cpu: Capabilities) -> None:
    names = {n for n, op in REGISTRY.items() if op.kind != "view" and op.name == n}
    assert set(cpu.operators()) | set(cpu.unseen) == names
    assert len(cpu) == len(cpu.operators()) * len(d.ALL)
    assert sum(cpu.counts().values()) == len(cpu)
    required = {n for n, op in REGISTRY.items() if op.required}
    assert all(any(cpu.cell(n, k).label == "kernel" for k in d.ALL) for n in required)


def test_the_committed_table_is_current(cpu: Capabilities) -> None:
    command = "dovetail capabilities cpu --markdown --output CAPABILITIES.md"
    text = (CPU / "CAPABILITIES.md").read_text(encoding="utf-8")
    assert text == markdown(cpu), f"stale: run `{command}` in {CPU.name}"


def test_onednn_or_not(cpu: Capabilities, tmp_path: Path) -> None:
    """The committed table holds on every machine: entries stay where the library is absent."""
    import os
    import subprocess
    import sys

    file = tmp_path / "table.md"
    command = [sys.executable, "-m", "dovetail", "capabilities", "cpu", "--markdown"]
    settings = {**os.environ, "DOVETAIL_ONEDNN": "0"}
    subprocess.run([*command, "--output", str(file)], check=True, env=settings)
    assert file.read_text(encoding="utf-8") == markdown(cpu)


def test_host_inside_a_decomposition(partial: Any) -> None:
    device = partial("exp")
    table = capabilities(device, "[ehms]*")
    assert table.cell("exp", d.float32).label == "host"
    assert table.cell("mish", d.float32).label == "host"  # it has an exp inside
    assert table.cell("huber_loss", d.float32).label == "decomposed"
    assert table.cell("softmax", d.float32).label == "fused"


def test_a_fused_kernel_taken_away(partial: Any) -> None:
    table = capabilities(partial("softmax", "nonzero"), "[ns]*")
    assert table.cell("softmax", d.float32).label == "decomposed"
    assert table.cell("nonzero", d.float32).label == "host"


def test_a_dtype_that_the_device_has_not(partial: Any) -> None:
    table = capabilities(partial(dtypes=("float32", "int64", "bool")), "[ac]*")
    assert {row.label for row in table if row.dtype is d.float64} == {"none"}
    assert table.cell("add", d.float32).label == "kernel"


def test_a_condition_makes_labels_differ(partial: Any) -> None:
    from dovetail.backend import registry

    name = partial("cos")
    twin = registry.get(name).table
    twin.add("cos", lambda *_: None, when=lambda facts: facts.input.ndim == 2)
    cell = capabilities(name, "cos").cell("cos", d.float32)
    assert (cell.label, cell.others) == ("host", ("kernel",))


def test_it_is_dry(need_device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = need_device("loop:1")
    state = state_of(dt.device("loop:1"))
    x = dt.ones(3, device=place)
    x.cos()
    before = {name: dict(op.plans) for name, op in REGISTRY.items()}
    seed = dt.get_rng_state().tolist()
    ledger = dict(dt.fallback.ledger)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a dry run reached the device")

    for method in ("alloc", "h2d", "d2h", "view", "copy_peer"):
        monkeypatch.setattr(state.runtime, method, refuse, raising=False)
    capabilities("loop:1", "[b-n]*")
    monkeypatch.undo()
    assert observe.active == []
    assert state_of(dt.device("loop:1")) is state
    assert dt.get_rng_state().tolist() == seed
    assert dt.fallback.ledger == ledger
    for name, plans in before.items():
        after = REGISTRY[name].plans
        assert all(after[key] is plan for key, plan in plans.items())
        assert not any("ghost" in str(key) for key in after)
    assert dt.equal(x.cpu(), dt.ones(3))


def test_twice_the_same(cpu: Capabilities) -> None:
    again = capabilities("cpu", "[a-d]*")
    assert list(again) == [row for row in cpu if row.op[0] in "abcd"]
    assert len(again) > 400


class Labels(observe.Watcher):
    """Holds each call's label against what the table says."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.wrong: list[Any] = []
        self.seen = 0
        self._stack: list[Any] = []

    def enter(self, op: OpDef, plan: Any, inputs: tuple[Any, ...], attributes: Any) -> None:
        self._stack.append((plan, inputs, attributes))

    def leave(self, op: OpDef, result: Any) -> None:
        plan, inputs, attributes = self._stack.pop()
        outs = [x for x in (result if isinstance(result, tuple) else (result,)) if x is not None]
        places = {x.device for x in (*inputs, *outs) if isinstance(x, dt.Tensor)}
        if places != {self.device}:
            return
        self.seen += 1
        expected = expected_label(op.name, self.device, inputs, attributes, outs)
        if expected != plan.served_by:
            self.wrong.append((op.name, expected, plan.served_by, inputs, attributes))


@pytest.mark.parametrize("missing", [(), ("exp", "softmax", "layer_norm", "sum", "cat")])
def test_the_dispatcher_does_what_the_table_says(missing: Any, partial: Any) -> None:
    place = dt.empty(0, device=partial(*missing)).device if missing else dt.device("cpu")
    watcher = Labels(place)
    observe.active.append(watcher)
    try:
        with pytest.warns() if missing else _nothing():
            for op in list(REGISTRY.values()):
                for kind in NARROW if op.samples and op.function else ():
                    _run(op, kind, place)
            dt.rand(4, device=place)
            dt.randint(9, (4,), device=place)
    finally:
        observe.active.remove(watcher)
    assert watcher.seen > 2000
    assert watcher.wrong == []


def _nothing() -> Any:
    import warnings

    return warnings.catch_warnings()


def _run(op: OpDef, kind: Any, device: Any) -> None:
    assert op.samples is not None
    if kind not in op.accepts:
        return
    for sample in op.samples(np.random.default_rng(0), kind)[:2]:
        try:
            op.function(*_on(sample.args, device), **sample.kwargs)  # type: ignore[misc]
        except (Unsupported, RuntimeError, TypeError, ValueError, IndexError):
            continue


def _on(value: Any, device: Any) -> Any:
    if isinstance(value, np.ndarray):
        return dt.tensor(value, device=device)
    if isinstance(value, (list, tuple)):
        return type(value)(_on(v, device) for v in value)
    return value


def test_refused_calls(partial: Any) -> None:
    x = dt.ones(2, 2, dtype=d.bool_)
    assert expected_label("matmul", "cpu", (x, x)) == "none"
    device = partial("sort", dtypes=("float32", "int64", "bool"))
    half = dt.ones(2)._spec.to(dtype=d.float16)
    assert expected_label("cos", device, (half,)) == "none"
    assert expected_label("transpose", device, (half,)) == "view"


def test_terminal_fits(cpu: Capabilities) -> None:
    lines = terminal(cpu, cpu.operators()).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].split()[0] == "operator"
    assert len(lines[0].split()) == 1 + len(d.ALL)


def test_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    assert main(["capabilities", "cpu", "--op", "conv*", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert {row["op"] for row in rows} >= {"conv", "conv_grad_input"}
    assert all(row["op"].startswith("conv") for row in rows)
    assert capsys.readouterr().out == ""
    assert main(["capabilities", "cpu", "--op", "cos"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == ["cos", *"K" * 12]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cpu", "--op", "nonsense"], "no operator matches 'nonsense'"),
        (["nowhere"], "Expected one of"),
        (["cpu", "--markdown", "--op", "cos"], "leave out --op"),
        (["cpu", "--op", "cos", "--output", "/nowhere/at/all.md"], "cannot be written"),
    ],
)
def test_refusals(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capabilities", *words]) == 2
    assert message in capsys.readouterr().err
