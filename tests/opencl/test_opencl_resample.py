"""Images at other sizes: one launch forward and one back, in both classes of device, for lines that
a vector's inputs lie near in or far apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="PyTorch's interpolate is the reference")

PROGRAM = """
import numpy as np, torch
import dovetail as dt
CASES = [
    ((2, 3, 27, 39), {"scale_factor": 2, "mode": "bilinear"}),
    ((2, 3, 7, 9), {"size": (3, 20), "mode": "bilinear", "align_corners": True}),
    ((1, 2, 37, 90), {"size": (13, 200), "mode": "bilinear", "align_corners": True}),
    ((2, 3, 7, 9), {"scale_factor": (2.5, 0.7), "mode": "nearest"}),
    ((2, 3, 7, 40), {"scale_factor": 2, "mode": "nearest"}),
    ((1, 2, 70, 99), {"scale_factor": 0.3, "mode": "bilinear"}),
    ((1, 2, 33, 70), {"scale_factor": 2, "mode": "bicubic"}),
    ((1, 2, 64, 90), {"size": (20, 31), "mode": "bilinear", "antialias": True}),
    ((2, 3, 70), {"size": 120, "mode": "linear"}),
    ((2, 3, 4, 5, 36), {"scale_factor": 2, "mode": "trilinear"}),
    ((2, 3, 4, 5, 6), {"size": (8, 5, 9), "mode": "nearest-exact"}),
    ((2, 3, 7, 9), {"size": (7, 9), "mode": "bilinear"}),
    ((1, 1, 1, 1), {"size": (7, 9), "mode": "bilinear"}),
    ((1, 1, 9, 9), {"size": (1, 1), "mode": "bilinear"}),
]
LAST = {"float32": 2e-5, "float64": 1e-13, "float16": 2e-3}
rng = np.random.default_rng(0)
for shape, options in CASES:
    for dtype, last in LAST.items():
        x = rng.standard_normal(shape).astype(dtype)
        given = torch.from_numpy(x).to(torch.float64 if dtype == "float64" else torch.float32)
        given.requires_grad_()
        wanted = torch.nn.functional.interpolate(given, **options)
        slopes = rng.standard_normal(tuple(wanted.shape)).astype(dtype)
        wanted.backward(torch.from_numpy(slopes).to(given.dtype))
        a = dt.tensor(x, device="opencl:0").requires_grad_()
        got = dt.nn.functional.interpolate(a, **options)
        got.backward(dt.tensor(slopes, device="opencl:0"))
        for made, right in ((got.detach(), wanted.detach()), (a.grad, given.grad)):
            most = last * max(1.0, float(right.abs().max()))
            np.testing.assert_allclose(made.cpu().numpy(), right.numpy(), last, most)
"""


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_both_classes_resample_as_pytorch_does(
    in_class: Callable[[str, str], None], kind: str
) -> None:
    in_class(PROGRAM, kind)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_it_is_a_launch_each_way(queue: Any, mode: str) -> None:
    x = dt.randn(2, 3, 8, 8, device="opencl:0").requires_grad_()
    slopes = dt.ones(2, 3, 16, 16, device="opencl:0")
    for _ in range(2):
        x.grad = None
        before = queue.launches
        dt.nn.functional.interpolate(x, scale_factor=2, mode=mode).backward(slopes)
        assert queue.launches == before + 2


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_infinity_and_nan_reach_what_they_reach_in_pytorch(mode: str, opencl: dt.device) -> None:
    x = np.random.default_rng(1).standard_normal((1, 1, 6, 6)).astype(np.float32)
    x[0, 0, 2, 3], x[0, 0, 5, 5], x[0, 0, 0, 1] = np.inf, np.nan, -0.0
    wanted = torch.nn.functional.interpolate(torch.from_numpy(x), scale_factor=2, mode=mode).numpy()
    got = dt.nn.functional.interpolate(dt.tensor(x, device=opencl), scale_factor=2, mode=mode)
    made = got.cpu().numpy()
    np.testing.assert_allclose(made, wanted, 1e-6, 1e-6)
    if mode == "nearest":
        np.testing.assert_array_equal(np.signbit(made), np.signbit(wanted))
