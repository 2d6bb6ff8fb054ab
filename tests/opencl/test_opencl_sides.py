"""Reductions of opencl over dims of every layout, beside float64: which elements lie side by side,
how many there are, and where vectors, runs, parts and buffers end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="PyTorch in float64 is the reference")

pytestmark = pytest.mark.usefixtures("opencl")
DEVICE = "opencl:0"

Layout = tuple[tuple[int, ...], int | tuple[int, ...]]
"""A shape and what is reduced."""

LINES: dict[str, Layout] = {
    f"{count} lines of {size}": ((count, size), 1)
    for count, size in ((2100, 2), (1501, 3), (1025, 4), (821, 5), (411, 10), (359, 15), (127, 65))
}
LAYOUTS: dict[str, Layout] = LINES | {
    "lines in parts": ((31, 9001), 1),
    "lines of three dims": ((6, 70, 30), 2),
    "narrow rows": ((4099, 10), 0),
    "narrow rows that are left over": ((1024 + 5, 63), 0),
    "rows that vectors divide": ((300, 96), 0),
    "few rows": ((3, 3001), 0),
    "fewer columns than lanes": ((9, 70, 7), 1),
    "fewer columns, many rows": ((3, 1300, 7), 1),
    "columns that end within a vector": ((9, 60, 50), 1),
    "small blocks": ((131, 9, 7), 1),
    "smallest blocks": ((1100, 2, 2), 1),
    "small blocks of three": ((500, 3, 3), 1),
    "small blocks in rows": ((5, 40, 2, 5, 3, 2), (3,)),
    "runs that are far apart": ((64, 11, 30), (0, 2)),
    "few runs that are far apart": ((7, 90, 30), (0, 2)),
    "long runs that are far apart": ((9, 3, 1100), (0, 2)),
    "rows that are far apart": ((70, 6, 5, 12), (0, 2)),
    "pairs of dims": ((6, 900, 3, 3), (1, 3)),
    "channels": ((50, 20, 5, 5), (0, 2, 3)),
    "rows of images": ((50, 5, 6, 37), (0, 2)),
    "both ends": ((4099, 3, 4), (0, 2)),
}
VIEWS = {
    "dense": lambda x: x,
    "turned": lambda x: x.transpose(-1, 0),
    "every second": lambda x: x[..., ::2],
    "further on": lambda x: x[1:],
}
"""What of a tensor is read; of both libraries."""

KINDS = ("plain", "nan", "inf", "-inf", "ties")
RTOL = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-5, "float64": 1e-12}


def _drawn(layout: str, kind: str) -> np.ndarray:
    shape, _ = LAYOUTS[layout]
    draw = np.random.default_rng(len(layout) + len(kind))
    x = draw.standard_normal(shape)
    if kind == "ties":
        x = x.round()
    elif kind != "plain":
        x.flat[draw.integers(0, x.size, 4)] = float(kind)
        x.flat[-1] = float(kind)
    return x


def _both(layout: str, kind: str, view: str, dtype: str) -> tuple[Any, Any, Any]:
    """(An input on the device, the same in PyTorch's float64, what is reduced)."""
    there = torch.tensor(_drawn(layout, kind)).to(getattr(torch, dtype)).double()
    here = dt.tensor(there.numpy()).to(getattr(dt, dtype)).to(DEVICE)
    return VIEWS[view](here), VIEWS[view](there), LAYOUTS[layout][1]


def _near(made: Any, wanted: Any, dtype: str, absolute: float) -> None:
    wanted = wanted.to(getattr(torch, dtype)).double().numpy()
    np.testing.assert_allclose(made.double().cpu().numpy(), wanted, RTOL[dtype], absolute)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_extremes_sums_and_truths(layout: str, view: str) -> None:
    for kind in KINDS:
        x, y, dim = _both(layout, kind, view, "float32")
        for name in ("amax", "amin"):
            _near(getattr(x, name)(dim), getattr(y, name)(dim), "float32", 0)
        _near(x.sum(dim), y.sum(dim), "float32", 5e-6 * y.nan_to_num(0, 0, 0).abs().sum())
        _near(dt.linalg.vector_norm(x, 2, dim), torch.linalg.vector_norm(y, 2, dim), "float32", 0)
        for name in ("any", "all"):
            wanted = getattr(y != 0, name)(dim).numpy()
            np.testing.assert_array_equal(getattr(x, name)(dim).cpu().numpy(), wanted)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if isinstance(LAYOUTS[name][1], int)])
