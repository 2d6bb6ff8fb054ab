"""Modules (003 L1253-1259, L1387-1734): listings of the doc's 4.1 and 4.2, and the tables."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import nn
from dovetail.nn import functional as F


def test_003_L1253_a_picture(run_on_host: Any) -> None:
    names = run_on_host("003 L1253")
    assert names.image.convert("L").mode == "L"
    assert names.image.resize((4, 5)).size == (4, 5)
    names.image.save("again.jpg", "JPEG")
    with names.Image.open("again.jpg") as again:
        assert type(again).__name__ == "JpegImageFile"


def test_003_L1387_a_plot(run_on_host: Any) -> None:
    names = run_on_host("003 L1387")
    [line] = names.plt.gca().lines
    np.testing.assert_allclose(line.get_ydata(), np.cos([1, 2]))


def test_003_L1430_a_module_of_ones_own(run: Any) -> None:
    names = run("003 L1430")
    model = names.myModule()
    y = model(dt.randn(1, 3, 8, 8))
    assert y.shape == (1, 64, 6, 6)
    assert y.min().item() == 0
    y.sum().backward()
    assert model.conv.weight.grad.shape == (64, 3, 3, 3)


@pytest.mark.parametrize("place", ["003 L1477", "003 L1511"])
def test_003_L1477_L1511_two_ways_to_a_parameter(run: Any, place: str) -> None:
    model = run(place).myModule()
    assert isinstance(model.weight, nn.Parameter)
    assert list(model.state_dict()) == ["weight"]
    x = dt.tensor([[1.0, 2.0]])
    expected = np.float32([[1, 2]]) @ np.array(model.weight.tolist(), np.float32)
    np.testing.assert_allclose(model(x).tolist(), expected, rtol=1e-5)


def test_003_L1526_a_buffer(run: Any, device: Any) -> None:
    names = run("003 L1526")
    model = names.myModule()
    assert model(dt.tensor([[1.0, 2.0]])).tolist() == [[3, 3]]
    assert not model.my_buffer.requires_grad
    model.register_buffer("passing", dt.ones(1), persistent=False)
    assert list(model.state_dict()) == ["my_buffer"]
    model.to(dt.float64)
    assert [b.dtype for b in model.buffers()] == [dt.float64] * 2


def test_003_L1452_properties_and_methods(device: Any) -> None:
    """The two tables, on a network of two layers."""
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).to(device)
    assert len(list(model.parameters())) == 4
    assert len(list(model.buffers())) == 3
    assert len(model.state_dict()) == 7
    model.add_module("act", nn.ReLU())
    assert type(model.act) is nn.ReLU
    model[0].register_parameter("extra", nn.Parameter(dt.ones(1, device=device)))
    model(dt.randn(4, 2, device=device)).sum().backward()
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    model[0].requires_grad_(False)
    assert [p.requires_grad for p in model.parameters()] == [False] * 3 + [True] * 2
    model.type(dt.float64)
    assert model[0].weight.dtype is dt.float64
    model.to(dt.ones(1, device=device))  # as this one: float32
    assert model[1].running_mean.dtype is dt.float32
    assert model.eval().training is model[1].training is False
    assert model.train().training is model[1].training is True


def test_003_L1568_a_convolution_as_a_module(run: Any) -> None:
    """The signature that the text prints."""
    assert run("003 L1568").myModule()(dt.zeros(1, 3, 5, 5)).shape == (1, 64, 3, 3)
    own = list(inspect.signature(nn.Conv2d).parameters.items())
    assert " ".join(name for name, _ in own) == (
        "in_channels out_channels kernel_size stride padding dilation groups bias padding_mode "
        "device dtype"
    )
    assert [p.default for _, p in own[3:]] == [1, 0, 1, 1, True, "zeros", None, None]


def test_003_L1572_a_convolution_as_a_function(run: Any) -> None:
    names = run("003 L1572")
    model, x = names.myModule(), dt.randn(1, 3, 4, 4)
    y = model(x).detach()
    window = np.array(x.tolist())[0, :, 1:4, 0:3]
    expected = (window * np.array(model.weight.tolist())).sum((1, 2, 3))
    expected += np.array(model.bias.tolist())
    np.testing.assert_allclose(y[0, :, 1, 0].tolist(), expected, rtol=1e-4, atol=1e-4)
    own = list(inspect.signature(F.conv2d).parameters.items())
    names_of = " ".join(name for name, _ in own)
    assert names_of == "input weight bias stride padding dilation groups"
    assert [p.default for _, p in own[2:]] == [None, 1, 0, 1, 1]


LAYERS: dict[str, tuple[tuple[Any, ...], tuple[int, ...], tuple[int, ...]]] = {
    **{f"Conv{n}d": ((2, 4, 3), (1, 2, *[5] * n), (1, 4, *[3] * n)) for n in (1, 2, 3)},
    **{f"MaxPool{n}d": ((2,), (1, 2, *[4] * n), (1, 2, *[2] * n)) for n in (1, 2, 3)},
    **{f"AvgPool{n}d": ((2,), (1, 2, *[4] * n), (1, 2, *[2] * n)) for n in (1, 2, 3)},
    **dict.fromkeys(("ELU", "ReLU", "SELU", "Sigmoid", "Tanh"), ((), (2, 3), (2, 3))),
    **{f"BatchNorm{n}d": ((2,), (3, 2, *[4] * n), (3, 2, *[4] * n)) for n in (1, 2, 3)},
    **{f"InstanceNorm{n}d": ((2,), (3, 2, *[4] * n), (3, 2, *[4] * n)) for n in (1, 2, 3)},
    **dict.fromkeys(("RNN", "LSTM", "GRU"), ((3, 4), (5, 2, 3), (5, 2, 4))),
    "Linear": ((3, 4), (2, 3), (2, 4)),
}
"""The text's table: arguments, shape in, shape out."""


