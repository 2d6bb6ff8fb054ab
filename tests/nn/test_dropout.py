"""Dropout: what is dropped, how often, how the rest is scaled, and when nothing happens."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt
import dovetail.nn

F = dt.nn.functional


def ones(*shape, device="cpu", requires_grad=False):
    return dt.ones(*shape, device=device, requires_grad=requires_grad)


def test_elements(device):
    dt.manual_seed(0)
    x = ones(100, 200, device=device, requires_grad=True)
    out = F.dropout(x, 0.25)
    values = out.detach().cpu().numpy()
    assert set(np.unique(values)) == {0.0, np.float32(1 / 0.75)}
    assert abs((values == 0).mean() - 0.25) < 0.01
    # Independent: rows and columns lose alike, neighbours are not tied.
    kept = values > 0
    assert abs((kept[:, 1:] & kept[:, :-1]).mean() - 0.75**2) < 0.02
    (out * 2).sum().backward()
    assert (x.grad.cpu().numpy() == values * 2).all()


def test_every_call_draws_again_and_seeds_repeat(device):
    layer = dt.nn.Dropout(0.5).to(device)
    x = ones(64, device=device)
    dt.manual_seed(3)
    first, second = layer(x).tolist(), layer(x).tolist()
    assert first != second
    dt.manual_seed(3)
    assert layer(x).tolist() == first


@pytest.mark.parametrize(
    ("name", "shape", "channel_dims"),
    [
        ("dropout1d", (20, 30, 4), 2),
        ("dropout1d", (200, 4), 1),
        ("dropout2d", (20, 30, 3, 2), 2),
        ("dropout3d", (20, 30, 2, 2, 2), 2),
        ("dropout3d", (200, 2, 2, 2), 1),
    ],
)
def test_whole_channels(name, shape, channel_dims, device):
    dt.manual_seed(1)
    values = getattr(F, name)(ones(*shape, device=device), 0.4).cpu().numpy()
    flat = values.reshape(*shape[:channel_dims], -1)
    assert (flat == flat[..., :1]).all()
    assert set(np.unique(values)) == {0.0, np.float32(1 / 0.6)}
    assert 0.3 < (flat[..., 0] == 0).mean() < 0.5


def test_alpha_dropout_keeps_mean_and_variance(device):
    dt.manual_seed(2)
    x = dt.randn(400, 500, device=device)
    for function in (F.alpha_dropout, F.feature_alpha_dropout):
        values = function(x, 0.3, training=True).cpu().numpy()
        assert abs(values.mean()) < 0.02
        assert abs(values.std() - 1) < 0.02
        # What was dropped has one value: a · (-1.7581) + b of Klambauer et al., 2017.
        common, counts = np.unique(values, return_counts=True)
        assert abs(counts.max() / values.size - 0.3) < 0.01
        a = ((1 - 0.3) * (1 + 0.3 * 1.7580993408473766**2)) ** -0.5
        expected = -1.7580993408473766 * a * (1 - 0.3)
        assert common[counts.argmax()] == pytest.approx(expected, rel=1e-4)


def test_feature_alpha_dropout_drops_channels():
    values = F.feature_alpha_dropout(ones(30, 20, 5), 0.5, training=True).numpy()
    assert (values == values[..., :1]).all()
    assert len(np.unique(values)) == 2


LAYERS = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]
SHAPES = {"Dropout1d": (2, 3, 4), "Dropout2d": (2, 3, 4, 4), "Dropout3d": (2, 3, 4, 4, 4)}


@pytest.mark.parametrize("name", LAYERS)
def test_evaluation_changes_nothing(name):
    x = ones(*SHAPES.get(name, (4, 5)))
    layer = getattr(dt.nn, name)(0.9)
    assert layer.eval()(x).tolist() == x.tolist()


@pytest.mark.parametrize("name", LAYERS)
def test_in_place(name, device):
    x = ones(*SHAPES.get(name, (40, 5)), device=device)
    out = getattr(dt.nn, name)(0.5, inplace=True)(x)
    assert out is x
    assert len(np.unique(x.cpu().numpy())) == 2


def test_certain_drop(device):
    x = ones(3, device=device, requires_grad=True)
    out = F.dropout(x, 1.0)
    assert out.tolist() == [0.0, 0.0, 0.0]
    out.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("function", [getattr(F, name) for name in F.__all__ if "dropout" in name])
def test_chances(function):
    for wrong in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"between 0 and 1, but got {wrong}"):
            function(ones(2, 3, 4), wrong)


def test_dims_are_named():
    with pytest.raises(RuntimeError, match="dropout1d: Expected 2D or 3D input, but received a 4D"):
        F.dropout1d(ones(1, 1, 1, 1))
    with pytest.warns(UserWarning, match="dropout2d: Received a 5-D input"):
        F.dropout2d(ones(1, 1, 1, 1, 1))
    with pytest.warns(UserWarning, match=r"interpreted as shape \(N, C, L\)"):
        F.dropout2d(ones(1, 1, 1))
    with pytest.warns(UserWarning, match="dropout3d: Received a 3-D input"):
        F.dropout3d(ones(1, 1, 1))


def test_rrelu_draws_slopes(device):
    dt.manual_seed(4)
    x = -ones(100, 100, device=device)
    slopes = -F.rrelu(x, 0.1, 0.4, training=True).cpu().numpy()
    assert slopes.min() >= 0.1
    assert slopes.max() <= 0.4
    assert abs(slopes.mean() - 0.25) < 0.01
    assert F.rrelu(x, 0.1, 0.4).cpu().numpy() == pytest.approx(-0.25)
    assert F.rrelu(-x, training=True).tolist() == (-x).tolist()
    assert F.rrelu_(x, 0.2, 0.2) is x
    assert x.cpu().numpy() == pytest.approx(-0.2)


def test_gumbel_softmax(device):
    dt.manual_seed(5)
    chances = np.array([0.1, 0.2, 0.7])
    logits = dt.from_numpy(np.log(chances)).to(device).expand(20000, 3)
    soft = F.gumbel_softmax(logits, tau=0.5)
    assert soft.sum(-1).cpu().numpy() == pytest.approx(1)
    hard = F.gumbel_softmax(logits, hard=True).cpu().numpy()
    assert set(np.unique(hard)) == {0.0, 1.0}
    assert hard.mean(0) == pytest.approx(chances, abs=0.01)
    x = dt.zeros(2, 3, device=device, requires_grad=True)
    F.gumbel_softmax(x, hard=True)[:, 0].sum().backward()
    assert abs(x.grad.sum().item()) < 1e-6
    assert abs(x.grad).sum().item() > 0
