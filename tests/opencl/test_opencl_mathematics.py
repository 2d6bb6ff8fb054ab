"""The functions on float that are ours where the host's cores are the device: within bounds in ulp.

References are NumPy's and PyTorch's in float64, on a sample of all floats and on what is special.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.backend import EXPRESSIONS, elementwise_source
from dovetail.backend.source import DENSE
from dovetail.dtypes import bfloat16, float32
from dovetail_kernels import mathematics
from dovetail_kernels.dialect import CPU, GPU

torch = pytest.importorskip("torch", reason="PyTorch's erf and erfc are the reference")

BOUNDS = {
    "exp": 1.0, "exp2": 1.0, "expm1": 1.5, "log": 1.0, "log2": 1.6, "log10": 1.6, "log1p": 1.0,
    "sin": 2.7, "cos": 2.7, "tan": 4.0, "tanh": 1.6, "sinh": 1.7, "cosh": 1.5, "asin": 1.9,
    "acos": 1.2, "atan": 1.5, "asinh": 1.8, "acosh": 2.0, "atanh": 2.1, "erf": 1.5, "erfc": 2.8,
    "pow": 1.8, "atan2": 1.6, "hypot": 1.3, "fmod": 0.0,
}  # fmt: skip
"""By name, the largest error in units of the result's last place."""

EDGES = np.array(
    [
        0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, -0.5, 2, -2, 3, -3, 1e-45, -1e-45, 1e-40,
        -1e-40, 1.17549435e-38, 3.4028235e38, -3.4028235e38, 88.72, 88.73, -87.4, -103.9, -104.1,
        89, 127.99, 128, -149, -150, 8388608, 8388609, -8388609, 16777216, 1e5, -1e5, 100001, 1e22,
    ],
    np.float32,
)  # fmt: skip


def _arguments(count: int) -> np.ndarray:
    """Floats of all sizes, and some near 0, where functions change most."""
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2**32, count, dtype=np.uint64).astype(np.uint32).view(np.float32)
    near = rng.standard_normal(count).astype(np.float32) * np.float32(3)
    wide = rng.uniform(-100, 100, count).astype(np.float32)
    return np.concatenate([EDGES, bits, near, wide])


def _pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Every edge with every other, and numbers of which a power is finite."""
    rng = np.random.default_rng(4)
    x, y = (grid.reshape(-1) for grid in np.meshgrid(EDGES, EDGES))
    base = np.exp(rng.uniform(-20, 20, count)).astype(np.float32)
    exponent = rng.uniform(-4, 4, count).astype(np.float32)
    whole = rng.integers(-9, 9, count).astype(np.float32)
    return np.concatenate([x, base, -base]), np.concatenate([y, exponent, whole])


def _errors(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Units in the last place, infinite where one is NaN or infinite and the other is not."""
    with np.errstate(all="ignore"):
        rounded = wanted.astype(np.float32)
        last = np.spacing(np.maximum(np.abs(rounded), np.float32(1.17549435e-38)))
        error = np.abs(got.astype(np.float64) - wanted) / last.astype(np.float64)
    huge = np.abs(rounded) > 3.4e38  # at the end of the range either neighbour may be infinite
    same = np.isnan(got) & np.isnan(rounded) | (got == rounded) | huge & (np.abs(got) > 3.4e38)
    error[~np.isfinite(error)] = np.inf
    error[same] = np.minimum(np.nan_to_num(error[same], posinf=0), 1e9)
    error[same & ~np.isfinite(got)] = 0
    return error


def _reference(name: str, arrays: list[np.ndarray]) -> np.ndarray:
    with np.errstate(all="ignore"):
        tensors = [torch.from_numpy(a.astype(np.float64)) for a in arrays]
        made = getattr(torch, name)(*tensors)
    return np.asarray(made.numpy())


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_function_is_within_its_bound(name: str, opencl: dt.device, queue: Any) -> None:
    if not queue.is_cpu:
        pytest.skip("a GPU's own functions are used")
    arrays = list(_pairs(150_000)) if name in ("pow", "atan2", "hypot", "fmod") else []
    arrays = arrays or [_arguments(150_000)]
    tensors = [dt.tensor(a, device=opencl) for a in arrays]
    got = getattr(dt, name)(*tensors).cpu().numpy()
    wanted = _reference(name, arrays)
    error = _errors(got, wanted)
    worst = int(np.argmax(error))
    at = [float(a[worst]) for a in arrays]
    assert error[worst] <= BOUNDS[name], (error[worst], at, got[worst], wanted[worst])
    zeros = (wanted == 0) & (got == 0)
    assert (np.signbit(got[zeros]) == np.signbit(wanted[zeros])).all(), "the sign of a zero"


def test_gelu_keeps_its_tail(opencl: dt.device) -> None:
    x = np.linspace(-8, 8, 20001, dtype=np.float32)
    got = dt.nn.functional.gelu(dt.tensor(x, device=opencl)).cpu().numpy()
    wide = torch.from_numpy(x.astype(np.float64))
    wanted = (wide * 0.5 * torch.special.erfc(-wide * 0.5**0.5)).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(got[x > -2], wanted[x > -2], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 4097])
