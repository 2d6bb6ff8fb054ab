"""quantile and nanquantile on opencl, in both classes of device, beside PyTorch."""

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

def beside(shape, q, dim, odd=0.0, kind="float32", **options):
    x = random.standard_normal(shape).astype(kind)
    x[random.random(shape) < odd] = np.nan
    if x.ndim > 1 and odd:
        x[0] = np.nan
    for name in ("quantile", "nanquantile"):
        made = [
            getattr(library, name)(
                library.tensor(x, device=device),
                library.tensor(np.asarray(q, kind), device=device), dim, **options,
            ).cpu().numpy()
            for library, device in ((dt, "opencl:0"), (torch, "cpu"))
        ]
        np.testing.assert_allclose(*made, rtol=1e-6, err_msg=f"{name} {shape} {options}")

some = [0.0, 0.1, 0.5, 0.77, 1.0]
"""

CHECKS = {
    way: f"""
options = {{"interpolation": {way!r}}}
for odd in (0.0, 0.2):
    beside((7,), some, 0, odd, **options)
    beside((4, 9), 0.3, 1, odd, **options)
    beside((4, 9), some, 0, odd, keepdim=True, **options)
    beside((3, 200, 5), some, 1, odd, kind="float64", **options)
    beside((3, 5), some, None, odd, **options)
"""
    for way in ("linear", "lower", "higher", "midpoint", "nearest")
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_compute_what_pytorch_does(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(CASES + CHECKS[name], kind)


def test_launches(opencl: dt.device, queue: Any) -> None:
    x, q = dt.randn(4, 6, device=opencl), dt.tensor([0.2, 0.7], device=opencl)
    x.quantile(q, 1)
    before = queue.launches
    x.quantile(q, 1)
    assert queue.launches == before + 2  # sorted, then looked at
