"""Layers with a ReLU behind them are one operator, and nobody can tell."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import nn, ops
from dovetail.autograd import gradcheck, gradgradcheck
from dovetail.nn import hooks

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 5), (3, 6)),
    "linear of one row": (lambda: nn.Linear(6, 5, bias=False), (6,)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, padding="same"), (2, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9, 8)),
    "conv2d, reflected": (
        lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect", bias=False),
        (2, 4, 9, 8),
    ),
    "conv3d of no batch": (lambda: nn.Conv3d(2, 3, 2), (2, 4, 5, 3)),
}


@pytest.fixture(params=LAYERS)
def case(request: pytest.FixtureRequest, device: dt.device) -> tuple[nn.Module, dt.Tensor]:
    make, shape = LAYERS[request.param]
    dt.manual_seed(0)
    return make().to(device), dt.randn(*shape).to(device)


def _gradients(run: Any, layer: nn.Module, x: dt.Tensor) -> list[np.ndarray]:
    layer.zero_grad()
    x = x.clone().requires_grad_(True)
    out = run(x)
    out.square().sum().backward()
    leaves = [x, *layer.parameters()]
    return [out.detach().cpu().numpy(), *(t.grad.cpu().numpy() for t in leaves)]


@pytest.mark.parametrize("inplace", [False, True])
def test_it_is_what_both_are(case: tuple[nn.Module, dt.Tensor], inplace: bool) -> None:
    layer, x = case
    together = nn.Sequential(layer, nn.ReLU(inplace))
    found = _gradients(together, layer, x)
    wanted = _gradients(lambda x: nn.functional.relu(layer(x)), layer, x)
    assert (found[0] == 0).any()
    assert (found[0] > 0).any()
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_nan_stays(case: tuple[nn.Module, dt.Tensor]) -> None:
    layer, x = case
    x = x.clone()
    x[(-1,) * x.ndim] = float("nan")
    found = nn.Sequential(layer, nn.ReLU())(x).detach().isnan()
    assert found.any()
    assert found.equal(layer(x).detach().isnan())


@pytest.mark.parametrize("name", ["linear_relu", "conv_relu"])
def test_first_and_second_derivatives(name: str) -> None:
    dt.manual_seed(2)
    shapes = {"linear_relu": ((3, 4), (2, 4), (2,)), "conv_relu": ((2, 2, 5), (3, 2, 2), (3,))}
    options: Any = {}
    if name == "conv_relu":
        options = {"stride": (2,), "padding": (1,), "dilation": (1,), "groups": 1}
    inputs = [dt.randn(*s, dtype=dt.float64, requires_grad=True) for s in shapes[name]]

    def function(*given: Any) -> Any:
        return getattr(ops, name)(*given, **options)

    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_its_node_is_called_as_the_relu_is() -> None:
    out = nn.Sequential(nn.Linear(3, 2), nn.ReLU())(dt.ones(4, 3))
    assert out.grad_fn.name() == "ReluBackward0"


def test_only_what_is_asked_for_gets_a_gradient() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.requires_grad_(False)
    out = nn.Sequential(layer, nn.ReLU())(dt.ones(4, 3))
    out.sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None


class _Louder(nn.Linear):
    def forward(self, input: dt.Tensor) -> dt.Tensor:
        return super().forward(input) + 1000


def _hooked(which: int) -> Any:
    def make(net: nn.Sequential, seen: list[Any]) -> None:
        net[which].register_forward_hook(lambda module, given, out: seen.append(out.clone()))

    return make


def _patched(net: nn.Sequential, seen: list[Any]) -> None:
    net[0].forward = lambda input: seen.append(input) or input  # type: ignore[assignment]


@pytest.mark.parametrize("change", [_hooked(0), _hooked(1), _patched])
def test_who_looks_between_sees_both(change: Any) -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    seen: list[Any] = []
    x = dt.randn(4, 3)
    middle = net[0](x).detach()
    change(net, seen)
    net(x)
    (one,) = seen
    assert one is x or one.equal(middle) or one.equal(middle.relu())


def test_hooks_of_all_modules_see_both() -> None:
    net, seen = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), []
    handle = hooks.register_module_forward_hook(
        lambda module, given, out: seen.append(type(module).__name__)
    )
    try:
        net(dt.ones(1, 3))
    finally:
        handle.remove()
    assert seen == ["Linear", "ReLU", "Sequential"]


def test_a_class_of_ones_own_is_called_by_itself() -> None:
    net = nn.Sequential(_Louder(3, 3), nn.ReLU())
    assert float(net(dt.ones(1, 3)).detach().min()) > 900


def test_what_stands_around_them_is_called_in_turn(device: dt.device) -> None:
    dt.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1),
        nn.ReLU(), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5),
    ).to(device)  # fmt: skip
    x = dt.randn(2, 1, 8, 8).to(device)
    apart = copy.deepcopy(net)
    y = x
    for module in apart:
        y = module(y)
    dt.testing.assert_close(net(x), y)


def test_lower_precision_under_autocast() -> None:
    net, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), dt.ones(2, 4)
    with dt.autocast("cpu", dtype=dt.bfloat16):
        assert net(x).dtype is dt.bfloat16


def test_mapped_over_examples() -> None:
    dt.manual_seed(0)
    for layer, shape in ((nn.Linear(4, 3), (5, 2, 4)), (nn.Conv1d(2, 3, 2), (5, 2, 2, 6))):
        net, x = nn.Sequential(layer, nn.ReLU()), dt.randn(*shape)
        each = dt.stack([net(row) for row in x])
        dt.testing.assert_close(dt.vmap(net)(x), each)


@pytest.mark.parametrize("activation", ["relu", nn.ReLU(), nn.functional.relu])
def test_transformer_layers_ask_for_it(activation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail.nn import rectified

    calls = []
    one = rectified.rectified_linear
    monkeypatch.setattr(
        rectified, "rectified_linear", lambda *given: calls.append(1) or one(*given)
    )
    dt.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation=activation)
    x = dt.randn(3, 2, 8)
    found = layer(x)
    assert calls == [1]
    layer.linear1.register_forward_hook(lambda *given: None)
    dt.testing.assert_close(layer(x), found)
    assert calls == [1], "a hook sees the layer alone"
