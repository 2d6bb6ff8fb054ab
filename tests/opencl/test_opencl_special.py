"""lgamma, digamma and erfinv in one launch: within bounds, beside their zeros and at their poles.

Of float32 the references are PyTorch's in float64; of float64 mpmath's, which PyTorch brings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="PyTorch's lgamma is the reference")
mpmath = pytest.importorskip("mpmath", reason="its loggamma is the reference of float64")

BOUNDS = {"lgamma": 5.2, "digamma": 3.5, "erfinv": 6.0}
"""Units in the last place for numbers above 0; of lgamma most beside its zero at 2, where parts
cancel."""

POLES = [0.0, -0.0, -1, -2, -170, -8388609, -3e38, np.inf, -np.inf]
DTYPES = ["float32", "float64"]


def _above_zero(name: str, dtype: str, count: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    wide, near = np.exp(rng.uniform(-80, 80, count)), rng.standard_normal(count) * 1e-3
    edges = [1, 2, 3, 7.9999995, 8, 9, 10, 1e-30, 3e36, np.finfo("float32").tiny]
    parts = [rng.uniform(0, 20, count), wide, 1 + near, 2 + near, 1.4616321 + near]
    if name == "erfinv":
        edges, parts = [0.85, 0.8500001, 0.5], [rng.uniform(-1, 1, count), wide[wide < 1]]
        parts.append(1 - np.exp(rng.uniform(-15, 0, count)))
    return np.concatenate([*parts, edges]).astype(dtype)


def _reference(name: str, x: np.ndarray) -> np.ndarray:
    if x.dtype == np.float32:
        return np.asarray(getattr(torch, name)(torch.from_numpy(x).double()).numpy())
    known = {"lgamma": lambda v: mpmath.loggamma(v).real, "digamma": mpmath.digamma}
    with mpmath.workprec(100):
        return np.array([float(known.get(name, mpmath.erfinv)(float(v))) for v in x])


def _made(name: str, x: np.ndarray) -> np.ndarray:
    return np.asarray(getattr(dt, name)(dt.tensor(x, device="opencl:0")).cpu().numpy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_within_bounds(name: str, dtype: str, queue: Any) -> None:
    if name == "lgamma" and not queue.is_cpu:
        pytest.skip("a GPU's own function is used")
    x = _above_zero(name, dtype, 50_000 if dtype == "float32" else 500)
    before = queue.launches
    got = _made(name, x)
    assert queue.launches == before + 1
    wanted = _reference(name, x)
    last = np.spacing(np.maximum(np.abs(wanted.astype(dtype)), np.finfo(dtype).tiny))
    with np.errstate(invalid="ignore"):  # erfinv(1) is infinite
        error = np.where(got == wanted, 0, np.abs(got - wanted) / last.astype(np.float64))
    worst = int(np.argmax(error))
    assert error[worst] <= BOUNDS[name], (error[worst], x[worst], got[worst], wanted[worst])


@pytest.mark.parametrize("dtype", DTYPES)
def test_lgamma_below_zero(dtype: str, opencl: dt.device) -> None:
    rng = np.random.default_rng(4)
    small = [-1e-3, -1e-9, -1e-20, -1e-30, -0.5, -170.25]
    x = np.concatenate([-rng.uniform(0, 30, 3000), small]).astype(dtype)
    wanted = _reference("lgamma", x)
    # Beside a pole or a zero the place's rounding is what counts.
    slope = np.abs(np.pi / np.tan(np.pi * x.astype(np.float64))) * np.abs(x)
    most = (8 * np.maximum(1, np.abs(wanted)) + slope) * np.finfo(dtype).eps
    assert (np.abs(_made("lgamma", x) - wanted) <= most).all()


@pytest.mark.parametrize("dtype", [*DTYPES, "float16", "bfloat16"])
def test_poles_of_lgamma(dtype: str, opencl: dt.device) -> None:
    x = dt.tensor(POLES, device=opencl).to(getattr(dt, dtype))
    assert x.lgamma().tolist() == [np.inf] * len(POLES)
    rest = dt.tensor([1.0, 2.0, np.nan, 3.0], device=opencl).to(getattr(dt, dtype)).lgamma()
    np.testing.assert_allclose(rest.cpu().double().numpy(), [0, 0, np.nan, np.log(2)], rtol=4e-3)


@pytest.mark.parametrize("name", ["digamma", "erfinv"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(name: str, dtype: str, opencl: dt.device) -> None:
    edges = [0.0, -0.0, 1, 2, -1, -2, -3.5, -170.25, np.inf, -np.inf, np.nan, 1e-30, -1e-30]
    x = np.array([*edges, 0.5, -0.5, -0.9999, 1.5, 3e38, -3e38], dtype)
    got, wanted = _made(name, x), getattr(torch, name)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    np.testing.assert_array_equal(np.signbit(got[wanted == 0]), np.signbit(wanted[wanted == 0]))
