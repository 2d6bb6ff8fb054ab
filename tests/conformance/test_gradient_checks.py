"""The checks of gradients, fused kernels and training see deliberate faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import ops
from dovetail.autograd import engine
from dovetail.backend.state import state_of
from dovetail.dispatch import clear_plans
from dovetail.ops.schema import REGISTRY, OpDef, Sample
from dovetail_conformance import slopes
from dovetail_conformance.checks import double, fused, gradients, graph, kinks, training
from dovetail_conformance.derivatives import (
    Problem,
    differentiable_operators,
    inner,
    mixed_slope,
    slope,
)
from dovetail_conformance.kinks import KINKS
from dovetail_conformance.model import Mismatch, Outcome, run_case
from dovetail_conformance.networks import Training
from dovetail_conformance.target import Target

Spoil = Callable[..., None]


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spoil]:
    """Replace a field of a record for the length of a test."""

    def change(name: str, **fields: Any) -> None:
        for field, value in fields.items():
            monkeypatch.setattr(REGISTRY[name], field, value)
        clear_plans()

    yield change
    monkeypatch.undo()
    clear_plans()


def ask(module: Any, check: str, op: str, dtype: str = "", variant: str = "") -> Outcome:
    """Run one case on the cpu."""
    for case in module.cases(Target.of("cpu")):
        if (case.check, case.op, case.dtype, case.variant) == (check, op, dtype, variant):
            return run_case(case, "cpu")
    raise LookupError(f"no case {check} {op} {dtype} {variant}")


def gradient(op: str, dtype: str = "float64", variant: str = "mixed") -> Outcome:
    return ask(gradients, "gradient", op, dtype, variant)


def seen_in(outcome: Outcome) -> set[str]:
    return {f.check for f in outcome.failures}


# Differences


def test_slopes_are_those_of_calculus() -> None:
    for value, function in (
        (1.0, np.sin),
        (0.0, lambda t: 3 * t**2),
        (np.e, lambda t: np.exp(1 + t) - np.e),
        (1 / 0.003, lambda t: np.log(0.003 + t) - np.log(0.003) if t > -0.003 else np.nan),
    ):
        found = slope(function)
        assert found is not None
        assert found.value == pytest.approx(value, rel=1e-8, abs=1e-8)


def test_kinks_and_jumps_have_no_slope() -> None:
    for function in (
        abs,
        np.sign,
        lambda t: max(t, 0),
        lambda t: np.sqrt(abs(t)),
        lambda t: np.nan,
    ):
        assert slope(function) is None


def test_a_kink_inside_of_the_step_does_no_harm() -> None:
    found = slope(lambda t: max(t, -5e-4))
    assert found is not None
    assert found.value == pytest.approx(1, abs=1e-9)


def test_mixed_slopes() -> None:
    found = mixed_slope(lambda s, t: np.exp(s) * np.sin(t) - 0)
    assert found is not None
    assert found.value == pytest.approx(1, abs=1e-7)
    assert mixed_slope(lambda s, t: s * abs(t)) is None


def test_inner_takes_the_conjugate() -> None:
    assert inner(np.array([1j]), np.array([1j])) == 1


def test_every_gradient_with_samples_is_asked() -> None:
    asked = {op.name for op in differentiable_operators()}
    cases = {c.op for c in gradients.cases(Target.of("cpu"))}
    with_gradient = {
        op.name for op in REGISTRY.values() if op.gradient and op.samples and op.function
    }
    assert with_gradient <= asked
    without_floats = {n for n in asked - cases if not _has_leaves(REGISTRY[n])}
    # A gradient passed straight through is no derivative: ``kinks`` asks for PyTorch's.
    by_convention = {"fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine"}
    assert asked - cases == without_floats | by_convention
    assert by_convention <= set(KINKS)


def _has_leaves(op: OpDef) -> bool:
    return any(Problem(op, sample).leaves for _, sample in slopes.chosen(op))


# Gradients


def test_good_gradients_pass() -> None:
    for op in ("mul", "amax", "matmul", "cat"):
        assert gradient(op).status == "passed"
        assert ask(double, "double", op, "float64").status == "passed"


def test_a_wrong_sign(spoil: Spoil) -> None:
    good = REGISTRY["sin"].gradient["input"]
    spoil("sin", gradient={"input": lambda g, input: -good(g, input)})
    outcome = gradient("sin")
    assert seen_in(outcome) == {"gradient"}
    assert "the gradient of input, element [" in outcome.failures[0].text
    assert gradient("sin", "float32").failures


def test_a_small_relative_error(spoil: Spoil) -> None:
    spoil("exp", gradient={"input": lambda g, out: g * out * 1.0000001})
    assert gradient("exp").failures
    assert not gradient("exp", "float32").failures, "a tenth of what float32 rounds"
    spoil("exp", gradient={"input": lambda g, out: g * out * 1.0001})
    assert gradient("exp", "float32").failures


def test_one_of_two_arguments(spoil: Spoil) -> None:
    spoil("sub", gradient={"input": lambda g: g, "other": lambda g: g})
    assert "the gradient of other" in gradient("sub").failures[0].text


def test_a_missing_sum_over_broadcast_dims(monkeypatch: pytest.MonkeyPatch) -> None:
    good = engine._fit

    def first_only(g: Any, spec: Any) -> Any:
        ratio = g.numel() // max(spec.numel, 1) if spec.numel else 1
        return good(g, spec) / ratio if ratio > 1 else good(g, spec)

    monkeypatch.setattr(engine, "_fit", first_only)
    assert "gradient" in seen_in(gradient("add"))


def test_a_missing_sum_over_expanded_dims(spoil: Spoil) -> None:
    spoil("expand", gradient={"input": lambda g, input: g.sum_to_size(input.shape) / 2})
    assert gradient("sin", "float32", "expanded").failures
    assert gradient("sin", "float32").status == "passed"


def test_a_gradient_that_writes_to_its_input(spoil: Spoil) -> None:
    def gradient_(g: Any, input: Any) -> Any:
        made = g * input.cos()
        input.detach().data.mul_(1.5)
        return made

    spoil("sin", gradient={"input": gradient_})
    assert "inputs-unchanged" in seen_in(gradient("sin"))


def test_a_gradient_that_overwrites(monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(node: Any, g: Any, create_graph: bool, owned: bool) -> None:
        node.variable.grad = g.detach().clone()

    monkeypatch.setattr(engine, "_accumulate", replace)
    assert "accumulate" in seen_in(gradient("sin"))
    assert ask(graph, "graph", "gradients add up", "", "rule").failures


@pytest.mark.parametrize("fact", ["shape", "dtype"])
def test_a_gradient_of_another_kind_than_its_tensor(fact: str) -> None:
    good, narrow, short = dt.ones(2, dtype=dt.float64), dt.ones(2), dt.ones(1, dtype=dt.float64)

    class Leaf:
        shape, dtype, device, grad = good.shape, good.dtype, good.device, good

    gradients.check_facts(Leaf, "fine")
    Leaf.grad = short if fact == "shape" else narrow
    with pytest.raises(Mismatch, match=f"must have {fact}"):
        gradients.check_facts(Leaf, "wrong")


def test_an_in_place_form_with_another_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any) -> Any:
        return self.copy_(self.detach().sin())

    monkeypatch.setattr(dt.Tensor, "sin_", wrong, raising=False)
    outcome = gradient("sin", "float32", "in place")
    assert outcome.failures


def test_complex_gradients_are_those_of_the_conjugate(spoil: Spoil) -> None:
    assert gradient("exp", "complex128").status == "passed"
    spoil("exp", gradient={"input": lambda g, out: g * out})  # out, not its conjugate
    assert gradient("exp", "complex128").failures
    assert gradient("exp").status == "passed"


def test_samples_at_kinks_only_are_not_enough(spoil: Spoil) -> None:
    spoil("abs", samples=lambda rng, dtype: [Sample((np.zeros(9, np.float32),))])
    slopes._chosen.cache_clear()
    slopes.expected_of.cache_clear()
    try:
        assert seen_in(gradient("abs")) == {"skipped"}
    finally:
        slopes._chosen.cache_clear()
        slopes.expected_of.cache_clear()


# Second derivatives


def test_a_gradient_that_is_a_constant_to_autograd(spoil: Spoil) -> None:
    spoil("sin", gradient={"input": lambda g, input: g * input.detach().cos()})
    assert gradient("sin").status == "passed"
    assert seen_in(ask(double, "double", "sin", "float64")) == {"double"}


def test_a_gradient_without_the_way_of_the_incoming_one(spoil: Spoil) -> None:
    spoil("sin", gradient={"input": lambda g, input: g.detach() * input.cos()})
    assert gradient("sin").status == "passed"
    assert "by the incoming gradient" in ask(double, "double", "sin", "float64").failures[0].text


# Kinks


def test_ties_that_are_not_shared(spoil: Spoil) -> None:
    def doubled(g: Any, input: Any, out: Any, specs: Any, dim: Any, keepdim: bool) -> Any:
        shape = [1 if i in dim else n for i, n in enumerate(specs[0].shape)]
        return g.reshape(shape) * input.eq(out.reshape(shape)).to(g.dtype)

    spoil("amax", gradient={"input": doubled})
    assert gradient("amax").status == "passed"
    assert seen_in(ask(kinks, "kinks", "amax along rows", "float32")) == {"kinks"}


def _with_edges(g: Any, input: Any, min_val: float, max_val: float) -> Any:
    return ops.where((input >= min_val) & (input <= max_val), g, 0.0)


@pytest.mark.parametrize(
    ("name", "op", "wrong"),
    [
        ("relu", "relu", lambda g, input: ops.where(input >= 0, g, 0.0)),
        ("abs", "abs", lambda g, input: ops.where(input >= 0, g, -g)),
        ("hardtanh", "hardtanh", _with_edges),
        ("maximum", "maximum", None),
    ],
)
def test_other_conventions(spoil: Spoil, name: str, op: str, wrong: Any) -> None:
    fields = {"input": wrong}
    if wrong is None:
        fields = {
            "input": lambda g, input, other: ops.where(input >= other, g, 0.0),
            "other": lambda g, input, other: ops.where(input < other, g, 0.0),
        }
    spoil(op, gradient=fields)
    assert gradient(op).status == "passed"
    assert ask(kinks, "kinks", name, "float64").failures


# The graph


def test_a_transpose_that_forgets_its_way_back(spoil: Spoil) -> None:
    spoil("flip", gradient={"input": lambda g: g})
    assert ask(graph, "graph", "flip and narrow", "float64").failures


def test_a_dropped_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dt.nn.functional, "dropout", lambda x, p: x * 2 + x.detach())
    assert ask(graph, "graph", "dropout", "", "rule").failures


# Fused kernels


@pytest.fixture
def wrong_kernel() -> Iterator[Callable[[str, Callable[..., Any]], None]]:
    """Put a kernel in front of the cpu's for the length of a test."""
    state = state_of(dt.device("cpu"))
    whole = state.table
    state.table = whole.copy()

    def enter(name: str, function: Callable[..., Any]) -> None:
        state.table.add(name, function, layout="strided")
        clear_plans()

    yield enter
    state.table = whole
    clear_plans()


