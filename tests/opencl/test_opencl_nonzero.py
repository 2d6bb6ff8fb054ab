"""Places of elements that are not zero: chunks, dims, dtypes and layouts, beside NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt

SHAPES = [(1,), (5,), (4096,), (100_001,), (70, 300), (9000, 1), (3, 5, 700), (2, 1, 3, 4000)]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("dtype", ["bool", "float32", "float16", "int64", "complex64"])
def test_places(dtype: str, share: float, opencl: dt.device) -> None:
    rng = np.random.default_rng(8)
    for shape in SHAPES:
        x = (rng.random(shape) < share).astype(dtype)
        got = dt.tensor(x, device=opencl).nonzero()
        np.testing.assert_array_equal(got.cpu().numpy(), np.argwhere(x))


def test_nan_and_signed_zero(opencl: dt.device) -> None:
    x = np.array([0.0, -0.0, np.nan, np.inf, 1e-45, -3], np.float32)
    assert dt.tensor(x, device=opencl).nonzero().reshape(-1).tolist() == [2, 3, 4, 5]


def test_views(opencl: dt.device) -> None:
    x = np.random.default_rng(9).integers(0, 2, (60, 130))
    a = dt.tensor(x, device=opencl)
    np.testing.assert_array_equal(a[7:].nonzero().cpu().numpy(), np.argwhere(x[7:]))
    np.testing.assert_array_equal(a.T.nonzero().cpu().numpy(), np.argwhere(x.T))
    np.testing.assert_array_equal(a[:, ::2].nonzero().cpu().numpy(), np.argwhere(x[:, ::2]))
    mask = dt.tensor(x > 0, device=opencl)
    np.testing.assert_array_equal(a.masked_select(mask).cpu().numpy(), x[x > 0])
