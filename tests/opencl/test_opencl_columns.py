"""fold on the host's cores: lines longer than what is added up at a time, strides, padding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="PyTorch's fold is the reference")

SIZES = ((5, 7), (3, 300), (1, 600), (9, 1))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 5), (2, 1)])
def test_fold(dtype: str, kernel: tuple[int, int], opencl: dt.device) -> None:
    rng = np.random.default_rng(2)
    last = {"float16": 2e-3, "float32": 2e-6, "float64": 4e-15}[dtype]
    for size, stride, padding, dilation in itertools.product(SIZES, (1, 2, 3), (0, 1), (1, 2)):
        places = [
            (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1
            for n, k in zip(size, kernel, strict=True)
        ]
        if min(places) < 1 or padding > min(kernel):
            continue
        shape = (2, 3 * kernel[0] * kernel[1], places[0] * places[1])
        x = rng.standard_normal(shape).astype(dtype)
        how = (size, kernel, dilation, padding, stride)
        got = dt.nn.functional.fold(dt.tensor(x, device=opencl), *how).cpu().numpy()
        wanted = torch.nn.functional.fold(torch.from_numpy(x).double(), *how).numpy()
        np.testing.assert_allclose(got, wanted, rtol=last, atol=last)
