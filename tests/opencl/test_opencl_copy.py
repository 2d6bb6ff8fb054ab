"""Copies between layouts: transposed ones go through registers, others element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

CASES = [
    ((40, 50), (1, 0)), ((16, 16), (1, 0)), ((17, 33), (1, 0)), ((3, 40, 50), (0, 2, 1)),
    ((20, 3, 30), (2, 1, 0)), ((4, 20, 5, 30), (0, 3, 2, 1)), ((300, 20), (1, 0)),
    ((20, 700), (1, 0)), ((300, 400), (1, 0)), ((2, 3, 64, 64), (1, 0, 3, 2)),
    ((64, 2, 3, 64), (3, 1, 2, 0)),
]  # fmt: skip
"""(shape, dims): with whole tiles and rests, short lines and long ones."""


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "int16", "uint8", "complex64"]
)
@pytest.mark.parametrize(("shape", "dims"), CASES)
def test_transposed(
    shape: tuple[int, ...], dims: tuple[int, ...], dtype: str, opencl: dt.device
) -> None:
    rng = np.random.default_rng(5)
    x = dt.tensor((rng.standard_normal(shape) * 50).round()).to(getattr(dt, dtype))
    there = x.to(opencl)
    for host, here in ((x, there), (x[1:], there[1:]), (x[..., 1:], there[..., 1:])):
        wanted = _bits(host.permute(*dims).contiguous())
        np.testing.assert_array_equal(_bits(here.permute(*dims).contiguous().cpu()), wanted)
    padded = dt.zeros(*(shape[d] + 1 for d in dims), dtype=x.dtype, device=opencl)
    padded[tuple(slice(1, None) for _ in dims)].copy_(there.permute(*dims))
    expected = dt.zeros(*padded.shape, dtype=x.dtype)
    expected[tuple(slice(1, None) for _ in dims)].copy_(x.permute(*dims))
    np.testing.assert_array_equal(_bits(padded.cpu()), _bits(expected))


def _bits(x: dt.Tensor) -> Any:
    if x.dtype is dt.bfloat16:
        return x.float().numpy()
    return x.numpy()


def test_a_repeated_element_is_no_transposition(opencl: dt.device) -> None:
    column = dt.arange(64.0, device=opencl).view(64, 1)
    wanted = np.repeat(np.arange(64.0)[:, None], 48, 1)
    np.testing.assert_array_equal(column.expand(64, 48).contiguous().cpu().numpy(), wanted)


def test_sums_with_a_transposed_operand_stay_packed(opencl: dt.device, queue: Any) -> None:
    rng = np.random.default_rng(6)
    a, b = (rng.standard_normal((96, 96)).astype(np.float32) for _ in "ab")
    x, y = dt.tensor(a, device=opencl), dt.tensor(b, device=opencl)
    for _ in range(3):
        made = x + y.t()
    np.testing.assert_array_equal(made.cpu().numpy(), a + b.T)
