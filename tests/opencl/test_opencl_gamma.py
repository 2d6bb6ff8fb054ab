"""lgamma where it is ours, on the host's cores: within bounds, beside its zeros and at its poles.

Of float32 the reference is PyTorch's in float64; of float64 mpmath's, which PyTorch brings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="PyTorch's lgamma is the reference")
mpmath = pytest.importorskip("mpmath", reason="its loggamma is the reference of float64")

BOUNDS = {"float32": 5.2, "float64": 5.2}
"""Units in the last place for numbers above 0; most beside the zero at 2, where parts cancel."""

POLES = [0.0, -0.0, -1, -2, -170, -8388609, -3e38, np.inf, -np.inf]
DTYPES = ["float32", "float64"]


def _above_zero(dtype: str, count: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    near = rng.standard_normal(count) * 1e-3
    parts = [rng.uniform(0, 10, count), np.exp(rng.uniform(-80, 80, count)), 1 + near, 2 + near]
    edges = [1, 2, 3, 7.9999995, 8, 9, 1e-30, 3e36, np.finfo("float32").tiny]
    return np.concatenate([*parts, edges]).astype(dtype)


def _reference(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.float32:
        return np.asarray(torch.lgamma(torch.from_numpy(x).double()).numpy())
    with mpmath.workprec(100):
        return np.array([float(mpmath.loggamma(float(v)).real) for v in x])


def _made(x: np.ndarray) -> np.ndarray:
    return np.asarray(dt.lgamma(dt.tensor(x, device="opencl:0")).cpu().numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_above_zero(dtype: str, queue: Any) -> None:
    if not queue.is_cpu:
        pytest.skip("a GPU's own function is used")
    x = _above_zero(dtype, 50_000 if dtype == "float32" else 2_000)
    before = queue.launches
    got = _made(x)
    assert queue.launches == before + 1
    wanted = _reference(x)
    last = np.spacing(np.maximum(np.abs(wanted.astype(dtype)), np.finfo(dtype).tiny))
    error = np.abs(got - wanted) / last.astype(np.float64)
    worst = int(np.argmax(error))
    assert error[worst] <= BOUNDS[dtype], (error[worst], x[worst], got[worst], wanted[worst])


@pytest.mark.parametrize("dtype", DTYPES)
def test_below_zero(dtype: str, opencl: dt.device) -> None:
    rng = np.random.default_rng(4)
    small = [-1e-3, -1e-9, -1e-20, -1e-30, -0.5, -170.25]
    x = np.concatenate([-rng.uniform(0, 30, 3000), small]).astype(dtype)
    wanted = _reference(x)
    # Beside a pole or a zero the place's rounding is what counts.
    slope = np.abs(np.pi / np.tan(np.pi * x.astype(np.float64))) * np.abs(x)
    most = (8 * np.maximum(1, np.abs(wanted)) + slope) * np.finfo(dtype).eps
    assert (np.abs(_made(x) - wanted) <= most).all()


@pytest.mark.parametrize("dtype", [*DTYPES, "float16", "bfloat16"])
def test_edges(dtype: str, opencl: dt.device) -> None:
    x = dt.tensor(POLES, device=opencl).to(getattr(dt, dtype))
    assert x.lgamma().tolist() == [np.inf] * len(POLES)
    rest = dt.tensor([1.0, 2.0, np.nan, 3.0], device=opencl).to(getattr(dt, dtype)).lgamma()
    np.testing.assert_allclose(rest.cpu().double().numpy(), [0, 0, np.nan, np.log(2)], rtol=4e-3)
