"""The core path on other devices: the same integers as on the cpu."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from quantized_pairs import drawn, integers, numbers

import dovetail as dt
from dovetail import raw

q = dt.ao.quantization
DEVICES = ["cpu", "opencl:0", "dlp:0", "loop:0"]


@pytest.fixture(params=DEVICES)
def place(request: Any, need_device: Any) -> Any:
    return need_device(request.param)


def test_quantizing_and_back(place: Any) -> None:
    x = dt.tensor(drawn(5, 6, spread=3.0))
    there = x.to(place)
    for kind in (dt.qint8, dt.quint8, dt.qint32):
        here, made = (dt.quantize_per_tensor(t, 0.1, 3, kind) for t in (x, there))
        assert made.device == place
        assert made.int_repr().device == place
        assert (integers(here) == integers(made)).all()
        np.testing.assert_allclose(numbers(here), numbers(made), rtol=1e-6)
        assert (integers(here.to(place)) == integers(made)).all()
        assert (integers(made.cpu()) == integers(here)).all()
    scales, points = dt.linspace(0.05, 0.3, 6), dt.arange(6)
    here = dt.quantize_per_channel(x, scales, points, 1, dt.qint8)
    made = dt.quantize_per_channel(there, scales.to(place), points.to(place), 1, dt.qint8)
    assert (integers(here) == integers(made)).all()
    np.testing.assert_allclose(numbers(here.to(place)), numbers(here), rtol=1e-6)


def test_operators(place: Any) -> None:
    here = dt.quantize_per_tensor(dt.tensor(drawn(2, 3, 4, 4)), 0.05, 100, dt.quint8)
    made = here.to(place)
    F = dt.nn.functional
    for run in (
        lambda t: F.relu(t), lambda t: F.max_pool2d(t, 2), lambda t: t.transpose(1, 2)[0],
        lambda t: dt.cat([t, t], 1), lambda t: t.flatten(1), lambda t: t.clone(),
    ):  # fmt: skip
        assert (integers(run(here)) == integers(run(made))).all()


def test_dynamic(place: Any) -> None:
    n = dt.nn
    model = n.Sequential(n.Conv2d(2, 4, 3, padding=1), n.ReLU(), n.Flatten(), n.Linear(64, 5))
    made = q.quantize_dynamic(model, {n.Conv2d, n.Linear})
    x = dt.tensor(drawn(3, 2, 4, 4))
    wanted = numbers(made(x))
    there = made.to(place)
    assert there[0].weight().device == place
    np.testing.assert_allclose(wanted, numbers(there(x.to(place))), rtol=1e-4, atol=1e-4)
    direct = q.quantize_dynamic(model.to(place), {n.Conv2d, n.Linear})
    np.testing.assert_allclose(wanted, numbers(direct(x.to(place))), rtol=1e-4, atol=1e-4)


def test_recurrent(place: Any) -> None:
    for layer in (dt.nn.LSTM(4, 3), dt.nn.GRU(4, 3)):
        made = q.quantize_dynamic(dt.nn.Sequential(layer), {type(layer)})[0]
        x = dt.tensor(drawn(3, 2, 4))
        wanted = numbers(made(x)[0])
        np.testing.assert_allclose(wanted, numbers(made.to(place)(x.to(place))[0]), atol=2e-3)


def calibrate(model: Any, place: Any, config: Any) -> Any:
    model.qconfig = config
    watched = q.prepare(model)
    for seed in range(2):
        watched(dt.tensor(drawn(3, 1, 6, 6, seed=seed)).to(place))
    return q.convert(watched)


def test_static(place: Any) -> None:
    n = dt.nn
    model = n.Sequential(
        q.QuantStub(), n.Conv2d(1, 4, 3), n.BatchNorm2d(4), n.ReLU(), n.MaxPool2d(2), n.Flatten(),
        n.Linear(16, 5), q.DeQuantStub(),
    ).eval()  # fmt: skip
    model = q.fuse_modules(model, ["1", "2", "3"])
    made = calibrate(model, dt.device("cpu"), q.get_default_qconfig())
    there = calibrate(model.to(place), place, q.get_default_qconfig())
    x = dt.tensor(drawn(3, 1, 6, 6, seed=9))
    step = made[6].scale
    assert np.abs(numbers(made(x)) - numbers(there(x.to(place)))).max() <= 1.01 * step
    moved = made.to(place)
    assert np.abs(numbers(moved(x.to(place))) - numbers(there(x.to(place)))).max() <= 1.01 * step
    file_state = dict(there.state_dict().items())
    assert file_state["1.weight"].device == place


def test_training(place: Any) -> None:
    n = dt.nn
    model = n.Sequential(q.QuantStub(), n.Conv2d(1, 3, 3), n.ReLU(), n.Flatten(), n.Linear(48, 2))
    model = q.fuse_modules_qat(model, ["1", "2"]).to(place)
    model.qconfig = q.get_default_qat_qconfig()
    watched = q.prepare_qat(model)
    optimizer = dt.optim.SGD(watched.parameters(), lr=0.01)
    x = dt.tensor(drawn(4, 1, 6, 6)).to(place)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = watched(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    made = q.convert(watched.eval())
    step = made[4].scale
    watched.apply(q.disable_observer)
    # Sums of floats next to exact ones: a hidden number may be rounded the other way.
    apart = np.abs(numbers(made(x)) - numbers(watched(x)))
    assert apart.mean() <= step
    assert apart.max() <= 8 * step


def test_following_a_range_waits_once(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fused fake quantizer reads its two switches and, together, the ranges."""
    watch = q.default_fused_act_fake_quant().to(place)
    x = dt.linspace(-1, 2, 64).to(place)
    asked: list[int] = []
    kept = raw.to_host
    monkeypatch.setattr(raw, "to_host", lambda *given: (asked.append(1), kept(*given))[1])
    for _ in range(2):
        asked.clear()
        watch(x)
        assert len(asked) <= 3
