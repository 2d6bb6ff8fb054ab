"""Sorting integers of 64 bits, distinct integers by counting, searches in rows."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity: PyTorch is not installed")

RANGES = (
    (np.int64, 0, 100), (np.int64, -50, 5), (np.int64, 2**62, 2**62 + 9),
    (np.int64, -(2**63), 2**63 - 1), (np.int64, -(2**63), 3 - 2**63), (np.int64, 0, 10**6),
    (np.int64, -(2**30), 2**30), (np.int64, -(2**31), 2**31), (np.int32, -5, 5),
    (np.int16, -3, 4), (np.uint8, 0, 256), (np.int8, -128, 128),
)  # fmt: skip
"""Of which some fit 31 bits, at the ends of what the dtype holds too, and some do not."""
SHAPES = ((255,), (256,), (30, 40), (20000,))


def whole(kind: type, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    x = np.asarray(np.random.default_rng(0).integers(low, high, shape)).astype(kind)
    x.flat[:4] = low, high - 1, low, high - 1  # the whole range, and ties
    return x


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("kind", "low", "high"), RANGES)
def test_unique(kind: type, low: int, high: int, shape: tuple[int, ...]) -> None:
    x = whole(kind, low, high, shape)
    wanted = torch.from_numpy(x).unique(return_inverse=True, return_counts=True)
    ours = dt.from_numpy(x)
    made = ours.unique(return_inverse=True, return_counts=True)
    for mine, theirs in zip(made, wanted, strict=True):
        assert mine.numpy().dtype == theirs.numpy().dtype
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    np.testing.assert_array_equal(ours.unique().numpy(), wanted[0].numpy())
    np.testing.assert_array_equal(ours.unique(return_counts=True)[1].numpy(), wanted[2].numpy())


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("kind", "low", "high"), RANGES)
def test_stable_sort(
    kind: type, low: int, high: int, shape: tuple[int, ...], descending: bool
) -> None:
    x = whole(kind, low, high, shape)
    wanted = torch.from_numpy(x).sort(dim=-1, stable=True, descending=descending)
    made = dt.from_numpy(x).sort(dim=-1, stable=True, descending=descending)
    np.testing.assert_array_equal(made.values.numpy(), wanted.values.numpy())
    np.testing.assert_array_equal(made.indices.numpy(), wanted.indices.numpy())


@pytest.mark.parametrize("values_with", [0.0, np.nan, np.inf])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 9, 100])
@pytest.mark.parametrize("side", ["left", "right"])
def test_searches_in_many_rows(side: str, n: int, values_with: float) -> None:
    """Beside NumPy's, for which NaN is the largest number; PyTorch does not say."""
    rng = np.random.default_rng(n)
    sequence = np.sort(np.round(rng.standard_normal((50, n)) * n))
    sequence[3, n // 2 :] = np.nan
    values = np.round(rng.standard_normal((50, 9)) * n * 1.5)
    values[0, :2] = values_with, -values_with
    made = dt.searchsorted(dt.from_numpy(sequence), dt.from_numpy(values), side=side)
    wanted = [np.searchsorted(s, v, side) for s, v in zip(sequence, values, strict=True)]
    np.testing.assert_array_equal(made.numpy(), np.stack(wanted))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.int32])
@pytest.mark.parametrize("side", ["left", "right"])
def test_many_searches_in_a_long_sequence(side: str, kind: type) -> None:
    rng = np.random.default_rng(0)
    sequence = np.sort(np.round(rng.standard_normal(50000) * 3e4)).astype(kind)
    values = np.round(rng.standard_normal((200, 200)) * 4e4).astype(kind)
    if np.dtype(kind).kind == "f":
        sequence[-3:] = np.nan
        values[0, :3] = np.nan, np.inf, -np.inf
    made = dt.searchsorted(dt.from_numpy(sequence), dt.from_numpy(values), side=side)
    np.testing.assert_array_equal(made.numpy(), np.searchsorted(sequence, values, side))


def few_leading_bits(share: float, shape: tuple[int, int]) -> np.ndarray:
    """Numbers of which a share differs in the last bits alone, or not at all; zeros, NaN."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal(shape)
    near = rng.random(shape) < share
    x[near] = 1 + rng.integers(0, 9, near.sum()) * 2.0**-52
    x[:, :6] = 0.0, -0.0, np.nan, np.inf, -np.inf, -np.nan
    return x


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.9])
@pytest.mark.parametrize("shape", [(1, 5000), (9, 700), (300, 7)])
def test_stable_sort_of_long_floats(shape: tuple[int, int], share: float, descending: bool) -> None:
    x = few_leading_bits(share, shape)
    wanted = torch.from_numpy(x).sort(dim=-1, stable=True, descending=descending)
    made = dt.from_numpy(x).sort(dim=-1, stable=True, descending=descending)
    np.testing.assert_array_equal(made.indices.numpy(), wanted.indices.numpy())
    np.testing.assert_array_equal(made.values.numpy(), wanted.values.numpy())
    whole = x.view(np.int64)
    made, theirs = (
        dt.from_numpy(whole).argsort(-1, descending, stable=True),
        torch.from_numpy(whole),
    )
    wanted = theirs.argsort(dim=-1, descending=descending, stable=True)
    np.testing.assert_array_equal(made.numpy(), wanted.numpy())
