"""The functions on double that are ours on the host's cores: within bounds in ulp.

References are NumPy's in 80 bits, and PyTorch's erf and erfc, whose own error is below 1 ulp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail_kernels import mathematics

torch = pytest.importorskip("torch", reason="PyTorch's erf and erfc are the reference")

BOUNDS = {
    "exp": 1.1, "exp2": 1.4, "expm1": 2.2, "log": 0.9, "log2": 0.9, "log10": 0.8, "log1p": 1.5,
    "sin": 1.6, "cos": 1.6, "tan": 3.2, "tanh": 2.7, "sinh": 2.4, "cosh": 1.6, "asin": 2.2,
    "acos": 1.1, "atan": 1.9, "asinh": 1.8, "acosh": 2.0, "atanh": 2.0, "erf": 2.2, "erfc": 3.7,
    "pow": 1.5, "atan2": 1.9, "hypot": 1.2, "fmod": 0.0,
}  # fmt: skip
"""By name, the largest error in units of the result's last place."""

NUMPYS = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh",
    "atanh": "arctanh", "pow": "power", "atan2": "arctan2",
}  # fmt: skip

LEAST, MOST = np.finfo(np.float64).tiny, np.finfo(np.float64).max
EDGES = np.array(
    [
        0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, -0.5, 2, -2, 3, -3, 5e-324, -5e-324,
        1e-310, -1e-310, LEAST, MOST, -MOST, 709.78, 709.79, 710.4, 710.48, -708.4, -745.1, -746,
        1023.99, 1024, -1074, -1076, 2.0**52, 2.0**52 + 1, 2.0**53, 1e9, -1e9, 1.1e9, 1e22, 1e-20,
        -1e-20, 26.5, 27.3, 6, -6, 1e150, 2e150, 2.0**51, 2.0**53 + 2, 1.5e300, np.pi, np.pi / 2,
        np.nextafter(1, 0), np.nextafter(1, 2), 1e-8, 22, 700, 1.5e-323,
    ]
)  # fmt: skip

LANES = 8
"""An edge fills a vector: beside one that is C's own function's to compute, others would be too."""


def _arguments(count: int) -> list[np.ndarray]:
    """Numbers of all sizes, and some near 0, where functions change most."""
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2**64, count, dtype=np.uint64).view(np.float64)
    near, small = rng.standard_normal(count) * 3, rng.standard_normal(count) * 1e-3
    quarters = rng.integers(1, 6 * 10**8, count) * (np.pi / 2)  # nearly roots of sin, cos
    some = [bits, near, small, rng.uniform(-750, 750, count), quarters]
    return [np.concatenate([np.repeat(EDGES, LANES), *some])]


def _pairs(count: int) -> list[np.ndarray]:
    """Every edge with every other, and numbers of which a power is finite."""
    rng = np.random.default_rng(4)
    x, y = (np.repeat(grid, LANES) for grid in np.meshgrid(EDGES, EDGES))
    base, near = np.exp(rng.uniform(-20, 20, count)), np.exp(rng.uniform(-1, 1, count))
    exponent, far = rng.uniform(-4, 4, count), rng.uniform(-700, 700, count)
    whole = rng.integers(-9, 9, count).astype(np.float64)
    return [np.concatenate([x, base, -base, near]), np.concatenate([y, exponent, whole, far])]


def _errors(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Units in the last place, infinite where one is NaN or infinite and the other is not."""
    with np.errstate(all="ignore"):
        rounded = wanted.astype(np.float64)
        last = np.spacing(np.clip(np.abs(rounded), LEAST, MOST / 2))
        error = np.abs((got - wanted) / last).astype(np.float64)
    huge = np.abs(rounded) > MOST * (1 - 1e-15)  # either neighbour may be infinite there
    same = (np.isnan(got) & np.isnan(rounded)) | (got == rounded) | huge & (np.abs(got) > 1e308)
    return np.where(
        same, np.where(np.isfinite(error), error, 0), np.where(error == error, error, np.inf)
    )


def _reference(name: str, arrays: list[np.ndarray]) -> np.ndarray:
    if name in ("erf", "erfc"):
        return np.asarray(getattr(torch, name)(torch.from_numpy(arrays[0])).numpy())
    with np.errstate(all="ignore"):
        return np.asarray(getattr(np, NUMPYS.get(name, name))(*map(np.longdouble, arrays)))


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_function_is_within_its_bound(name: str, opencl: dt.device, queue: Any) -> None:
    if not queue.is_cpu:
        pytest.skip("a GPU's own functions are used")
    arrays = _pairs(60_000) if name in ("pow", "atan2", "hypot", "fmod") else _arguments(60_000)
    got = getattr(dt, name)(*[dt.tensor(a, device=opencl) for a in arrays]).cpu().numpy()
    wanted = _reference(name, arrays)
    error = _errors(got, wanted)
    worst = int(np.argmax(error))
    at = [float(a[worst]) for a in arrays]
    assert error[worst] <= BOUNDS[name], (error[worst], at, got[worst], wanted[worst])
    zeros = (wanted == 0) & (got == 0)
    assert (np.signbit(got[zeros]) == np.signbit(wanted[zeros])).all(), "the sign of a zero"


FUSED: dict[str, Callable[[Any, Any], Any]] = {
    "softplus": lambda there, x: there.softplus(x),
    "logsigmoid": lambda there, x: there.logsigmoid(x),
    "gelu": lambda there, x: there.gelu(x),
    "silu": lambda there, x: there.silu(x),
    "mish": lambda there, x: there.mish(x),
    "elu": lambda there, x: there.elu(x),
}


@pytest.mark.parametrize("name", sorted(FUSED))
def test_what_is_made_of_them(name: str, opencl: dt.device) -> None:
    x = np.random.default_rng(5).uniform(-5, 5, 4099)
    got = FUSED[name](dt.nn.functional, dt.tensor(x, device=opencl)).cpu().numpy()
    wanted = FUSED[name](torch.nn.functional, torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("name", ["exp", "log", "sin", "erf"])
def test_along_lines_that_are_not_dense(name: str, step: int, opencl: dt.device) -> None:
    x = np.random.default_rng(6).uniform(0.1, 5, (11, 70))
    got = getattr(dt, name)(dt.tensor(x, device=opencl)[1:, 1::step]).cpu().numpy()
    wanted = getattr(torch, name)(torch.from_numpy(x)[1:, 1::step]).numpy()
    np.testing.assert_allclose(got, wanted, rtol=4e-15)


def test_all_of_the_floats_functions_are_there() -> None:
    alone = {"normal_cdf", "soft_plus"}  # of double, expressions of the others
    there = {name for name in mathematics.FUNCTIONS if mathematics.is_there(name, "double")}
    assert there == mathematics.FUNCTIONS - alone
