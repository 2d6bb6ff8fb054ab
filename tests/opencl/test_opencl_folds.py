"""Reductions of opencl made of others elsewhere: any, all, norms, var, std, logsumexp.

Beside NumPy and PyTorch in float64, with what rounding in the input's dtype allows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="PyTorch in float64 is the reference")

pytestmark = pytest.mark.usefixtures("opencl")
DEVICE = "opencl:0"
SHAPES = [(70001,), (5, 700), (300, 130), (3, 400, 70), (203, 2049), (2, 64), (0, 3)]
NEAR = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 4e-6, "float64": 1e-12}
"""By dtype, what a result may be away from float64's, of itself."""

Case = tuple[Any, Any, Any, bool]
"""An input on the device, the same of PyTorch, dims, keepdim."""


def _cases(values: np.ndarray, dtype: str) -> Iterator[Case]:
    """Over each dim, all of them, and the outer ones; of dense and of turned inputs."""
    there = torch.tensor(values).to(getattr(torch, dtype))
    here = dt.tensor(there.double().numpy()).to(getattr(dt, dtype)).to(DEVICE)
    ndim = values.ndim
    for x, y in [(here, there), (here.transpose(0, -1), there.transpose(0, -1))][:ndim]:
        for dim in [*range(ndim), tuple(range(ndim)), *([(0, 2)] if ndim > 2 else [])]:
            for keepdim in (False, True):
                yield x, y, dim, keepdim


def _drawn(shape: tuple[int, ...], kind: str) -> np.ndarray:
    draw = np.random.default_rng(len(shape) + shape[-1])
    x = draw.standard_normal(shape)
    if x.size:
        place = x.size // 3
        if kind in ("nan", "inf", "-inf"):
            x.flat[place] = float(kind)
        elif kind == "far":
            x += 100
        elif kind == "rising":
            x += 100 * np.arange(x.size).reshape(shape) / x.size
    return x


def _near(made: Any, wanted: torch.Tensor, dtype: str, absolute: float = 0.0) -> None:
    rounded = wanted.to(getattr(torch, dtype)).double().numpy()
    found = made.double().cpu().numpy()
    assert found.shape == rounded.shape
    np.testing.assert_allclose(found, rounded, rtol=NEAR[dtype], atol=absolute)


@pytest.mark.parametrize("fill", ["nothing", "one", "half", "all", "all but one"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float16", "float32",
                                   "float64", "complex64"])  # fmt: skip
def test_any_and_all(dtype: str, fill: str) -> None:
    for shape in SHAPES:
        mask = np.random.default_rng(3).random(shape) < 0.5
        if fill != "half":
            mask = np.full(shape, fill.startswith("all"))
        if mask.size and fill.endswith("one"):
            mask.flat[mask.size * 2 // 3] ^= True
        x = dt.tensor(mask).to(getattr(dt, dtype))
        x = (x * 2 if dtype == "uint8" else x).to(DEVICE)  # 1 & 2 is 0
        for dim in (None, *range(mask.ndim), tuple(range(mask.ndim))):
            for keepdim in (False, True)[: 1 if dim is None else 2]:
                given = {} if dim is None else {"dim": dim, "keepdim": keepdim}
                for name in ("any", "all"):
                    made = getattr(x, name)(**given).cpu()
                    assert made.dtype is (dt.uint8 if dtype == "uint8" else dt.bool)
                    wanted = getattr(np, name)(mask, axis=dim, keepdims=keepdim)
                    np.testing.assert_array_equal(made.numpy(), wanted)


def test_a_mask_that_begins_anywhere() -> None:
    mask = np.ones(5000, bool)
    mask[1003], x = False, dt.tensor(np.ones(5000, bool)).to(DEVICE)
    x[1003] = False
    for begin in (1, 7, 63, 1000, 1004):
        for end in (1003, 1004, 5000):
            assert x[begin:end].all().item() == mask[begin:end].all()
            assert (~x)[begin:end].any().item() == (~mask)[begin:end].any()


@pytest.mark.parametrize("kind", ["plain", "nan", "-inf"])
@pytest.mark.parametrize("dtype", NEAR)
def test_norms(dtype: str, kind: str) -> None:
    for shape in SHAPES:
        for x, y, dim, keepdim in _cases(_drawn(shape, kind), dtype):
            for order in (1, 2, 3, float("inf"), -float("inf")):
                if not y.numel() and np.isinf(order):
                    continue
                wanted = torch.linalg.vector_norm(y.double(), order, dim, keepdim)
                _near(dt.linalg.vector_norm(x, order, dim, keepdim), wanted, dtype)


@pytest.mark.parametrize("kind", ["plain", "nan", "inf", "-inf", "far", "rising"])
@pytest.mark.parametrize("dtype", NEAR)
def test_variances(dtype: str, kind: str) -> None:
    warnings.simplefilter("ignore")  # of a single element
    for shape in SHAPES:
        for x, y, dim, keepdim in _cases(_drawn(shape, kind), dtype):
            for correction in (0, 1):
                given = {"dim": dim, "keepdim": keepdim, "correction": correction}
                wide = y.double()
                # PyTorch's own mean: that of var_mean is NaN where an element is infinite.
                mean = wide.mean(dim, keepdim)
                size = 1e-6 * (100 if kind in ("far", "rising") else 1)
                for name in ("var", "std"):
                    wanted = getattr(torch, name)(wide, **given)
                    _near(getattr(dt, name)(x, **given), wanted, dtype, 1e-15)
                    first, second = getattr(dt, f"{name}_mean")(x, **given)
                    _near(first, wanted, dtype, 1e-15)
                    _near(second, mean, dtype, size)


def test_a_variance_far_from_zero() -> None:
    x = (np.random.default_rng(5).standard_normal((4000, 260)) + 1e4).astype(np.float32)
    y = dt.tensor(x, device=DEVICE)
    for dim in (None, 0, 1):
        made = y.var(dim=dim).cpu().numpy() if dim is not None else y.var().cpu().numpy()
        np.testing.assert_allclose(made, x.astype(np.float64).var(dim, ddof=1), rtol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "nan", "inf", "-inf", "far", "rising"])
@pytest.mark.parametrize("dtype", NEAR)
def test_logsumexp(dtype: str, kind: str) -> None:
    for shape in SHAPES:
        values = _drawn(shape, kind) * (50 if kind == "far" else 1)  # exponentials overflow
        if kind == "-inf":
            values[:3] = -np.inf
        for x, y, dim, keepdim in _cases(values, dtype):
            wanted = torch.logsumexp(y.double(), dim, keepdim)
            _near(dt.logsumexp(x, dim, keepdim), wanted, dtype, 1e-6)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64"])
def test_sums_of_integers(dtype: str) -> None:
    draw = np.random.default_rng(9)
    for shape in [*SHAPES, (300_000,), (9, 70_000)]:
        most = 1 if dtype == "bool" else np.iinfo(dtype).max // 2
        x = draw.integers(-most - 1, most, shape, endpoint=True)
        x = x > 0 if dtype == "bool" else x.astype(dtype)
        y = dt.tensor(x).to(DEVICE)
        np.testing.assert_array_equal(y.sum().cpu().numpy(), x.sum(dtype=np.int64))
        for dim in range(x.ndim):
            made = y.sum(dim).cpu().numpy()
            np.testing.assert_array_equal(made, x.sum(dim, dtype=np.int64))
