"""Averages of weights beside PyTorch's (``optim.swa_utils``)."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")


def model(lib, device="cpu", dtype="float64"):
    """Linear, batch norm, linear, with the same numbers in both libraries."""
    made = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4), lib.nn.Linear(4, 2))
    made = made.to(device).to(getattr(lib, dtype))
    fill(lib, made, 0)
    return made


def fill(lib, module, seed):
    rng = np.random.default_rng(seed)
    with lib.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                values = rng.uniform(0.5, 1.5, tuple(tensor.shape))
            else:
                values = np.asarray(seed)
            tensor.copy_(lib.from_numpy(np.asarray(values)))


def halfway(average, param, count):
    return (average + param) / 2


def halfway_many(averages, params, count):
    for average, param in zip(averages, params, strict=True):
        average.mul_(0.5).add_(param, alpha=0.5)


WAYS = {
    "mean": lambda u: {},
    "with buffers": lambda u: {"use_buffers": True},
    "own": lambda u: {"avg_fn": halfway},
    "own, many": lambda u: {"multi_avg_fn": halfway_many},
    "exponential": lambda u: {"avg_fn": u.get_ema_avg_fn(0.9)},
    "exponential, many": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9)},
    "exponential, buffers": lambda u: {
        "multi_avg_fn": u.get_ema_multi_avg_fn(0.5), "use_buffers": True
    },
    "mean, many": lambda u: {"multi_avg_fn": u.get_swa_multi_avg_fn()},
    "mean, stated": lambda u: {"avg_fn": u.get_swa_avg_fn(), "use_buffers": True},
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", WAYS)
def test_averages(name, dtype, device):
    def run(lib, device="cpu"):
        utils = lib.optim.swa_utils
        source = model(lib, device, dtype)
        average = utils.AveragedModel(source, **WAYS[name](utils))
        for seed in range(1, 5):
            fill(lib, source, seed)
            average.update_parameters(source)
        x = lib.ones(2, 3, dtype=getattr(lib, dtype), device=device)
        return average.eval(), average(x).detach().cpu().numpy()

    (mine, a), (theirs, b) = run(dt, device), run(torch)
    close = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(a, b, rtol=close, atol=close)
    assert mine.n_averaged.item() == 4
    state, wanted = mine.state_dict(), theirs.state_dict()
    assert list(state) == list(wanted)
    for key, value in wanted.items():
        np.testing.assert_allclose(state[key].cpu().numpy(), value.numpy(), rtol=close)
        assert str(state[key].dtype) == str(value.dtype)


@pytest.mark.parametrize("batches", ["tensors", "pairs", "nothing"])
def test_batch_statistics_are_measured_anew(batches, device):
    def run(lib, device="cpu"):
        rng = np.random.default_rng(3)
        net = model(lib, device).eval()
        data = [lib.from_numpy(rng.standard_normal((4, 3))) for _ in range(3)]
        given = {"tensors": data, "pairs": [(x, 0) for x in data], "nothing": []}[batches]
        lib.optim.swa_utils.update_bn(given, net, device=device)
        assert not net.training
        norm = net[1]
        return [*norm.running_mean.tolist(), *norm.running_var.tolist(), norm.momentum]

    assert run(dt, device) == pytest.approx(run(torch))


def test_models_without_batch_norm_are_not_run():
    calls = []
    net = dt.nn.Linear(3, 2)
    net.register_forward_hook(lambda *args: calls.append(1))
    dt.optim.swa_utils.update_bn([dt.ones(1, 3)], net)
    assert calls == []


def test_errors_and_devices(device):
    utils = dt.optim.swa_utils
    for function in (utils.get_ema_avg_fn, utils.get_ema_multi_avg_fn):
        with pytest.raises(ValueError, match=r"Invalid decay value 1\.5 provided"):
            function(1.5)
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        utils.AveragedModel(dt.nn.Linear(1, 1), avg_fn=halfway, multi_avg_fn=halfway_many)
    source = dt.nn.Linear(2, 1)
    average = utils.AveragedModel(source, device=device)
    average.update_parameters(source)
    average.update_parameters(source)
    assert average.module.weight.device == device == average.n_averaged.device
    np.testing.assert_allclose(average.module.weight.tolist(), source.weight.tolist(), rtol=1e-6)


def test_integers_are_averaged_too():
    for lib in (dt, torch):
        many = lib.optim.swa_utils.get_ema_multi_avg_fn(0.5)
        x = lib.tensor([10])
        many([x], [lib.tensor([20])], lib.tensor(1))
        assert x.tolist() == [15]