def test_a_fused_kernel_that_differs(wrong_kernel: Any) -> None:
    assert ask(fused, "fused", "sigmoid", "float32").status == "passed"
    wrong_kernel("sigmoid", lambda x, out: np.divide(1.00001, 1 + np.exp(-x), out=out))
    assert seen_in(ask(fused, "fused", "sigmoid", "float32")) == {"values"}


def test_a_fused_gradient_that_differs(wrong_kernel: Any) -> None:
    def wrong(g: Any, y: Any, out: Any) -> None:
        np.multiply(g, 1 - y, out=out)

    for name in ("tanh_backward", "sigmoid_backward"):
        assert ask(fused, "fused", name, "float32").status == "passed"
        wrong_kernel(name, wrong)
        assert ask(fused, "fused", name, "float32").failures


def test_a_kernel_that_nothing_is_known_to_call(wrong_kernel: Any) -> None:
    wrong_kernel("strided_backward", lambda *arrays: None)
    assert seen_in(ask(fused, "fused", "strided_backward", "float32")) == {"empty"}


def test_the_table_is_whole_afterwards() -> None:
    state = state_of(dt.device("cpu"))
    table = state.table
    with fused.without_kernel("cpu", "sigmoid"):
        assert not state.table.entries("sigmoid")
        with dt.trace() as events:
            dt.ones(3).sigmoid()
        assert ("sigmoid", "decomposed") in {(e.op, e.served_by) for e in events}
    assert state.table is table
    with dt.trace() as events:
        dt.ones(3).sigmoid()
    assert [e.served_by for e in events if e.op == "sigmoid"] == ["fused"]