def test_vectors_end_where_the_elements_do(count: int, dtype: str, opencl: dt.device) -> None:
    kind = getattr(dt, dtype)
    whole = dt.zeros(count + 40, dtype=kind, device=opencl) + 1
    whole[3 : 3 + count].sin_()
    values = whole.float().cpu().numpy()
    assert (np.delete(values, slice(3, 3 + count)) == 1).all()
    np.testing.assert_allclose(values[3 : 3 + count], np.sin(1), rtol=5e-3)


def test_far_angles_among_near_ones(opencl: dt.device) -> None:
    x = np.tile(np.array([0.5, 1e22, -3e7, 2.5e5, np.inf, -2.0], np.float32), 40)
    got = dt.sin(dt.tensor(x, device=opencl)).cpu().numpy()
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(got, np.sin(x.astype(np.float64)), rtol=3e-7)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: dt.isnan(x),
        lambda x: x == 5,
        lambda x: x > 0,
        lambda x: (x < 0).logical_not(),
    ],
)
def test_truth_is_written_as_zero_and_one(call: Callable[[Any], Any], opencl: dt.device) -> None:
    host = np.array([0.5, np.nan, -1, 5] * 11, np.float32)
    here, there = call(dt.tensor(host, device=opencl)), call(dt.tensor(host))
    bits = here.view(dt.uint8).cpu().numpy()
    assert set(bits.tolist()) <= {0, 1}
    np.testing.assert_array_equal(bits, there.view(dt.uint8).numpy())


@pytest.mark.parametrize("exponent", [2, 3, 4, 0.5, 0.25, 1.5, 2.5, -0.5, -1, -2, 1.75, 0, 1 / 3])
def test_powers_that_are_known(exponent: float, opencl: dt.device) -> None:
    host = np.array([0.0, 1e-3, 0.7, 1, 2.5, 30, np.inf, np.nan], np.float32)
    got = (dt.tensor(host, device=opencl) ** exponent).cpu().numpy()
    with np.errstate(divide="ignore"):
        wanted = host.astype(np.float64) ** exponent
    np.testing.assert_allclose(got, wanted, rtol=2e-7)


@pytest.mark.parametrize("exponent", [4, -2, 1.5, 2.5, 0.25, 1.75, -1.75, 5, -3])
def test_powers_of_edges(exponent: float, opencl: dt.device) -> None:
    got = (dt.tensor(EDGES, device=opencl) ** exponent).cpu().numpy()
    with np.errstate(all="ignore"):
        wanted = EDGES.astype(np.float64) ** exponent
    assert _errors(got, wanted).max() <= 2
    zeros = (wanted == 0) & (got == 0)
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(wanted[zeros]))


def test_powers_far_from_one(opencl: dt.device, queue: Any) -> None:
    if not queue.is_cpu:
        pytest.skip("a GPU's own functions are used")
    rng = np.random.default_rng(5)
    base = np.exp(rng.uniform(-1, 1, 200_000)).astype(np.float32)
    exponent = rng.uniform(-160, 160, base.size).astype(np.float32)
    got = (dt.tensor(base, device=opencl) ** dt.tensor(exponent, device=opencl)).cpu().numpy()
    with np.errstate(over="ignore"):
        wanted = base.astype(np.float64) ** exponent
    assert _errors(got, wanted).max() <= 2.5


@pytest.mark.parametrize("name", ["softplus", "logsigmoid"])
def test_softplus_is_within_its_bound(name: str, opencl: dt.device, queue: Any) -> None:
    if not queue.is_cpu:
        pytest.skip("a GPU's own functions are used")
    x = _arguments(150_000)
    sign = 1.0 if name == "softplus" else -1.0
    got = getattr(dt.nn.functional, name)(dt.tensor(x, device=opencl)).cpu().numpy()
    y = torch.from_numpy(x).double() * sign
    wanted = sign * torch.logaddexp(y, torch.zeros_like(y)).numpy()
    if name == "softplus":  # the identity above its threshold
        wanted = np.where(x > 20, x, wanted)
    assert _errors(got, wanted).max() <= 2


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (None, 1), (-1, None), (1, -1), (np.nan, 1)])
def test_clamp_is_one_kernel(low: Any, high: Any, opencl: dt.device, queue: Any) -> None:
    host = np.array([-3, -1, 0, 1, 3, np.nan, np.inf, -np.inf] * 5, np.float32)
    x = dt.tensor(host, device=opencl)
    before = queue.launches
    got = x.clamp(low, high)
    assert queue.launches == before + 1
    wanted = torch.clamp(torch.from_numpy(host), low, high).numpy()
    np.testing.assert_array_equal(got.cpu().numpy(), wanted)


def test_only_the_hosts_cores_have_them() -> None:
    exp = EXPRESSIONS["exp"]
    ours = elementwise_source("exp", (float32,), float32, DENSE[2], CPU, exp)
    assert mathematics.named("exp", 16) in ours
    halves = elementwise_source("exp", (bfloat16,), bfloat16, DENSE[2], CPU, exp)
    assert mathematics.named("exp", 16, "half") in halves
    theirs = elementwise_source("exp", (float32,), float32, DENSE[2], GPU, exp)
    assert "exp_float16" not in theirs


def test_a_function_comes_after_those_that_it_calls() -> None:
    names = [*mathematics.written(["atanh"], 16)]
    assert names[-1] == "atanh_float16"
    assert names.index("log1p_near_float16") < names.index("log1p_float16")
    for name in mathematics.FUNCTIONS:
        for width in (1, 16):
            text = "".join(mathematics.written([name], width).values())
            assert "NAME(" not in text
