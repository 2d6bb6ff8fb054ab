"""autograd.functional all at once, batched gradients, and dual numbers, against PyTorch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.autograd import forward_ad

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

X, Y = np.random.default_rng(0).normal(size=(2, 3)), np.random.default_rng(1).normal(size=3)


def several(lib: Any) -> Any:
    return lambda x, y: (x.sin() * y, y.exp().sum(), x.sum(0) * 2)


def scalar(lib: Any) -> Any:
    return lambda x, y: (x.sin() * y**2).sum() + (y**3).sum()


def same(mine: Any, theirs: Any) -> None:
    if isinstance(theirs, (tuple, list)):  # forward mode has lists there
        assert isinstance(mine, tuple)
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            same(a, b)
        return
    assert tuple(mine.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize(
    "options", [{}, {"vectorize": True}, {"vectorize": True, "strategy": "forward-mode"}]
)
def test_jacobian(options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.autograd.functional.jacobian(
            several(torch), (torch.tensor(X), torch.tensor(Y)), **options
        )
    mine = dt.autograd.functional.jacobian(several(dt), (dt.tensor(X), dt.tensor(Y)), **options)
    same(mine, theirs)
    assert not any(g.requires_grad for row in mine for g in row)


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_hessian(strategy: str) -> None:
    options = {"vectorize": True, "outer_jacobian_strategy": strategy}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.autograd.functional.hessian(
            scalar(torch), (torch.tensor(X), torch.tensor(Y)), **options
        )
    inputs = (dt.tensor(X), dt.tensor(Y))
    same(dt.autograd.functional.hessian(scalar(dt), inputs, **options), theirs)


def test_a_jacobian_that_is_differentiated() -> None:
    x = dt.tensor(Y, requires_grad=True)
    made = dt.autograd.functional.jacobian(lambda x: x**3, x, create_graph=True, vectorize=True)
    (g,) = dt.autograd.grad(made.sum(), x)
    assert dt.allclose(g, 6 * x)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"strategy": "x"}, AssertionError, "Expected strategy"),
        ({"strategy": "forward-mode"}, NotImplementedError, "vectorize=True"),
        ({"vectorize": True, "strict": True}, RuntimeError, "`strict=True` and `vectorized=True`"),
        (
            {"vectorize": True, "strict": True, "strategy": "forward-mode"},
            RuntimeError, "`strict=True` and `strategy",
        ),
        (
            {"vectorize": True, "create_graph": True, "strategy": "forward-mode"},
            NotImplementedError, "`create_graph=True` and `strategy",
        ),
    ],
)  # fmt: skip
def test_jacobian_errors(options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        dt.autograd.functional.jacobian(dt.sin, dt.tensor(Y), **options)
    with pytest.raises(error):
        torch.autograd.functional.jacobian(torch.sin, torch.tensor(Y), **options)


def test_batched_gradients() -> None:
    x, w = dt.tensor(Y, requires_grad=True), dt.tensor(Y, requires_grad=True)
    y = x.sin() * 2
    found = dt.autograd.grad(
        y, (x, w), dt.eye(3, dtype=dt.float64), is_grads_batched=True, allow_unused=True
    )
    assert found[1] is None
    assert not found[0].requires_grad
    assert dt.allclose(found[0], dt.diag(2 * x.cos()).detach())


def test_dual_numbers() -> None:
    x, v = dt.tensor(Y), dt.tensor(Y) * 2
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, v)
        assert forward_ad.unpack_dual(dual).tangent is v
        primal, tangent = forward_ad.unpack_dual(dual.sin() * dual)
        assert not primal.requires_grad
        assert not tangent.requires_grad
        assert forward_ad.unpack_dual(x.sin()).tangent is None
    assert dt.allclose(primal, x.sin() * x)
    assert dt.allclose(tangent, (x.cos() * x + x.sin()) * v)
    assert forward_ad.unpack_dual(dual).tangent is None


def test_dual_numbers_of_several_inputs_keep_the_outer_history() -> None:
    x, w = dt.tensor(Y), dt.tensor(Y, requires_grad=True)
    with forward_ad.dual_level():
        a, b = forward_ad.make_dual(x, dt.ones_like(x)), forward_ad.make_dual(w, x)
        tangent = forward_ad.unpack_dual((a * b).exp()).tangent
    (g,) = dt.autograd.grad(tangent.sum(), w)
    assert dt.allclose(tangent, (x * w).exp() * (w + x * x))
    assert dt.allclose(g, (x * w).exp() * (1 + x * (w + x * x)))


def test_dual_level_errors() -> None:
    x = dt.tensor(Y)
    with pytest.raises(RuntimeError, match="no level exists"):
        forward_ad.make_dual(x, x)
    with pytest.raises(RuntimeError, match="not the last one"):
        forward_ad.exit_dual_level()
    with forward_ad.dual_level():
        with pytest.raises(RuntimeError, match="Nested forward mode"):
            forward_ad.enter_dual_level()
        with pytest.raises(RuntimeError, match="different size"):
            forward_ad.make_dual(x, x[:2])
        with pytest.raises(ValueError, match="floating point"):
            forward_ad.make_dual(dt.arange(3), x)
