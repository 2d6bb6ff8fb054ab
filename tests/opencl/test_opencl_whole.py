"""Quotients of whole numbers, which are computed in real ones on the host's cores: exact always."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt


def _operands(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of 8 bits; else edges with edges, multiples and what is near them, any numbers."""
    facts = np.iinfo(dtype)
    if facts.bits == 8:
        every = np.arange(facts.min, facts.max + 1).astype(dtype)
        x, y = np.meshgrid(every, every)
        return x.reshape(-1), y.reshape(-1)
    rng = np.random.default_rng(1)
    ends = [facts.min, facts.min + 1, -7, -3, -2, -1, 0, 1, 2, 3, 7, facts.max - 1, facts.max]
    x, y = (grid.reshape(-1) for grid in np.meshgrid(np.array(ends, dtype), np.array(ends, dtype)))
    root = int(facts.max**0.5) - 1
    divisor, by = (rng.integers(-root, root, 20_000).astype(dtype) for _ in range(2))
    near = divisor * by + rng.integers(-1, 2, divisor.size).astype(dtype)
    wide = rng.integers(facts.min, facts.max, (2, 20_000), dtype, endpoint=True)
    small = rng.integers(-9, 9, wide[0].size).astype(dtype)
    return np.concatenate([x, near, wide[0], wide[1]]), np.concatenate([y, divisor, wide[1], small])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_quotients_are_exact(dtype: str, opencl: dt.device) -> None:
    x, y = _operands(dtype)
    is_zero = y == 0
    divisor = np.where(is_zero, 1, y).astype(dtype)
    with np.errstate(all="ignore"):
        quotient, rest = x // divisor, np.remainder(x, divisor)
    a, b = dt.tensor(x, device=opencl), dt.tensor(y, device=opencl)
    made = a // b, a % b
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        dt.opencl.synchronize()
    nothing = np.array(-1).astype(dtype)
    np.testing.assert_array_equal(made[0].cpu().numpy(), np.where(is_zero, nothing, quotient))
    np.testing.assert_array_equal(made[1].cpu().numpy(), np.where(is_zero, x, rest))


@pytest.mark.parametrize("number", [1, 2, 7, 100, -1, -7])
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_divisors_that_are_numbers(dtype: str, number: int, opencl: dt.device) -> None:
    x, _ = _operands(dtype)
    by: Any = np.array(number, dtype)
    with np.errstate(over="ignore"):
        quotient, rest = x // by, np.remainder(x, by)
    a = dt.tensor(x, device=opencl)
    np.testing.assert_array_equal((a // number).cpu().numpy(), quotient)
    np.testing.assert_array_equal((a % number).cpu().numpy(), rest)


@pytest.mark.parametrize(("low", "high"), [(-3, 5), (None, 5), (-3, None), (5, -3)])
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_clamp_is_one_kernel(
    dtype: str, low: Any, high: Any, opencl: dt.device, queue: Any
) -> None:
    host = np.arange(-50, 50).astype(dtype)
    x = dt.tensor(host, device=opencl)
    before = queue.launches
    got = x.clamp(low, high)
    assert queue.launches == before + 1
    wanted = host if low is None else np.maximum(host, low)
    wanted = wanted if high is None else np.minimum(wanted, high)
    np.testing.assert_array_equal(got.cpu().numpy(), wanted)
