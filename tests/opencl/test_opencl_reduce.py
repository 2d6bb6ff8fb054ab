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


SPLIT: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "narrow rows": ((4096, 10), (0,)),
    "narrow rows, several dims": ((64, 128, 33), (0, 1)),
    "narrow rows in parts": ((20000, 50), (0,)),
    "rows of a prime number": ((4099, 10), (0,)),
    "one wide row of each": ((2, 3), (0,)),
    "short runs": ((30, 25, 400), (0, 2)),
    "short runs, several dims": ((6, 5, 12, 10, 80), (0, 2, 4)),
}


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int32", "int64", "int8", "bool"]
)
@pytest.mark.parametrize("case", SPLIT, ids=str)
def test_what_is_folded_apart_comes_together(case: str, dtype: str) -> None:
    shape, dims = SPLIT[case]
    draw = np.random.default_rng(6)
    x = draw.integers(-3, 4, shape).astype(dtype)
    y, wide = dt.tensor(x, device=DEVICE), x.astype(np.float64)
    total = wide.sum(dims)
    if dtype == "float16":  # of so many, which is exact before it is rounded
        total = total.astype(dtype)
    np.testing.assert_array_equal(y.sum(dims).cpu().numpy(), total)
    for name in ("any", "all"):
        np.testing.assert_array_equal(
            getattr(y, name)(dims).cpu().numpy(), getattr(np, name)(x, dims)
        )
    if dtype != "bool":
        for name in ("amax", "amin"):
            wanted = getattr(np, name)(x, dims)
            np.testing.assert_array_equal(
                getattr(y, name)(dims, True).cpu().numpy(),
                wanted.reshape([1 if d in dims else n for d, n in enumerate(shape)]),
            )
    if dtype.startswith("float"):
        rtol = 1e-3 if dtype == "float16" else 1e-6
        for ord, sizes in ((1, np.abs), (2, np.square)):
            wanted = sizes(wide).sum(dims) ** (1 / ord)
            made = dt.linalg.vector_norm(y, ord, dims).cpu().numpy()
            np.testing.assert_allclose(made, wanted, rtol=rtol)
        np.testing.assert_allclose(y.mean(dims).cpu().numpy(), wide.mean(dims), rtol, 1e-7)
        x[(1,) * len(shape)] = np.nan
        z = dt.tensor(x, device=DEVICE)
        np.testing.assert_array_equal(z.amax(dims).cpu().numpy(), x.max(dims))


def test_products_of_narrow_rows() -> None:
    x = np.random.default_rng(7).uniform(0.999, 1.001, (8192, 6))
    made = dt.tensor(x, device=DEVICE).prod(0).cpu().numpy()
    np.testing.assert_allclose(made, x.prod(0), 1e-10)


def test_narrow_rows_are_read_in_two_steps(queue: Any) -> None:
    x = dt.ones(4096, 10, device=DEVICE)
    for y, launches in ((x, 2), (x[:4095], 2), (x[:4093], 2), (x[:32], 1)):
        y.sum(0)
        before = queue.launches
        y.sum(0)
        assert queue.launches - before == launches


@pytest.mark.parametrize(
    ("source", "dtype"),
    [
        ("float32", "float16"),
        ("float64", "float32"),
        ("float32", "int32"),
        ("complex64", "float32"),
    ],
)
@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_a_dtype_that_the_input_is_cast_to_first(source: str, dtype: str) -> None:
    draw = np.random.default_rng(6)
    for shape in ((5,), (3, 4), (300,)):
        x = draw.integers(1, 3, shape).astype(source)
        y, kind = dt.tensor(x, device=DEVICE), getattr(dt, dtype)
        cast = x.real.astype(dtype)
        for name in ("sum", "cumsum"):
            made = getattr(y, name)(dim=0, dtype=kind).cpu().numpy()
            np.testing.assert_array_equal(made, getattr(np, name)(cast, 0, dtype=dtype))
        few = slice(0, 5)
        for name in ("prod", "cumprod"):
            made = getattr(y[few], name)(dim=0, dtype=kind).cpu().numpy()
            np.testing.assert_array_equal(made, getattr(np, name)(cast[few], 0, dtype=dtype))
