"""Large activations of pieces, and remainders, on the cpu: beside PyTorch and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

pytest.importorskip("dovetail_cpu")
torch = pytest.importorskip("torch", reason="parity: PyTorch is not installed")

EDGES = np.array(
    [0, -0.0, 1, -1, 3, -3, 0.5, -0.5, 6, np.inf, -np.inf, 1e-40, 3e30, -3e30, 2.9999998],
    np.float32,
)
RNG = np.random.default_rng(0)
N = 70001
X = np.concatenate([np.repeat(EDGES, len(EDGES)), RNG.standard_normal(N) * 4]).astype(np.float32)
Y = np.concatenate([np.tile(EDGES, len(EDGES)), RNG.standard_normal(N)]).astype(np.float32)

ACTIVATIONS: dict[str, dict[str, Any]] = {
    "threshold": {"threshold": 0.3, "value": -2.0},
    "hardshrink": {"lambd": 0.7},
    "softshrink": {"lambd": 0.7},
    "hardtanh": {"min_val": -0.5, "max_val": 2.0},
    "relu6": {},
    "hardsigmoid": {},
    "hardswish": {},
    "leaky_relu": {"negative_slope": 0.1},
    "celu": {"alpha": 1.3},
    "elu": {"alpha": 0.7},
    "selu": {},
}


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations(name: str, kind: str) -> None:
    x, g = dt.from_numpy(X).to(getattr(dt, kind)), dt.from_numpy(Y).to(getattr(dt, kind))
    y, h = (torch.from_numpy(v).to(getattr(torch, kind)) for v in (X, Y))
    x.requires_grad_(), y.requires_grad_()
    made = getattr(dt.nn.functional, name)(x, **ACTIVATIONS[name])
    wanted = getattr(torch.nn.functional, name)(y, **ACTIVATIONS[name])
    room = {"rtol": 1e-5, "atol": 1e-6}  # PyTorch has a third as a float32
    np.testing.assert_allclose(made.detach().numpy(), wanted.detach().numpy(), **room)
    made.backward(g)
    wanted.backward(h)
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), **room)


@pytest.mark.parametrize("name", ["threshold", "hardshrink", "hardtanh"])
def test_nan_passes(name: str) -> None:
    x = dt.full((70001,), float("nan"))
    made = getattr(dt.nn.functional, name)(x, **ACTIVATIONS[name])
    assert made.isnan().all()


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("count", [3, 5000])
def test_a_half_that_is_the_bound_is_inside(kind: str, count: int) -> None:
    x = dt.full((count,), 0.3, dtype=getattr(dt, kind), requires_grad=True)
    made = dt.nn.functional.hardshrink(x, 0.3)
    made.sum().backward()
    wanted = torch.nn.functional.hardshrink(torch.full((3,), 0.3, dtype=getattr(torch, kind)), 0.3)
    assert not wanted.any()
    assert not made.any()
    assert not x.grad.any()


def _wide_range() -> np.ndarray:
    return (RNG.standard_normal(N) * np.exp(RNG.standard_normal(N) * 15)).astype(np.float32)


@pytest.mark.parametrize("name", ["fmod", "remainder"])
@pytest.mark.parametrize("case", ["near", "far", "whole", "edges", "number", "of a number"])
def test_remainders_are_exact(name: str, case: str) -> None:
    with np.errstate(all="ignore"):
        a, b = {
            "near": lambda: (X[-N:], Y[-N:]),
            "far": lambda: (_wide_range(), _wide_range()),
            "whole": lambda: (np.rint(X[-N:] * 1000), np.rint(Y[-N:] * 9) + np.float32(0.5)),
            "edges": lambda: (np.tile(X[:225], 20), np.tile(Y[:225], 20)),
            "number": lambda: (X, np.float32(-0.7)),
            "of a number": lambda: (np.float32(5), Y),
        }[case]()
        wanted = getattr(np, name)(a, b)
    other = dt.from_numpy(b) if b.ndim else float(b)
    made = getattr(dt, name)(dt.from_numpy(np.asarray(a)), other).numpy()
    np.testing.assert_array_equal(made, wanted)
    number = ~np.isnan(wanted)
    assert np.array_equal(np.signbit(made)[number], np.signbit(wanted)[number])
