"""Bags of embeddings on the cpu, summed some bags at a time: beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity: PyTorch is not installed")

SIZES = ((10, 3, 4, 2), (50, 64, 700, 11), (30, 1000, 65, 20), (9, 70000, 3, 2), (7, 1, 2000, 300))
"""(V, D, B, N): all in one block, some blocks and a rest, a bag larger than a block."""


def both(table: np.ndarray, index: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    made = dt.nn.functional.embedding_bag(dt.from_numpy(index), dt.from_numpy(table), mode=mode)
    theirs = torch.from_numpy(index), torch.from_numpy(table)
    return made.numpy(), torch.nn.functional.embedding_bag(*theirs, mode=mode).numpy()


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
def test_sums_and_means(sizes: tuple[int, ...], kind: type, mode: str) -> None:
    rows, width, bags, length = sizes
    rng = np.random.default_rng(0)
    table = rng.standard_normal((rows, width)).astype(kind)
    index = rng.integers(0, rows, (bags, length))
    made, _ = both(table, index, mode)
    # By products with a matrix of counts, so that not all rows need to be gathered at once.
    counts = np.stack([np.bincount(bag, minlength=rows) for bag in index])
    exact = counts @ table.astype(np.float64)
    size = counts @ np.abs(table).astype(np.float64)
    share = length if mode == "mean" else 1
    assert made.dtype == kind
    assert (np.abs(made - exact / share) <= size / share * np.finfo(kind).eps * length**0.5).all()


def test_what_is_not_finite_stays_in_its_bag_and_column() -> None:
    table = np.ones((6, 5), np.float32)
    table[1, 2], table[2, 3], table[4, 2] = np.inf, np.nan, -np.inf
    index = np.array([[0, 1], [2, 0], [1, 4], [3, 5]])
    np.testing.assert_array_equal(*both(table, index, "sum"))


def test_a_table_of_other_strides_and_of_none() -> None:
    table = np.random.default_rng(1).standard_normal((8, 12)).astype(np.float32)
    index = np.random.default_rng(2).integers(0, 12, (40, 3))
    np.testing.assert_allclose(*both(table.T, index, "sum"), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(*both(table[::2, 1::3], index % 4, "mean"), rtol=1e-6, atol=1e-6)
    for made in (both(table, index[:0], "sum"), both(table[:, :0], index % 8, "sum")):
        assert made[0].shape == made[1].shape