def test_places_and_what_is_there(layout: str, view: str) -> None:
    for kind in KINDS:
        x, y, dim = _both(layout, kind, view, "float32")
        for name in ("max", "min"):
            # NumPy takes the first of equals, and NaN before all.
            wanted = getattr(np, f"arg{name}")(y.numpy(), dim)
            np.testing.assert_array_equal(getattr(x, f"arg{name}")(dim).cpu().numpy(), wanted)
            values, places = getattr(x, name)(dim)
            np.testing.assert_array_equal(places.cpu().numpy(), wanted)
            np.testing.assert_array_equal(
                values.double().cpu().numpy(), getattr(y.numpy(), name)(dim)
            )


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int8", "int32", "int64"])
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if isinstance(LAYOUTS[name][1], int)])
def test_places_of_other_dtypes(layout: str, dtype: str) -> None:
    drawn = dt.tensor((_drawn(layout, "plain") * 30).round()).to(getattr(dt, dtype))
    host, dim = drawn.double().numpy(), LAYOUTS[layout][1]
    for keepdim in (False, True):
        values, places = drawn.to(DEVICE).max(dim, keepdim)
        wanted = host.argmax(dim, keepdims=keepdim)
        np.testing.assert_array_equal(places.cpu().numpy(), wanted)
        assert values.dtype is drawn.dtype
        wanted = host.max(dim, keepdims=keepdim)
        np.testing.assert_array_equal(values.double().cpu().numpy(), wanted)


def test_places_are_written_anywhere() -> None:
    draw = np.random.default_rng(3)
    x = draw.standard_normal((500, 12)).astype(np.float32)
    y = dt.tensor(x, device=DEVICE)
    values = dt.zeros(501, device=DEVICE)
    places = dt.zeros(503, dtype=dt.int64, device=DEVICE)
    dt.min(y, 1, out=(values[1:], places[3:]))
    np.testing.assert_array_equal(values[1:].cpu().numpy(), x.min(1))
    np.testing.assert_array_equal(places[3:].cpu().numpy(), x.argmin(1))
    apart = dt.zeros(500, 2, device=DEVICE)
    dt.max(y, 1, out=(apart[:, 1], places[3:]))
    np.testing.assert_array_equal(apart.cpu().numpy(), np.stack([np.zeros(500), x.max(1)], 1))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_moments(layout: str, dtype: str) -> None:
    for view in VIEWS:
        for kind in ("plain", "nan", "inf"):
            x, y, dim = _both(layout, kind, view, dtype)
            if y.shape == (2100, 1):  # no variance
                continue
            absolute = 1e-9 if dtype == "float64" else 2e-6
            _near(x.var(dim), y.var(dim), dtype, absolute)
            _near(x.std(dim, correction=0), y.std(dim, correction=0), dtype, absolute)
            made = dt.var_mean(x, dim)[1]
            wanted = y.mean(dim)  # PyTorch's own of an infinite element is NaN
            _near(made, wanted, dtype, absolute)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_logsumexp(layout: str, dtype: str) -> None:
    for view in VIEWS:
        for kind in ("plain", "nan", "inf", "-inf"):
            x, y, dim = _both(layout, kind, view, dtype)
            _near(x.logsumexp(dim), y.logsumexp(dim), dtype, 1e-9 if dtype == "float64" else 1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_logsumexp_of_much_that_is_not_finite(layout: str) -> None:
    shape, dim = LAYOUTS[layout]
    draw = np.random.default_rng(5)
    host = (draw.standard_normal(shape) * 100).astype(np.float32)
    for value in (np.nan, np.inf, -np.inf):
        host.flat[draw.integers(0, host.size, host.size // 40)] = value
    made = dt.tensor(host, device=DEVICE).logsumexp(dim)
    _near(made, torch.tensor(host).double().logsumexp(dim), "float32", 0)


def test_logsumexp_of_what_is_infinite_all_over() -> None:
    for shape, dim in LAYOUTS.values():
        made = dt.full(shape, -np.inf, device=DEVICE).logsumexp(dim).cpu().numpy()
        np.testing.assert_array_equal(made, np.full(made.shape, -np.inf))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_variance_far_from_zero(layout: str) -> None:
    host = (_drawn(layout, "plain") + 1e4).astype(np.float32)
    dim = LAYOUTS[layout][1]
    y = dt.tensor(host, device=DEVICE)
    wide = host.astype(np.float64)
    np.testing.assert_allclose(y.var(dim).cpu().numpy(), wide.var(dim, ddof=1), 2e-5, 1e-6)
    np.testing.assert_allclose(dt.var_mean(y, dim)[1].cpu().numpy(), wide.mean(dim), 2e-7)
