"""Second gradients of determinants of singular matrices, against differences of cofactors."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt


def cofactors(x: np.ndarray) -> np.ndarray:
    n = len(x)
    made = np.zeros_like(x)
    for i, j in np.ndindex(n, n):
        minor = np.delete(np.delete(x, i, 0), j, 1)
        made[i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return made


def slopes(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The gradient of the real part of ``sum(weight * conj(cofactors(x)))``."""

    def value(y: np.ndarray) -> float:
        return float((weight * cofactors(y).conj()).real.sum())

    made = np.zeros_like(x)
    units = (1, 1j) if np.iscomplexobj(x) else (1,)
    for at in np.ndindex(*x.shape):
        for unit in units:
            step = np.zeros_like(x)
            step[at] = unit * 1e-5
            made[at] += unit * (value(x + step) - value(x - step)) / 2e-5
    return made


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("missing", [1, 2])
def test_singular(size: int, kind: str, missing: int) -> None:
    rng = np.random.default_rng(size)
    x = rng.normal(size=(size, size))
    if kind == "complex":
        x = x + 1j * rng.normal(size=x.shape)
    x[:missing] = 0
    weight = rng.normal(size=x.shape).astype(x.dtype)
    a = dt.tensor(x, requires_grad=True)
    det = dt.linalg.det(a)
    (g,) = dt.autograd.grad(det.real if kind == "complex" else det, a, create_graph=True)
    assert np.allclose(g.detach().numpy(), cofactors(x).conj())
    total = (g * dt.tensor(weight)).sum()
    (second,) = dt.autograd.grad(total.real if kind == "complex" else total, a)
    assert np.allclose(second.numpy(), slopes(x, weight), atol=1e-7)
