"""``gradient`` beside PyTorch: spacings, edges, two orders of derivatives, errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, both_raise, torch

import dovetail as dt

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5))
POINTS = np.array([0.0, 1.0, 2.5, 3.0])
COLUMNS = np.array([-1.0, 0.0, 0.5, 2.0, 5.0])

GRADIENTS: dict[str, Any] = {
    "plain": lambda m, x, p, q: m.gradient(x),
    "one step": lambda m, x, p, q: m.gradient(x, spacing=2.5),
    "steps": lambda m, x, p, q: m.gradient(x, spacing=[2.0, 0.5]),
    "one dim": lambda m, x, p, q: m.gradient(x, dim=-1),
    "turned dims": lambda m, x, p, q: m.gradient(x, spacing=(3.0, 0.25), dim=(1, 0)),
    "no dims": lambda m, x, p, q: m.gradient(x, dim=()),
    "second order edges": lambda m, x, p, q: m.gradient(x, spacing=2.0, edge_order=2),
    "a tensor's step": lambda m, x, p, q: m.gradient(x, spacing=p[1].detach() * 2),
    "points": lambda m, x, p, q: m.gradient(x, spacing=(p, q)),
    "points, second order edges": lambda m, x, p, q: m.gradient(x, spacing=(p, q), edge_order=2),
    "points of one dim": lambda m, x, p, q: m.gradient(x, spacing=(q,), dim=1),
    "two rows": lambda m, x, p, q: m.gradient(x[:2], dim=0),
    "three rows": lambda m, x, p, q: m.gradient(x[:3], dim=0, edge_order=2),
    "two points": lambda m, x, p, q: m.gradient(x[:2], spacing=(p[:2],), dim=0),
    "a number": lambda m, x, p, q: m.gradient(x[0, 0]),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name: str, device: Any) -> None:
    function = GRADIENTS[name]
    beside_torch(
        lambda *a: function(dt, *a), lambda *a: function(torch, *a), X, POINTS, COLUMNS,
        dtype="float64", device=device,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["int64", "int32", "bfloat16", "float16"])
def test_gradient_of_other_dtypes(kind: str, device: Any) -> None:
    values = RNG.integers(-9, 9, (4, 3))
    ours = dt.gradient(dt.tensor(values, dtype=getattr(dt, kind), device=device), spacing=2)
    theirs = torch.gradient(torch.tensor(values, dtype=getattr(torch, kind)), spacing=2)
    for a, b in zip(ours, theirs, strict=True):
        assert str(a.dtype) == str(b.dtype)
        assert a.float().tolist() == b.float().tolist()


WRONG: dict[str, Any] = {
    "edge order": lambda m, x: m.gradient(x, edge_order=3),
    "too short": lambda m, x: m.gradient(x[:1]),
    "too short for second order": lambda m, x: m.gradient(x[:2], edge_order=2),
    "dim": lambda m, x: m.gradient(x, dim=2),
    "dim twice": lambda m, x: m.gradient(x, dim=(0, 0)),
    "steps": lambda m, x: m.gradient(x, spacing=[1.0]),
    "steps for dims": lambda m, x: m.gradient(x, spacing=[1.0, 2.0], dim=1),
    "points of two dims": lambda m, x: m.gradient(x, spacing=(x,), dim=0),
    "number of points": lambda m, x: m.gradient(x, spacing=(x[0],), dim=0),
    "uint8": lambda m, x: m.gradient((x * 0).to(m.uint8)),
    "bool": lambda m, x: m.gradient(x > 0),
}


@pytest.mark.parametrize("name", WRONG)
def test_gradient_refuses(name: str, device: Any) -> None:
    both_raise(WRONG[name], X, device=device, text=name not in ("number of points", "bool"))


def test_gradient_takes_a_tensor_of_steps_in_a_tuple_only(device: Any) -> None:
    with pytest.raises(TypeError, match="not a 1-D Tensor"):
        dt.gradient(dt.tensor(X, device=device), spacing=dt.tensor([1.0, 2.0], device=device))


def test_correlation_of_one_variable(device: Any) -> None:
    for x in (X[0], X[:1], X[0, 0] * np.ones(3)):
        ours, theirs = dt.corrcoef(dt.tensor(x, device=device)), torch.corrcoef(torch.tensor(x))
        np.testing.assert_allclose(ours.cpu().numpy(), theirs.numpy())
        assert tuple(ours.shape) == tuple(theirs.shape)


def test_covariance_without_freedom_warns() -> None:
    x, w = dt.tensor(X), dt.tensor([1, 2, 1, 0, 1])
    for named in ({}, {"fweights": w}, {"aweights": w.double()}):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            made = dt.cov(x, correction=9, **named)
        assert any("degrees of freedom is <= 0" in str(each.message) for each in seen)
        assert np.isinf(made.cpu().numpy()).all()


COVARIANCES: dict[str, Any] = {
    "dims": lambda m, x: m.cov(x.reshape(1, 4, 5)),
    "bool": lambda m, x: m.cov(x > 0),
    "fweights dims": lambda m, x: m.cov(x, fweights=x[:1].to(m.int64)),
    "fweights dtype": lambda m, x: m.cov(x, fweights=x[0]),
    "fweights size": lambda m, x: m.cov(x, fweights=x[0, :2].to(m.int64)),
    "aweights dims": lambda m, x: m.cov(x, aweights=x),
    "aweights dtype": lambda m, x: m.cov(x, aweights=x[0].to(m.int64)),
    "aweights size": lambda m, x: m.cov(x, aweights=x[0, :2]),
}
WEIGHTS: dict[str, Any] = {
    "fweights below 0": lambda m, x: m.cov(x, fweights=x[0].to(m.int64) * 0 - 1),
    "aweights below 0": lambda m, x: m.cov(x, aweights=-x[0].abs()),
    "aweights of 0": lambda m, x: m.cov(x, aweights=x[0] * 0),
    "fweights of 0": lambda m, x: m.cov(x, fweights=x[0].to(m.int64) * 0),
    "weights that cancel": lambda m, x: m.cov(
        x, fweights=x[0].to(m.int64) * 0, aweights=x[0] * 0 + 1
    ),
}
"""What is looked at where the values are in host memory."""


@pytest.mark.parametrize("name", COVARIANCES)
def test_cov_refuses(name: str, device: Any) -> None:
    both_raise(COVARIANCES[name], X, device=device)


@pytest.mark.parametrize("name", WEIGHTS)
def test_cov_refuses_weights(name: str) -> None:
    both_raise(WEIGHTS[name], X)


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan")])
def test_quantile_looks_at_fractions(q: float) -> None:
    with pytest.raises(RuntimeError, match="q values must be in the range"):
        dt.tensor(X).quantile(dt.tensor([0.5, q], dtype=dt.float64))


def test_quantile_in_other_forms(device: Any) -> None:
    x = dt.tensor(X, device=device)
    with pytest.raises(RuntimeError, match="too large"):
        dt.zeros(1, device=device).expand((1 << 24) + 1).quantile(0.5)
    assert x.quantile(0.5, axis=1, keepdims=True).shape == (4, 1)
    out = dt.empty(5, dtype=dt.float64, device=device)
    assert dt.quantile(x, 0.25, 0, out=out) is out
    np.testing.assert_allclose(out.cpu().numpy(), np.quantile(X, 0.25, 0))


@pytest.mark.parametrize("mode", ["use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"])
def test_distances_of_equal_points_are_finite(mode: str, device: Any) -> None:
    points = dt.tensor(np.random.default_rng(3).random((30, 7)), device=device)
    assert not dt.cdist(points, points, compute_mode=mode).isnan().any()
    x = dt.tensor([[1.0, 2.0], [1.0, 2.0]], dtype=dt.float64, device=device, requires_grad=True)
    (first,) = dt.autograd.grad(dt.cdist(x, x, compute_mode=mode).sum(), x, create_graph=True)
    (second,) = dt.autograd.grad((first * first).sum(), x)
    assert not second.isnan().any()


def test_nanquantile_of_nothing_but_nan(device: Any) -> None:
    x = dt.full((2, 3), float("nan"), device=device)
    assert x.nanquantile(1.0, 1).isnan().all()
