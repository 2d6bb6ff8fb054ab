"""Initialisation (003 L1750-1967)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import nn


def test_003_L1773_a_linear_layers_own_and_zeros(run: Any) -> None:
    names = run("003 L1773")
    assert names.drawn.abs().max().item() <= math.sqrt(1 / 3)
    assert names.drawn.abs().max().item() > 0.9 * math.sqrt(1 / 3)
    assert names.my_layer.bias.abs().max().item() <= math.sqrt(1 / 3)
    assert (names.my_layer.weight == 0).all().item()


def test_003_L1795_the_table(device: Any) -> None:
    dt.manual_seed(0)
    w = dt.empty(300, 200, device=device)
    init = nn.init
    assert (init.constant_(w, 0.25) == 0.25).all().item()
    assert (init.zeros_(w) == 0).all().item()
    assert (init.ones_(w) == 1).all().item()
    assert init.eye_(w)[:3, :3].tolist() == np.eye(3).tolist()
    columns = init.orthogonal_(w)
    product = np.array((columns.t() @ columns).tolist())
    np.testing.assert_allclose(product, np.eye(200), atol=1e-5)
    for fill, low, high in (
        (lambda t: init.uniform_(t, -2, 3), -2, 3),
        (init.xavier_uniform_, -math.sqrt(6 / 500), math.sqrt(6 / 500)),
        (init.kaiming_uniform_, -math.sqrt(6 / 200), math.sqrt(6 / 200)),
    ):
        drawn = fill(w)
        assert low <= drawn.min().item() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < drawn.max().item() <= high
    for fill, std in (
        (lambda t: init.normal_(t, 0, 0.5), 0.5),
        (init.xavier_normal_, math.sqrt(2 / 500)),
        (init.kaiming_normal_, math.sqrt(2 / 200)),
    ):
        drawn = fill(w)
        assert drawn.std().item() == pytest.approx(std, rel=0.02)
        assert abs(drawn.mean().item()) < 0.02 * std


def test_003_L1821_bounds(run: Any) -> None:
    names = run("003 L1821")
    assert names.w.abs().max().item() <= math.sqrt(6 / 200)


def variances(fill: Any, device: Any) -> tuple[list[float], list[float]]:
    """Of activations, forward, and of gradients, backward, through ten layers with tanh."""
    dt.manual_seed(0)
    x = dt.randn(256, 128, device=device) * 0.1  # where tanh is nearly the identity
    states, forward = [], []
    for _ in range(10):
        w = fill(dt.empty(128, 128, device=device))
        x = (x @ w.t()).requires_grad_()
        x.retain_grad()
        states.append(x)
        x = x.tanh()
        forward.append(x.var().item())
    (x * dt.randn(256, 128, device=device)).sum().backward()
    return forward, [s.grad.var().item() for s in states]


def test_003_L1811_xavier_keeps_variances_and_another_does_not(device: Any) -> None:
    for kept in variances(nn.init.xavier_uniform_, device):
        assert 0.5 < kept[-1] / kept[0] < 2
    # U(-1/sqrt(n), 1/sqrt(n)), what Glorot and Bengio call the standard one: a third per layer.
    lost, grown = variances(lambda w: nn.init.uniform_(w, -(128**-0.5), 128**-0.5), device)
    assert lost[-1] / lost[0] < 1e-3
    assert grown[0] / grown[-1] < 1e-3


def test_003_L1881_apply(run: Any) -> None:
    names = run("003 L1881")
    weight = names.model.layers[0].weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 27), rel=0.1)
    assert (names.model.layers[1].weight == 1).all().item()


def test_003_L1932_modules(run: Any) -> None:
    names = run("003 L1932")
    model = names.myModule(3, 64)
    assert model.layers[0].weight.std().item() == pytest.approx(math.sqrt(2 / 27), rel=0.1)
    order = [type(m).__name__ for m in model.modules()]
    assert order == ["myModule", "Sequential", "Conv2d", "BatchNorm2d", "ReLU"]


def test_003_L1955_an_instance_and_its_output(run: Any) -> None:
    names = run("003 L1955")
    assert names.ret.shape == (1, 64, 30, 30)
    assert names.ret.min().item() == 0
