"""Scans on the cpu, whose long ones go by runs or by lines: beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity: PyTorch is not installed")

SHAPES = (
    ((5000,), 0), ((70001,), 0), ((3, 70000), 1), ((130, 33), 1), ((130, 32), 1), ((7, 700), 1),
    ((50, 600), 0), ((3, 20, 512), 1), ((2, 3000, 1), 1), ((4096, 2), 0),
)  # fmt: skip
"""Short, of one run and a rest, of more than a block, along lines, and what NumPy scans itself."""
KINDS = (np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_)


def values(shape: tuple[int, ...], kind: type, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if np.dtype(kind).kind == "f":
        return np.asarray(rng.standard_normal(shape) * 3).astype(kind)
    return np.asarray(rng.integers(0, 5, shape)).astype(kind)


def extremes(x: np.ndarray, dim: int) -> None:
    for name in ("cummax", "cummin"):
        wanted = getattr(torch.from_numpy(x), name)(dim)
        made = getattr(dt.from_numpy(x), name)(dim)
        np.testing.assert_array_equal(made.values.numpy(), wanted.values.numpy())
        np.testing.assert_array_equal(made.indices.numpy(), wanted.indices.numpy())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_sums(shape: tuple[int, ...], dim: int, kind: type) -> None:
    x = values(shape, kind)
    made = dt.from_numpy(x).cumsum(dim).numpy()
    wanted = torch.from_numpy(x).cumsum(dim).numpy()
    assert made.dtype == wanted.dtype
    if made.dtype.kind == "f":
        exact = np.cumsum(x.astype(np.float64), dim)
        short = kind is np.float32 and shape[dim] <= 32
        size = np.abs(x).sum(dim, keepdims=True) if short else np.abs(exact)
        bound = size * 2.0 * np.finfo(kind).eps + 1e-10
        assert (np.abs(made - exact) <= bound).all()
    else:
        np.testing.assert_array_equal(made, wanted)


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_sums_that_are_not_finite(shape: tuple[int, ...], dim: int) -> None:
    x = np.round(values(shape, np.float32))
    rng = np.random.default_rng(1)
    for value in (np.inf, -np.inf):
        x[rng.random(shape) < 5e-4] = value
    made = dt.from_numpy(x).cumsum(dim).numpy()
    np.testing.assert_array_equal(made, torch.from_numpy(x).cumsum(dim).numpy())


def test_a_sum_of_doubles_overflows_only_where_it_should() -> None:
    x = np.zeros((1, 8192))
    x[0, [0, 40, 41]] = -1e308, 1e308, 1e308
    assert dt.from_numpy(x).cumsum(1).numpy()[0, -1] == 1e308


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_largest_and_smallest(shape: tuple[int, ...], dim: int, kind: type) -> None:
    x = values(shape, kind)
    extremes(x, dim)
    if x.dtype.kind != "f":
        return
    tied = np.round(x)
    extremes(tied, dim)
    extremes(np.sort(tied, dim), dim)  # nearly every element is the largest so far
    for share in (1e-3, 0.3):
        some = tied.copy()
        some[np.random.default_rng(2).random(shape) < share] = np.nan
        extremes(some, dim)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_half_precision(shape: tuple[int, ...], dim: int, kind: str) -> None:
    theirs = torch.from_numpy(values(shape, np.float32)).to(getattr(torch, kind))
    ours = dt.from_numpy(theirs.float().numpy()).to(getattr(dt, kind))
    wanted, made = theirs.cummax(dim), ours.cummax(dim)
    np.testing.assert_array_equal(made.indices.numpy(), wanted.indices.numpy())
    exact = theirs.double().cumsum(dim)
    error = np.abs(ours.cumsum(dim).double().numpy() - exact.numpy())
    step = 2.0**-10 if kind == "float16" else 2.0**-7
    assert (error <= step * np.abs(exact.numpy()) + 2e-2).all()


def test_in_place_and_strided() -> None:
    x = values((90, 100), np.float32)
    wanted = torch.from_numpy(x)
    ours = dt.from_numpy(x.copy())
    ours.cumsum_(1)
    np.testing.assert_allclose(ours.numpy(), wanted.cumsum(1).numpy(), rtol=1e-5, atol=1e-5)
    turned = dt.from_numpy(x).t().cummax(1)
    np.testing.assert_array_equal(turned.indices.numpy(), wanted.t().cummax(1).indices.numpy())


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_logarithms_of_sums(shape: tuple[int, ...], dim: int, kind: type) -> None:
    x = values(shape, kind) * 5
    rng = np.random.default_rng(3)
    some = x.copy()
    for value in (np.inf, np.nan, -np.inf):
        some[rng.random(shape) < 1e-4] = value
    some[..., :40] = -np.inf
    for given in (x, some):
        exact = torch.from_numpy(given.astype(np.float64)).logcumsumexp(dim).numpy()
        made = dt.from_numpy(given).logcumsumexp(dim).numpy()
        bound = 32 * np.finfo(kind).eps
        np.testing.assert_allclose(made, exact, rtol=bound, atol=bound)
