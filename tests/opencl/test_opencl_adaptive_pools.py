"""Adaptive pools with windows of unequal sizes, beside PyTorch, in both classes of device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

CASES = """
import numpy as np
import torch
import dovetail as dt

random = np.random.default_rng(0)

def beside(name, shape, size, kind="float32", bound=1e-5):
    x = random.integers(-99, 99, shape) / 8
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        given = library.tensor(x, device=device).to(getattr(library, kind)).requires_grad_()
        out = getattr(library.nn.functional, name)(given, size)
        weights = np.cos(np.arange(out.numel())).reshape(tuple(out.shape))
        (out * library.tensor(weights, device=device).to(out.dtype)).sum().backward()
        found.append([t.detach().cpu().double().numpy() for t in (out, given.grad)])
    for ours, theirs in zip(*found, strict=True):
        atol = bound * max(1, abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol, err_msg=f"{name} {shape}")

def all_of(function):
    for shape, size in (
        ((2, 3, 7), 3), ((2, 3, 4), 6), ((2, 3, 7, 5), (3, 4)), ((70, 2, 3, 4), (5, 3)),
        ((1, 2, 60, 45), (7, 44)), ((2, 3, 7, 5, 4), (3, 7, 4)), ((1, 1, 5, 6, 7), (2, 4, 3)),
    ):
        function(f"{len(shape) - 2}d", shape, size)
"""

CHECKS = {
    "means": "all_of(lambda n, *rest: beside('adaptive_avg_pool' + n, *rest))",
    "largest": "all_of(lambda n, *rest: beside('adaptive_max_pool' + n, *rest))",
    "dtypes": """
for name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
    beside(name, (2, 3, 7, 5), (3, 4), kind="float64", bound=1e-13)
    beside(name, (2, 3, 7, 5), (3, 4), kind="bfloat16", bound=2e-2)
    beside(name, (2, 3, 7, 5), (3, 4), kind="float16", bound=2e-3)
""",
    "places": """
x = random.integers(-3, 3, (2, 3, 11, 9)).astype(np.float32)
x[0, 0, 4] = np.nan
made = [
    library.nn.functional.adaptive_max_pool2d(library.tensor(x, device=device), (4, 5), True)
    for library, device in ((dt, "opencl:0"), (torch, "cpu"))
]
for ours, theirs in zip(*made, strict=True):
    real = ~np.isnan(made[1][0].numpy())  # of several NaN the first is named, PyTorch's is the last
    assert (real == ~np.isnan(made[0][0].cpu().numpy())).all() and not real.all()
    np.testing.assert_array_equal(ours.cpu().numpy()[real], theirs.numpy()[real])
""",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_compute_what_pytorch_does(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(CASES + CHECKS[name], kind)


@pytest.mark.parametrize("name", ["adaptive_avg_pool2d", "adaptive_max_pool2d"])
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    x = dt.randn(2, 3, 7, 5, device=opencl, requires_grad=True)
    pool = getattr(dt.nn.functional, name)
    out = pool(x, (3, 4))
    weights = dt.ones_like(out)
    dt.autograd.grad(out, x, weights, retain_graph=True)
    before = queue.launches
    out = pool(x, (3, 4))
    assert queue.launches == before + 1
    dt.autograd.grad(out, x, weights)
    assert queue.launches == before + 2
