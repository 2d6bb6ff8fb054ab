"""histc between given ends on opencl, in both classes of device, beside PyTorch."""

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

def beside(n, bins, low, high, kind="float32"):
    # Sixteenths, of which many lie on edges.
    x = np.round(random.standard_normal(n) * 16) / 16
    x[:: max(2, n // 5)] = np.nan
    made = [
        library.tensor(x, device=device).to(getattr(library, kind)).histc(bins, low, high)
        for library, device in ((dt, "opencl:0"), (torch, "cpu"))
    ]
    np.testing.assert_array_equal(*(out.cpu().double().numpy() for out in made))
"""

CHECKS = {
    "few": "beside(7, 3, -2, 2); beside(500, 16, -1, 1); beside(8000, 100, -2, 2.5)",
    "many": "beside(70000, 10, -2, 2); beside(300000, 5000, -2, 2.5); beside(9000, 1, 0, 1)",
    "doubles": "beside(500, 16, -1, 1, 'float64'); beside(70000, 10, -2, 2, 'float64')",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_count_as_pytorch_does(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(CASES + CHECKS[name], kind)


def test_launches(opencl: dt.device, queue: Any) -> None:
    x = dt.randn(8, 8, device=opencl)
    x.histc(5, -1, 1)
    before = queue.launches
    x.histc(5, -1, 1)
    assert queue.launches == before + 1
