"""Initialisers: the formulas, checked on the values they give."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dovetail as dt
import dovetail.nn
from dovetail.nn import init


def generator(device, seed=0):
    return dt.Generator(device).manual_seed(seed)


def drawn(function, *args, device="cpu", shape=(200, 100), dtype=dt.float64, **options):
    values = dt.empty(*shape, device=device, dtype=dtype)
    options.setdefault("generator", generator(device))
    result = function(values, *args, **options)
    assert result is values
    return values.cpu().numpy()


def assert_uniform(values, low, high):
    assert values.min() >= low
    assert values.max() <= high
    spread = high - low
    assert abs(values.mean() - (low + high) / 2) < spread * 0.01
    assert abs(values.std() - spread / math.sqrt(12)) < spread * 0.01


def assert_normal(values, mean, std):
    assert abs(values.mean() - mean) < 0.03 * std
    assert abs(values.std() - std) < 0.02 * std
    assert np.abs(values - mean).max() > 3 * std


def test_uniform(device):
    assert_uniform(drawn(init.uniform_, device=device), 0, 1)
    assert_uniform(drawn(init.uniform_, -2, 3, device=device), -2, 3)


def test_normal(device):
    assert_normal(drawn(init.normal_, device=device), 0, 1)
    assert_normal(drawn(init.normal_, 5, 0.5, device=device), 5, 0.5)


def test_same_seed_same_values(device):
    first = drawn(init.normal_, device=device)
    assert (drawn(init.normal_, device=device) == first).all()
    assert (drawn(init.normal_, device=device, generator=generator(device, 1)) != first).any()


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"), [(0, 1, -2, 2), (1, 2, -1, 2), (0, 1, 1.5, 3.0), (0, 1, -0.2, 0.1)]
)
def test_trunc_normal(mean, std, a, b, device):
    values = drawn(init.trunc_normal_, mean, std, a, b, device=device)
    assert values.min() >= a
    assert values.max() <= b
    # Moments of the truncated normal distribution (Johnson, Kotz and Balakrishnan, 1994).
    low, high = (a - mean) / std, (b - mean) / std
    density = [math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in (low, high)]
    mass = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    shift = (density[0] - density[1]) / mass
    spread = 1 + (low * density[0] - high * density[1]) / mass - shift**2
    assert abs(values.mean() - (mean + std * shift)) < 0.02 * (b - a)
    assert abs(values.std() - std * math.sqrt(spread)) < 0.02 * (b - a)


def test_trunc_normal_warns_far_from_the_mean(device):
    with pytest.warns(UserWarning, match="mean is more than 2 std"):
        values = drawn(
            init.trunc_normal_, 0, 1, 3, 4, device=device, shape=(10, 10), dtype=dt.float32
        )
    assert values.min() >= 3


def test_constants(device):
    x = dt.empty(2, 3, device=device)
    assert init.constant_(x, 0.25) is x
    assert x.tolist() == [[0.25] * 3] * 2


def test_ones_zeros_eye(device):
    x = dt.empty(2, 3, device=device)
    assert init.ones_(x).tolist() == [[1.0] * 3] * 2
    assert init.zeros_(x).tolist() == [[0.0] * 3] * 2
    assert init.eye_(x) is x
    assert x.tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    with pytest.raises(ValueError, match="Only tensors with 2 dimensions"):
        init.eye_(dt.empty(2))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_dirac_passes_channels_on(dims, groups, device):
    weight = dt.empty(4, 4 // groups, *(3,) * dims, device=device)
    init.dirac_(weight, groups)
    assert weight.sum().item() == 4
    x = dt.arange(4 * 5**dims).float().view(1, 4, *(5,) * dims).to(device)
    conv = getattr(dt.nn.functional, f"conv{dims}d")
    assert conv(x, weight, padding=1, groups=groups).tolist() == x.tolist()


def test_dirac_refuses():
    with pytest.raises(ValueError, match="3, 4, or 5 dimensions"):
        init.dirac_(dt.empty(2, 2))
    with pytest.raises(ValueError, match="divisible by groups"):
        init.dirac_(dt.empty(3, 2, 1), 2)


def test_xavier(device):
    for shape, total in (((200, 100), 300), ((40, 20, 5, 5), 60 * 25)):
        bound = 3 * math.sqrt(6 / total)
        assert_uniform(drawn(init.xavier_uniform_, 3.0, device=device, shape=shape), -bound, bound)
        std = 3 * math.sqrt(2 / total)
        assert_normal(drawn(init.xavier_normal_, 3.0, device=device, shape=shape), 0, std)


def test_kaiming(device):
    for mode, fan in (("fan_in", 20 * 25), ("fan_out", 40 * 25)):
        options = {"mode": mode, "nonlinearity": "relu", "shape": (40, 20, 5, 5), "device": device}
        std = math.sqrt(2 / fan)
        assert_normal(drawn(init.kaiming_normal_, **options), 0, std)
        bound = std * math.sqrt(3)
        assert_uniform(drawn(init.kaiming_uniform_, **options), -bound, bound)
    bound = math.sqrt(6 / (1 + 0.25) / 100)
    assert_uniform(drawn(init.kaiming_uniform_, 0.5, device=device), -bound, bound)


def test_fans_need_two_dims():
    for function in (init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_):
        with pytest.raises(ValueError, match="fewer than 2 dimensions"):
            function(dt.empty(3))
    with pytest.raises(ValueError, match="Mode fan_up not supported"):
        init.kaiming_normal_(dt.empty(2, 2), mode="fan_up")
    with pytest.warns(UserWarning, match="zero-element tensors is a no-op"):
        init.kaiming_uniform_(dt.empty(0, 2))


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 2, 3)])
def test_orthogonal(shape, device):
    values = drawn(init.orthogonal_, 2.0, device=device, shape=shape).reshape(shape[0], -1)
    if shape[0] > values.shape[1]:
        values = values.T
    np.testing.assert_allclose(values @ values.T, 4 * np.eye(len(values)), atol=1e-12)


def test_orthogonal_prefers_no_direction(device):
    """Every element of a matrix drawn uniformly has mean 0 and variance 1 / n."""
    random = generator(device)
    drawings = np.array(
        [init.orthogonal_(dt.empty(3, 3, device=device), generator=random).cpu().numpy()
         for _ in range(500)]
    )  # fmt: skip
    assert np.abs(drawings.mean(0)).max() < 4 / math.sqrt(3 * 500)
    assert np.abs(drawings.var(0) - 1 / 3).max() < 0.08


def test_orthogonal_refuses_vectors():
    with pytest.raises(ValueError, match="2 or more dimensions"):
        init.orthogonal_(dt.empty(3))


def test_sparse(device):
    values = drawn(init.sparse_, 0.25, 2.0, device=device, shape=(40, 100))
    assert ((values == 0).sum(0) == 10).all()
    assert abs(values[values != 0].std() - 2.0) < 0.1
    assert len({tuple(np.flatnonzero(column == 0)) for column in values.T}) > 90
    with pytest.raises(ValueError, match="2 dimensions"):
        init.sparse_(dt.empty(2), 0.1)


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1),
        ("conv_transpose3d", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / (1 + 1e-4))),
        ("leaky_relu", 1, 1),
        ("selu", None, 0.75),
    ],
)
def test_gain(name, param, gain):
    assert init.calculate_gain(name, param) == pytest.approx(gain)


def test_gain_refuses():
    with pytest.raises(ValueError, match="Unsupported nonlinearity maxout"):
        init.calculate_gain("maxout")
    with pytest.raises(ValueError, match="negative_slope True not a valid number"):
        init.calculate_gain("leaky_relu", True)


def test_parameters_are_filled_without_history(device):
    parameter = dt.nn.Parameter(dt.empty(3, 3, device=device))
    for function in (init.ones_, init.normal_, init.xavier_uniform_, init.orthogonal_, init.eye_):
        assert function(parameter) is parameter
        assert parameter.is_leaf
        assert parameter.requires_grad


def test_meta_tensors_are_left_alone():
    weight = dt.empty(4, 4, device="meta")
    for function in (init.trunc_normal_, init.orthogonal_, init.eye_, init.uniform_, init.ones_):
        assert function(weight) is weight


def test_old_names_warn():
    with pytest.warns(FutureWarning, match=r"`nn.init.constant` is now deprecated in favor of"):
        init.constant(dt.empty(1), 1.0)


# Every layer's start, in bounds of its formula.


def test_start_of_layers(device):
    linear = dt.nn.Linear(100, 200, device=device, dtype=dt.float64)
    assert_uniform(linear.weight.detach().cpu().numpy(), -0.1, 0.1)
    assert abs(linear.bias.detach().cpu().numpy()).max() <= 0.1
    conv = dt.nn.Conv2d(8, 60, 5, groups=2, device=device, dtype=dt.float64)
    assert_uniform(conv.weight.detach().cpu().numpy(), -0.1, 0.1)
    assert abs(conv.bias.detach().cpu().numpy()).max() <= 0.1
    table = dt.nn.Embedding(200, 100, device=device, dtype=dt.float64)
    assert_normal(table.weight.detach().cpu().numpy(), 0, 1)
    bilinear = dt.nn.Bilinear(16, 30, 40, device=device, dtype=dt.float64)
    assert_uniform(bilinear.weight.detach().cpu().numpy(), -0.25, 0.25)


def test_start_of_a_layer_repeats_with_the_seed():
    def weights():
        dt.manual_seed(7)
        layer = dt.nn.Linear(5, 5)
        return layer.weight.tolist(), layer.bias.tolist()

    assert weights() == weights()