def test_a_gradient_that_is_not_the_decompositions(spoil: Spoil) -> None:
    assert ask(fused, "derived", "square", "float64").status == "passed"
    spoil("square", gradient={"input": lambda g, input: g * input})
    assert ask(fused, "derived", "square", "float64").failures


# Training


def test_a_gradient_that_is_a_little_off_changes_the_losses(spoil: Spoil) -> None:
    good = REGISTRY["tanh"].gradient["input"]
    spoil("tanh", gradient={"input": lambda g, out: good(g, out) * 1.001})
    outcome = ask(training, "training", "mlp", "float32")
    assert seen_in(outcome) == {"losses"}
    assert "the loss of step" in outcome.failures[0].text


def test_losses_that_change_from_run_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    good, calls = dt.nn.functional.cross_entropy, []

    def drifting(*args: Any) -> Any:
        calls.append(1)
        return good(*args) * (1 + 1e-7 * (len(calls) > 30))

    monkeypatch.setattr(dt.nn.functional, "cross_entropy", drifting)
    assert "deterministic" in seen_in(ask(training, "training", "mlp", "float32"))


def test_an_optimizer_that_does_not_load_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dt.optim.Adam, "load_state_dict", lambda self, state: None)
    assert seen_in(ask(training, "training", "cnn", "float32")) == {"state_dict"}


def test_memory_that_steps_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    good = Training.step

    def keeping(self: Training) -> float:
        kept.append(dt.ones(100, device=next(self.model.parameters()).device))
        return good(self)

    assert ask(training, "training", "mlp", "", "memory").status == "passed"
    monkeypatch.setattr(Training, "step", keeping)
    assert seen_in(ask(training, "training", "mlp", "", "memory")) == {"leak"}
