"""Attention of the cpu, block by block, beside PyTorch in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.nn.functional import scaled_dot_product_attention

torch = pytest.importorskip("torch", reason="PyTorch in float64 is the reference")

reference = torch.nn.functional.scaled_dot_product_attention
SHAPES = [
    ((2, 3), 300, 300), ((5,), 130, 257), ((1, 2), 257, 130), ((), 128, 128), ((40,), 129, 64),
    ((2, 2), 1, 200), ((3,), 200, 1),
]  # fmt: skip
"""Leading dims, queries, keys: several blocks of rows, the last of one; blocks of several heads;
more keys than queries, and fewer."""


def _drawn(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _both(lead: tuple[int, ...], rows: int, keys: int, dense: bool) -> tuple[list[Any], list[Any]]:
    """The same leaves here and there; not dense: heads and rows are exchanged in memory."""
    here, there = [], []
    for i, (n, size) in enumerate(((rows, 24), (keys, 24), (keys, 8))):
        numbers = _drawn((*lead, n, size), i)
        x = dt.tensor(numbers)
        if not dense:
            x = x.transpose(-3, -2).contiguous().transpose(-3, -2)
        here.append(x.requires_grad_(True))
        there.append(torch.tensor(numbers, dtype=torch.float64, requires_grad=True))
    return here, there


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize(("lead", "rows", "keys"), SHAPES)
def test_values_and_gradients(lead: tuple[int, ...], rows: int, keys: int, is_causal: bool) -> None:
    for dense in (True, False) if lead else (True,):
        here, there = _both(lead, rows, keys, dense)
        made = scaled_dot_product_attention(*here, is_causal=is_causal)
        wanted = reference(*there, is_causal=is_causal)
        np.testing.assert_allclose(made.detach().numpy(), wanted.detach().numpy(), 2e-5, 2e-6)
        g = _drawn(tuple(wanted.shape), 7)
        made.backward(dt.tensor(g))
        wanted.backward(torch.tensor(g, dtype=torch.float64))
        for x, y in zip(here, there, strict=True):
            size = max(float(y.grad.abs().max()), 0.1)
            np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), 1e-4, 1e-5 * size)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("is_causal", [False, True])
def test_what_is_not_finite_goes_where_it_is_seen(value: float, is_causal: bool) -> None:
    q, k, v = (_drawn((200, 8), i) for i in range(3))
    k[150, 3] = value
    made = scaled_dot_product_attention(*map(dt.tensor, (q, k, v)), is_causal=is_causal)
    with np.errstate(all="ignore"):
        scores = q @ k.T / np.float32(np.sqrt(8))
        if is_causal:
            scores = np.where(np.tri(200, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        wanted = weights / weights.sum(-1, keepdims=True) @ v
    np.testing.assert_allclose(made.numpy(), wanted, 1e-4, 1e-5)
    assert np.isfinite(made.numpy()[:150]).all() or not is_causal


def test_second_derivatives_are_those_of_the_formula() -> None:
    q, k, v = (dt.tensor(_drawn((2, 140, 4), i)).requires_grad_(True) for i in range(3))
    out = scaled_dot_product_attention(q, k, v, is_causal=True)
    (first,) = dt.autograd.grad(out.square().sum(), q, create_graph=True)
    (second,) = dt.autograd.grad(first.square().sum(), v)
    a, b, c = (torch.tensor(x.detach().numpy(), dtype=torch.float64) for x in (q, k, v))
    a.requires_grad_(True)
    c.requires_grad_(True)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        there = reference(a, b, c, is_causal=True)
    (first,) = torch.autograd.grad(there.square().sum(), a, create_graph=True)
    (wanted,) = torch.autograd.grad(first.square().sum(), c)
    size = float(wanted.abs().max())
    np.testing.assert_allclose(second.numpy(), wanted.numpy(), 1e-3, 1e-4 * size)
