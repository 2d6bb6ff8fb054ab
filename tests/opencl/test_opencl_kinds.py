"""unique and unique_consecutive of few elements, which a kernel counts, beside PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

VALUES = {
    "numbers": np.random.default_rng(2).integers(-3, 4, (7, 40)),
    "one": np.array([5]),
    "equal": np.full((3, 70), 2.0, np.float32),
    "all others": np.random.default_rng(3).permutation(130).astype(np.float32),
    "nan and zeros": np.array([np.nan, 0.0, -0.0, 1.0, np.nan, np.inf, np.inf], np.float32),
    "bytes": np.random.default_rng(4).integers(0, 255, 3000).astype(np.uint8),
}
FORMS = ({}, {"return_inverse": True, "return_counts": True})


def _arrays(found: Any) -> list[np.ndarray]:
    return [x.cpu().numpy() for x in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("function", ["unique", "unique_consecutive"])
@pytest.mark.parametrize("name", VALUES)
def test_beside_torch(opencl: dt.device, name: str, function: str) -> None:
    x = VALUES[name]
    for form in FORMS:
        for dim in (None, 0) if x.ndim == 2 else (None,):
            ours = getattr(dt, function)(dt.tensor(x, device=opencl), dim=dim, **form)
            theirs = getattr(torch, function)(torch.tensor(x), dim=dim, **form)
            for mine, other in zip(_arrays(ours), _arrays(theirs), strict=True):
                np.testing.assert_array_equal(mine, other)


def test_launches(opencl: dt.device, queue: Any) -> None:
    x = dt.tensor(VALUES["numbers"], device=opencl)
    for function, launches in ((dt.unique, 2), (dt.unique_consecutive, 1)):
        function(x)
        before = queue.launches
        function(x, return_inverse=True, return_counts=True)
        assert queue.launches == before + launches
