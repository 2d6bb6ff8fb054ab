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


@pytest.mark.parametrize(("n", "launches"), [(6, 1), (200, 2)])  # long lines are sorted first
@pytest.mark.parametrize("q", [0.2, [0.2, 0.7]])
def test_launches(opencl: dt.device, queue: Any, n: int, launches: int, q: Any) -> None:
    x = dt.randn(4, n, device=opencl)
    given = q if isinstance(q, float) else dt.tensor(q, device=opencl)
    for _ in range(3):  # a number becomes one on the device when it has come twice
        x.quantile(given, 1)
    before = queue.launches
    x.quantile(given, 1)
    assert queue.launches == before + launches


def test_a_number_that_is_no_fraction_is_refused_by_a_known_call(opencl: dt.device) -> None:
    x = dt.ones(3, device=opencl)
    x.quantile(0.5)
    with pytest.raises(RuntimeError, match=r"in the range \[0, 1\] but got 1.5"):
        x.quantile(1.5)
