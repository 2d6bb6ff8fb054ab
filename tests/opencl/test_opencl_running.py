"""cummax and cummin: values, places of the last of equal ones, NaN, in one launch or two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="PyTorch's cummax is the reference")

CASES: list[tuple[tuple[int, ...], int]] = [
    ((), 0), ((1,), 0), ((0, 3), 1), ((100_000,), 0), ((2, 9001), 1), ((50, 100), 0),
    ((50, 100), 1), ((5, 70, 33), 1), ((3, 64, 16), 1), ((20, 3, 130), 0),
]  # fmt: skip
DTYPES = [
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"
]  # fmt: skip


def _numbers(shape: tuple[int, ...], dtype: str) -> Any:
    """Few values, so that many are equal; of floats some infinite and some NaN, late ones."""
    rng = np.random.default_rng(len(shape))
    made = torch.tensor(rng.integers(0, 4, shape)).to(getattr(torch, dtype))
    if made.is_floating_point() and made.numel() > 9:
        flat = made.view(-1)
        flat[torch.tensor(rng.integers(0, flat.numel(), flat.numel() // 50))] = -torch.inf
        flat[torch.tensor(rng.integers(flat.numel() // 2, flat.numel(), 5))] = torch.nan
    return made


@pytest.mark.parametrize("name", ["cummax", "cummin"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_turned", [False, True])
def test_running_extremes(name: str, dtype: str, is_turned: bool, queue: Any) -> None:
    for shape, dim in CASES:
        x = _numbers(shape, dtype)
        wide = x.double() if dtype == "bfloat16" else x
        y = dt.tensor(wide.numpy(), device="opencl:0").to(getattr(dt, dtype))
        if is_turned:
            y = y.movedim(0, -1).contiguous().movedim(-1, 0) if y.ndim else y
        wanted = getattr(x, name)(dim)
        before = queue.launches
        values, indices = getattr(y, name)(dim)
        assert queue.launches - before <= 2
        np.testing.assert_array_equal(indices.cpu().numpy(), wanted[1].numpy())
        np.testing.assert_array_equal(values.cpu().double().numpy(), wanted[0].double().numpy())
