"""compare: agreement, a wrong kernel deep in a model, backward, random numbers, parted control."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.debug import ControlFlowParted, compare


def off_at(place: int, by: float) -> Any:
    """A kernel whose result is off at one element."""

    def wrong(kernel: Any, *arrays: Any, **attributes: Any) -> None:
        kernel(*arrays, **attributes)
        out = arrays[-1].open()
        if out.size > place:
            out[np.unravel_index(place, out.shape)] += by

    return wrong


class Network(dt.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dt.nn.Linear(6, 5)
        self.second = dt.nn.Linear(5, 4)

    def forward(self, x: Any) -> Any:
        x = dt.tanh(self.first(x))
        x = dt.cos(x)  # the wrong line
        return self.second(x).softmax(-1)


def train(model: Any, x: Any) -> None:
    model(x).square().sum().backward()


def data() -> Any:
    return dt.arange(18, dtype=dt.float32).reshape(3, 6) / 18


def test_a_good_device_agrees(spoiled: Any) -> None:
    found = compare(train, Network(), data(), devices=("cpu", spoiled()))
    assert found.agrees
    assert found.first is None
    assert found.calls > 12
    assert "agree" in str(found)


def test_the_first_wrong_operator_and_its_line(spoiled: Any) -> None:
    device = spoiled(cos=off_at(7, 0.25))
    found = compare(Network(), data(), devices=("cpu", device))
    first = found.first
    assert first is not None
    assert (first.op, first.output) == ("cos", 0)
    assert first.inputs == ("float32 [3, 5]",)
    assert first.difference.index == (1, 2)
    right, wrong = first.difference.values
    assert wrong - right == pytest.approx(0.25, abs=1e-6)
    assert (first.difference.wrong, first.difference.total) == (1, 15)
    assert first.difference.error > 1e4 * first.difference.allowed
    assert "# the wrong line" in first.line
    assert __file__ in first.line
    # The second linear and the softmax were given the right values, so they are right.
    assert found.partings == [first]
    assert "all agree" in str(found)
    assert f"on {device}:0" in str(found)


def test_strides_are_said(spoiled: Any) -> None:
    device = spoiled(cos=off_at(0, 1.0))
    found = compare(lambda x: x.t().cos(), dt.ones(2, 3), devices=("cpu", device))
    assert found.first is not None
    assert found.first.inputs == ("float32 [3, 2] strides (1, 3)",)


def test_a_wrong_gradient(spoiled: Any) -> None:
    device = spoiled(sin=off_at(3, -0.5))  # the derivative of cos
    found = compare(train, Network(), data(), devices=("cpu", device))
    assert found.first is not None
    assert found.first.op == "sin"
    assert ".backward()" in found.first.line


def test_the_callers_tensors_are_left_alone(spoiled: Any) -> None:
    model, x = Network(), data().requires_grad_()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    compare(train, model, x, devices=("cpu", spoiled(cos=off_at(0, 1.0))))
    assert x.grad is None
    assert all(p.grad is None and p.device.type == "cpu" for p in model.parameters())
    assert all(dt.equal(before[k], v) for k, v in model.state_dict().items())


def test_random_numbers_are_the_same_and_come_back(spoiled: Any) -> None:
    def fn(device: Any) -> Any:
        x = dt.randn(4, 4, device=device) * random.random() * float(np.random.rand())
        return dt.nn.functional.dropout(x, 0.5)

    dt.manual_seed(3)
    expected = (dt.rand(2), dt.manual_seed(3))[0]
    state = random.getstate()
    found = compare(fn, devices=("cpu", spoiled()))
    assert found.agrees
    assert random.getstate() == state
    assert dt.equal(dt.rand(2), expected)


def test_no_argument_uses_the_default_device(spoiled: Any) -> None:
    seen = []

    def fn() -> None:
        seen.append(str(dt.ones(3).cos().device))

    device = spoiled(cos=off_at(0, 1.0))
    found = compare(fn, devices=("cpu", device))
    assert seen == ["cpu", f"{device}:0"]
    assert [p.op for p in found.partings] == ["cos"]


def test_in_step_rounding_does_not_pile_up(spoiled: Any) -> None:
    def chaotic(x: Any) -> Any:
        for _ in range(60):  # the logistic map: one rounding grows to 1 in so many steps
            x = 4 * x * (1 - x)
        return x

    def one_bit(kernel: Any, *arrays: Any, **attributes: Any) -> None:
        kernel(*arrays, **attributes)
        out = arrays[-1].open()
        out[...] = np.nextafter(out, np.float32(2))

    x = dt.linspace(0.1, 0.4, 8)
    assert compare(chaotic, x, devices=("cpu", spoiled(mul=one_bit))).agrees


def test_tolerances_may_be_given(spoiled: Any) -> None:
    device = spoiled(cos=off_at(0, 1e-3))
    assert not compare(dt.cos, dt.ones(2), devices=("cpu", device)).agrees
    assert compare(dt.cos, dt.ones(2), devices=("cpu", device), atol=1e-2).agrees
    assert not compare(dt.cos, dt.ones(2), devices=("cpu", device), rtol=1e-5).agrees


def test_integers_must_be_equal(spoiled: Any) -> None:
    device = spoiled(add=off_at(1, 1))
    found = compare(lambda x: x + 1, dt.arange(3), devices=("cpu", device))
    assert found.first is not None
    assert found.first.difference.values == (2, 3)


def test_nan_where_there_must_be_none(spoiled: Any) -> None:
    found = compare(dt.cos, dt.ones(3), devices=("cpu", spoiled(cos=off_at(2, np.nan))))
    assert found.first is not None
    assert found.first.difference.index == (2,)
    assert compare(dt.log, -dt.ones(3), devices=("cpu", spoiled())).agrees


def test_control_flow_that_parts(spoiled: Any) -> None:
    def fn(x: Any) -> Any:
        x = x.exp()
        if x.device.type == "cpu":
            return x.sin()
        return x.tanh()

    with pytest.raises(ControlFlowParted, match=r"(?s)called tanh from.*tanh\(\).*sin\(\)"):
        compare(fn, dt.ones(3), devices=("cpu", spoiled()))


def test_a_run_that_ends_early(spoiled: Any) -> None:
    def fn(x: Any) -> Any:
        x = x.exp()
        if x.device.type != "cpu":
            return x
        return x.sin()

    with pytest.raises(ControlFlowParted, match="was done"):
        compare(fn, dt.ones(3), devices=("cpu", spoiled()))


def test_devices_must_be_two() -> None:
    with pytest.raises(ValueError, match="devices must be two, got 1"):
        compare(dt.cos, dt.ones(2), devices=("cpu",))


def test_both_devices_start_from_one_seed(spoiled: Any) -> None:
    dt.rand(5)  # the cpu's generator has moved on, the other's has not
    assert compare(lambda: dt.rand(6) + dt.randn(6), devices=("cpu", spoiled())).agrees


def test_a_training_step_of_a_convolutional_network(spoiled: Any) -> None:
    """Nothing that differs between devices by design is taken for a fault."""

    def step(device: Any) -> None:
        model = dt.nn.Sequential(
            dt.nn.Conv2d(2, 4, 3, padding=1),
            dt.nn.BatchNorm2d(4),
            dt.nn.GELU(),
            dt.nn.MaxPool2d(2),
            dt.nn.Flatten(),
            dt.nn.Dropout(0.25),
            dt.nn.Linear(64, 5),
        ).to(device)
        optimizer = dt.optim.AdamW(model.parameters(), lr=0.1)
        x, y = dt.randn(3, 2, 8, 8), dt.tensor([1, 0, 4])
        for _ in range(2):
            optimizer.zero_grad()
            loss = dt.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        x[x > 0] = 0.5
        x[0].add_(1).clamp_(max=2)
        assert loss.item() > 0

    found = compare(step, devices=("cpu", spoiled()))
    assert found.agrees, str(found)
    assert found.calls > 60
