"""Training with fake quantizers beside PyTorch's: losses, gradients, statistics, and the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from quantized_pairs import as_ours, drawn, numbers, pair, same_state, torch_quiet, within_a_step

import dovetail as dt

torch = pytest.importorskip("torch")
q = dt.ao.quantization


def network(lib: Any) -> Any:
    n, s = lib.nn, lib.ao.quantization
    return n.Sequential(
        s.QuantStub(), n.Conv2d(1, 4, 3), n.BatchNorm2d(4), n.ReLU(), n.Conv2d(4, 4, 3, padding=1),
        n.ReLU(), n.Flatten(), n.Linear(144, 8), n.BatchNorm1d(8), n.Linear(8, 3), s.DeQuantStub(),
    )  # fmt: skip


FUSED = [["1", "2", "3"], ["4", "5"], ["7", "8"]]


def prepared(backend: str, version: int) -> tuple[Any, Any]:
    theirs, ours = pair(network)
    with torch_quiet():
        theirs = torch.ao.quantization.fuse_modules_qat(theirs.train(), FUSED)
        theirs.qconfig = torch.ao.quantization.get_default_qat_qconfig(backend, version)
        a = torch.ao.quantization.prepare_qat(theirs)
    ours = q.fuse_modules_qat(ours.train(), FUSED)
    ours.qconfig = q.get_default_qat_qconfig(backend, version)
    return a, q.prepare_qat(ours)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("backend", ["x86", "qnnpack"])
def test_training_beside_pytorch(backend: str, version: int) -> None:
    a, b = prepared(backend, version)
    assert repr(a) == repr(b)
    assert list(a.state_dict()) == list(b.state_dict())
    optimizers = (torch.optim.SGD(a.parameters(), lr=0.1), dt.optim.SGD(b.parameters(), lr=0.1))
    for step in range(4):
        x, target = drawn(6, 1, 8, 8, seed=step), np.arange(6) % 3
        losses = []
        for lib, model, optimizer in zip((torch, dt), (a, b), optimizers, strict=True):
            optimizer.zero_grad()
            loss = lib.nn.functional.cross_entropy(model(lib.tensor(x)), lib.tensor(target))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], rel=2e-2, abs=2e-2)
        if step == 0:
            assert losses[0] == pytest.approx(losses[1], rel=1e-3)
            named = dict(b.named_parameters())
            for name, parameter in a.named_parameters():
                g, h = numbers(parameter.grad), numbers(named[name].grad)
                assert np.abs(g - h).max() <= 0.05 * max(np.abs(g).max(), 1e-2), name
    b.load_state_dict({k: dt.tensor(v.numpy()) for k, v in a.state_dict().items()})
    with torch_quiet():
        made = torch.ao.quantization.convert(a.eval())
    mine = q.convert(b.eval())
    same_state(made, mine)
    mine.load_state_dict(as_ours(made.state_dict()))
    assert repr(made) == repr(mine)
    x = drawn(6, 1, 8, 8, seed=9)
    with torch_quiet():
        wanted = made[:-1](torch.tensor(x))
    within_a_step(wanted, mine[:-1](dt.tensor(x)), steps=2)


def test_the_quantized_model_computes_what_was_trained() -> None:
    _, model = prepared("qnnpack", 1)
    x = dt.tensor(drawn(6, 1, 8, 8))
    for _ in range(3):
        model(x).square().sum().backward()
    model.eval()
    model.apply(q.disable_observer)
    wanted = model(x)
    made = q.convert(model)
    step = made[9].scale
    assert (wanted - made(x)).abs().max().item() <= 2.01 * step


def test_prepare_qat_wants_training_mode() -> None:
    for lib in (torch, dt):
        model = network(lib).eval()
        with torch_quiet(), pytest.raises(AssertionError, match="training mode"):
            lib.ao.quantization.prepare_qat(model)


def test_frozen_statistics_stay() -> None:
    _, model = prepared("x86", 1)
    intrinsic = dt.ao.nn.intrinsic.qat
    model.apply(intrinsic.freeze_bn_stats)
    model.train()
    before = numbers(model[1].bn.running_mean).copy()
    model(dt.tensor(drawn(6, 1, 8, 8)))
    assert (numbers(model[1].bn.running_mean) == before).all()
    model.apply(intrinsic.update_bn_stats)
    model(dt.tensor(drawn(6, 1, 8, 8)))
    assert not (numbers(model[1].bn.running_mean) == before).all()


def test_back_to_floats() -> None:
    _, model = prepared("x86", 1)
    model(dt.tensor(drawn(6, 1, 8, 8)))
    model.eval()
    model.apply(q.disable_observer)
    model.apply(q.disable_fake_quant)
    x = dt.tensor(drawn(6, 1, 8, 8))
    y = model[0](x)
    for part in (model[1], model[4]):
        plain = part.to_float()
        wanted = part.forward(y)
        np.testing.assert_allclose(numbers(wanted), numbers(plain(y)), rtol=1e-3, atol=1e-4)
        y = wanted


def test_tables_in_training() -> None:
    made = []
    for lib in (torch, dt):
        s = lib.ao.quantization
        with torch_quiet():
            config = s.default_embedding_qat_qconfig
            layer = lib.ao.nn.qat.Embedding(10, 12, qconfig=config)
            layer.weight.data.copy_(lib.tensor(drawn(10, 12)))
            y = layer(lib.tensor([[1, 2], [9, 1]]))
            y.square().sum().backward()
        made.append((y, layer.weight.grad))
        with torch_quiet(), pytest.raises(AssertionError, match="qscheme"):
            lib.ao.nn.qat.Embedding(10, 12, qconfig=s.default_qat_qconfig)
    for a, b in zip(*made, strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), atol=1e-5)


def test_training_for_dynamic_quantization() -> None:
    model = dt.nn.Sequential(dt.nn.Linear(6, 4)).train()
    model.qconfig = q.default_dynamic_qat_qconfig
    dynamic = dt.ao.nn.qat.dynamic.Linear
    watched = q.prepare_qat(model, {dt.nn.Linear: dynamic})
    assert type(watched[0]) is dynamic
    x = dt.tensor(drawn(5, 6))
    watched(x).sum().backward()
    assert watched[0].weight.grad is not None
    made = q.convert(watched.eval(), q.get_default_dynamic_quant_module_mappings())
    assert type(made[0]) is dt.ao.nn.quantized.dynamic.Linear
    assert (made(x) - watched(x)).abs().max().item() < 0.05
    with pytest.raises(ValueError, match="memoryless"):
        dynamic(6, 4, qconfig=q.default_qat_qconfig)


def test_quantize_qat_does_it_all() -> None:
    model = q.QuantWrapper(dt.nn.Linear(4, 4))
    model.qconfig = q.get_default_qat_qconfig()

    def train(part: Any) -> None:
        for seed in range(3):
            part(dt.tensor(drawn(5, 4, seed=seed))).sum().backward()

    made = q.quantize_qat(model, train, ())
    assert repr(made.module).startswith("QuantizedLinear")
