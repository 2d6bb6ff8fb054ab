"""Pruning (003 L2039-2103)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import nn
from dovetail.nn.utils import prune


def test_003_L2086_a_fifth_of_all_weights(run: Any) -> None:
    names = run("003 L2086")
    layers = [m for m, _ in names.prune_list]
    assert len(layers) == 6
    zeros = sum((m.weight == 0).sum().item() for m in layers)
    total = sum(m.weight.numel() for m in layers)
    assert zeros == round(0.2 * total)
    # All together, by magnitude: whatever is left is no smaller than whatever is gone.
    gone = max((m.weight_orig * (1 - m.weight_mask)).abs().max().item() for m in layers)
    kept = min(m.weight_orig[m.weight_mask == 1].abs().min().item() for m in layers)
    assert gone <= kept
    assert len({round((m.weight == 0).float().mean().item(), 3) for m in layers}) > 1


@pytest.fixture
def layer(device: Any) -> Any:
    dt.manual_seed(0)
    return nn.Conv2d(4, 6, 3).to(device)


@pytest.mark.parametrize(
    ("method", "zeros"),
    [
        (prune.RandomUnstructured(50), 50), (prune.L1Unstructured(0.25), 54),
        (prune.RandomStructured(2, dim=0), 72),
    ],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_003_L2074_methods(method: Any, zeros: int, layer: Any) -> None:
    mask = method.compute_mask(layer.weight, dt.ones_like(layer.weight))
    assert (mask == 0).sum().item() == zeros


def test_003_L2074_functions(layer: Any) -> None:
    prune.random_unstructured(layer, "weight", 30)
    assert (layer.weight == 0).sum().item() == 30
    prune.remove(layer, "weight")
    prune.l1_unstructured(layer, "bias", 2)
    assert (layer.bias == 0).sum().item() == 2
    smallest = np.argsort(np.abs(layer.bias_orig.tolist()))[:2]
    assert sorted(np.flatnonzero(np.array(layer.bias.tolist()) == 0)) == sorted(smallest)


def test_003_L2068_structured_is_whole_kernels_or_columns(layer: Any) -> None:
    prune.random_structured(layer, "weight", 2, dim=0)
    whole = (layer.weight == 0).flatten(1).all(1)
    assert whole.sum().item() == 2
    assert (layer.weight == 0).sum().item() == 2 * 4 * 9
    prune.random_structured(layer, "weight", 1, dim=3)
    columns = (layer.weight == 0).permute(3, 0, 1, 2).flatten(1).all(1)
    assert columns.sum().item() == 1


def test_003_L2053_a_rate_of_compression(device: Any) -> None:
    """The table's kind: LeNet-300-100 with 267 thousand parameters, 12 times fewer."""
    model = nn.Sequential(
        nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    ).to(device)
    weights = tuple((m, "weight") for m in model if isinstance(m, nn.Linear))
    parameters = sum(p.numel() for p in model.parameters())
    assert round(parameters / 1000) == 267
    prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=11 / 12)
    left = sum((m.weight != 0).sum().item() for m, _ in weights)
    assert parameters / left == pytest.approx(12, rel=0.01)
