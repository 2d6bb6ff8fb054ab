"""Whole trainings: the accuracy of float32, the same on every device, and across a restart."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import nn
from dovetail.demo.data import load_digits
from dovetail.fixed_point import Adjustment, prepare, report
from dovetail.serialization import safetensors

BATCH, STEPS_PER_EPOCH, EPOCHS = 64, 22, 12
MARGIN = 0.01


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


class Training:
    """Steps of Adam on digits; the same batches for everybody."""

    def __init__(self, model: nn.Module, device: Any = "cpu") -> None:
        pytest.importorskip("sklearn")
        digits = load_digits()
        self.digits, self.device = digits, device
        self.model = model.to(device)
        self.optimizer = dt.optim.Adam(self.model.parameters(), lr=2e-3)
        self.step = 0

    def take(self, steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            epoch, part = divmod(self.step, STEPS_PER_EPOCH)
            order = np.random.default_rng(epoch).permutation(len(self.digits.train_images))
            batch = order[part * BATCH : (part + 1) * BATCH]
            images, labels = self.digits.train_images[batch], self.digits.train_labels[batch]
            loss = nn.functional.cross_entropy(
                self.model(self.tensor(images)), dt.tensor(labels, device=self.device)
            )
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.step += 1
            losses.append(loss.item())
        return losses

    def tensor(self, images: np.ndarray) -> dt.Tensor:
        x = images[:, None].astype(np.float32) / 16
        return dt.tensor(x, device=self.device)

    def accuracy(self) -> float:
        self.model.eval()
        with dt.no_grad():
            found = self.model(self.tensor(self.digits.test_images)).argmax(1).cpu().numpy()
        self.model.train()
        return float((found == self.digits.test_labels).mean())


def trained(fixed: bool = True, **rules: Adjustment) -> Training:
    dt.manual_seed(0)
    model = cnn()
    training = Training(prepare(model, **rules) if fixed else model)
    training.take(EPOCHS * STEPS_PER_EPOCH)
    return training


@pytest.fixture(scope="module")
def adaptive() -> Training:
    return trained()


def test_as_accurate_as_float32(adaptive: Training) -> None:
    expected = trained(fixed=False).accuracy()
    assert expected > 0.97
    assert adaptive.accuracy() >= expected - MARGIN


def test_the_shape_of_the_result(adaptive: Training) -> None:
    """As published: activations and weights stay int8, gradients need int16 for a part."""
    made = report(adaptive.model)
    assert made.shares("activation") == {8: 1.0}
    assert made.shares("weight") == {8: 1.0}
    shares = made.shares("gradient")
    assert set(shares) == {8, 16}
    assert 0.1 < shares[8] < 0.9
    for layer in made.layers:
        for operand in (layer.activation, layer.weight, layer.gradient):
            assert operand.steps == EPOCHS * STEPS_PER_EPOCH
            assert operand.steps / 10 <= operand.adjustments < operand.steps
            assert operand.error <= Adjustment().threshold


def test_too_few_bits_do_not_learn() -> None:
    assert trained(gradient=Adjustment(bits=2, max_bits=2)).accuracy() < 0.9


def test_the_same_twice(adaptive: Training) -> None:
    again = trained()
    for name, value in adaptive.model.state_dict().items():
        assert value.tolist() == again.model.state_dict()[name].tolist(), name


def numbers(training: Training) -> list[tuple[Any, ...]]:
    layers = [m for m in training.model.modules() if isinstance(m, dt.fixed_point.Quantizer)]
    return [(q.bits, q.position, q.step, q.next, q.adjustments, q.began) for q in layers]


@pytest.mark.parametrize("name", ["loop:0", "opencl:0", "dlp:0"])
def test_devices_adjust_alike(name: str, need_device: Any) -> None:
    need_device(name)
    runs = []
    for device in ("cpu", name):
        dt.manual_seed(1)
        training = Training(prepare(cnn()), device)
        losses = training.take(12)
        runs.append((training, losses))
    (here, expected), (there, losses) = runs
    assert there.model[0].weight.device == dt.device(name)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert numbers(there) == numbers(here)


@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_a_run_continues_from_its_state(form: str, tmp_path: Any) -> None:
    dt.manual_seed(2)
    whole = Training(prepare(cnn()))
    whole.take(30)
    state, optimizer = whole.model.state_dict(), whole.optimizer.state_dict()
    if form == "torch":
        file = io.BytesIO()
        dt.save(state, file)
        file.seek(0)
        state = dt.load(file)
    else:
        safetensors.save_file(dict(state), tmp_path / "model.safetensors")
        state = safetensors.load_file(tmp_path / "model.safetensors")
    other = Training(prepare(cnn()))
    other.model.load_state_dict(state)
    other.optimizer.load_state_dict(optimizer)
    other.step = 30
    assert numbers(other) == numbers(whole)
    assert other.take(60) == whole.take(60)
    assert numbers(other) == numbers(whole)
    assert report(other.model) == report(whole.model)
    assert report(whole.model).shares("gradient").keys() == {8, 16}