@pytest.mark.parametrize("name", LAYERS)
def test_003_L1540_layers_are_pytorchs(name: str, device: Any) -> None:
    torch = pytest.importorskip("torch")
    arguments, shape, out = LAYERS[name]
    theirs = getattr(torch.nn, name)(*arguments)
    mine = getattr(nn, name)(*arguments)
    mine.load_state_dict({k: dt.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    mine.to(device)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    y, expected = mine(dt.tensor(x, device=device)), theirs(torch.tensor(x))
    if isinstance(expected, tuple):
        y, expected = y[0], expected[0]
    assert tuple(y.shape) == out
    np.testing.assert_allclose(y.tolist(), expected.tolist(), rtol=1e-4, atol=1e-5)


FUNCTIONS = {
    **{f"conv{n}d": ((1, 2, *[5] * n), (4, 2, *[3] * n)) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": ((1, 2, *[3] * n), (2, 3, *[3] * n)) for n in (1, 2, 3)},
    **{f"{kind}_pool{n}d": ((1, 2, *[4] * n), 2) for kind in ("avg", "max") for n in (1, 2, 3)},
    "threshold": ((2, 3), 0.1, 20.0), "relu": ((2, 3),), "elu": ((2, 3),), "softmax": ((2, 3), 1),
    "tanh": ((2, 3),), "mse_loss": ((2, 3), (2, 3)),
}  # fmt: skip
"""The text's table: shapes of tensors (tuples), and other arguments."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_003_L1555_functions_are_pytorchs(name: str, device: Any) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    given = [
        rng.standard_normal(a).astype(np.float32) if isinstance(a, tuple) else a
        for a in FUNCTIONS[name]
    ]

    def call(library: Any, **where: Any) -> Any:
        arguments = [library.tensor(a, **where) if isinstance(a, np.ndarray) else a for a in given]
        return getattr(library.nn.functional, name)(*arguments).tolist()

    np.testing.assert_allclose(call(dt, device=device), call(torch), rtol=1e-4, atol=1e-5)


def test_003_L1559_cross_entropy(device: Any) -> None:
    x = np.array([[1.0, 2, 3], [0, 0, 5]])
    mine = F.cross_entropy(dt.tensor(x, device=device), dt.tensor([2, 0], device=device))
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    assert mine.item() == pytest.approx(-(log_p[0, 2] + log_p[1, 0]) / 2)


def test_003_L1614_a_sequence_inside(run: Any) -> None:
    model = run("003 L1614").myModule()
    assert model(dt.randn(1, 3, 5, 5)).min().item() >= 0
    assert list(model.state_dict()) == ["features.0.weight", "features.0.bias"]


def test_003_L1630_a_part_of_a_sequence(run: Any) -> None:
    names = run("003 L1630")
    assert len(names.conv1) == 1
    assert names.conv2[2] is names.model.layers[2]
    x = dt.randn(1, 3, 6, 6)
    whole = names.model(x)
    assert (F.relu(names.conv2(x)) == whole).all().item()
    assert whole.shape == (1, 192, 2, 2)


def test_003_L1709_batch_norms_in_training_and_in_test(run: Any) -> None:
    names = run("003 L1709")
    np.testing.assert_allclose(names.y.tolist(), names.by_hand.tolist(), rtol=1e-4, atol=1e-5)
    # What it kept: a tenth of this batch's, in z; Bessel's correction in the variance.
    x = np.array(names.x.tolist())
    mean = 0.1 * x.mean((0, 2, 3))
    var = 0.9 + 0.1 * x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(names.bn.running_mean.tolist(), mean, rtol=1e-4)
    np.testing.assert_allclose(names.bn.running_var.tolist(), var, rtol=1e-4)
    expected = (x - mean[:, None, None]) / np.sqrt(var + 1e-5)[:, None, None]
    np.testing.assert_allclose(names.z.tolist(), expected, rtol=1e-3, atol=1e-4)
