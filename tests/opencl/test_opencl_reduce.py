"""Reductions and scans of opencl beside NumPy: places, NaN, runs of neighbours, long lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

pytestmark = pytest.mark.usefixtures("opencl")
DEVICE = "opencl:0"
SHAPES = [(1000,), (70001,), (5, 700), (300, 130), (700, 65), (3, 400, 70), (2, 64)]


def _drawn(shape: tuple[int, ...], kind: str, dtype: str) -> np.ndarray:
    draw = np.random.default_rng(len(shape) + shape[-1])
    x = draw.standard_normal(shape).astype(dtype)
    if kind == "few NaN":
        x.reshape(-1)[draw.integers(0, x.size, 3)] = np.nan
    elif kind == "much NaN":
        x[draw.random(shape) < 0.1] = np.nan
    elif kind == "ties":
        x = x.round()
    elif kind == "infinite":
        x[draw.random(shape) < 0.01] = -np.inf
        x[draw.random(shape) < 0.01] = np.inf
    return x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["plain", "few NaN", "much NaN", "ties", "infinite"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_extremes_and_their_places(shape: tuple[int, ...], kind: str, dtype: str) -> None:
    x = _drawn(shape, kind, dtype)
    y = dt.tensor(x, device=DEVICE)
    for dim in (None, *range(x.ndim)):
        # NumPy's argmax also takes the first NaN before all, and the first of equals.
        given = {} if dim is None else {"dim": dim}
        for name in ("argmax", "argmin"):
            made = getattr(y, name)(**given).cpu().numpy()
            np.testing.assert_array_equal(made, getattr(np, name)(x, dim))
        np.testing.assert_array_equal(y.amax(**given).cpu().numpy(), x.max(dim))
        np.testing.assert_array_equal(y.amin(**given).cpu().numpy(), x.min(dim))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
@pytest.mark.parametrize("kind", ["whole range", "ties"])
def test_extremes_of_integers_and_their_places(kind: str, dtype: str) -> None:
    draw, range_ = np.random.default_rng(4), np.iinfo(dtype)
    low, high = (0, 3) if kind == "ties" else (range_.min, range_.max)
    for shape in SHAPES:
        x = draw.integers(low, high, shape, dtype, endpoint=True)
        whole = dt.tensor(x, device=DEVICE)
        turned = (whole.transpose(0, -1), np.swapaxes(x, 0, -1))
        for y, wanted in ((whole, x), turned):
            for dim in (None, *range(x.ndim)):
                given = {} if dim is None else {"dim": dim}
                for name in ("argmax", "argmin"):
                    made = getattr(y, name)(**given).cpu().numpy()
                    np.testing.assert_array_equal(made, getattr(np, name)(wanted, dim))
                for name, of in (("amax", np.max), ("amin", np.min)):
                    made = getattr(y, name)(**given).cpu().numpy()
                    assert made.dtype == x.dtype
                    np.testing.assert_array_equal(made, of(wanted, dim))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scans(shape: tuple[int, ...]) -> None:
    x = _drawn(shape, "plain", "float64")
    y = dt.tensor(x, device=DEVICE)
    for dim in range(x.ndim):
        made: Any = y.cumsum(dim).cpu().numpy()
        np.testing.assert_allclose(made, x.cumsum(dim), rtol=1e-12, atol=1e-9)
        np.testing.assert_array_equal(y.cumsum_(dim).cpu().numpy(), made)
        y = dt.tensor(x, device=DEVICE)
        close = 1 + x / 100
        made = dt.tensor(close, device=DEVICE).cumprod(dim).cpu().numpy()
        np.testing.assert_allclose(made, close.cumprod(dim), rtol=1e-11)


@pytest.mark.parametrize("dims", [(0, 2, 3), (1,), (0, 2), (1, 3), (2, 3)], ids=str)
def test_sums_over_runs_of_neighbours(dims: tuple[int, ...]) -> None:
    x = _drawn((9, 6, 17, 31), "plain", "float64")
    made = dt.tensor(x, device=DEVICE).sum(dims).cpu().numpy()
    np.testing.assert_allclose(made, x.sum(dims), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
@pytest.mark.parametrize("shape", [(203, 2049), (2500, 200), (3, 1000), (5, 64), (9, 3, 257)])
def test_wide_rows_and_long_columns(shape: tuple[int, ...], dtype: str) -> None:
    host = dt.tensor((_drawn(shape, "ties", "float32") * 4).round()).to(getattr(dt, dtype))
    x, there = host.float().numpy(), host.to(DEVICE)
    for dim in (None, *range(x.ndim)):
        given = {} if dim is None else {"dim": dim}
        for name in ("argmax", "argmin"):
            made = getattr(there, name)(**given).cpu().numpy()
            np.testing.assert_array_equal(made, getattr(np, name)(x, dim))
        np.testing.assert_array_equal(there.amax(**given).float().cpu().numpy(), x.max(dim))
        wanted = x.sum(dim, dtype=np.float64)
        tolerance = 5e-3 * np.abs(x).sum(dim) ** 0.5 + 4 if dtype == "bfloat16" else 1e-2
        made = there.sum(**given).double().cpu().numpy()
        assert (np.abs(made - wanted) <= tolerance + 4e-3 * np.abs(wanted)).all()
