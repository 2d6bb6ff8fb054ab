"""searchsorted of opencl beside NumPy's: ties, NaN, infinities, rows of their own; one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

PROGRAM = """
import numpy as np
import dovetail as dt

SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0]
SHAPES = (
    ((), 1, 1), ((), 7, 15), ((), 1000, 17), ((3,), 33, 5), ((2, 2), 1, 16), ((), 0, 3),
    ((), 9, 900),
)
draw = np.random.default_rng(0)
for kind in ("float32", "float64", "bfloat16", "int64", "uint8"):
    for lead, n, m in SHAPES:
        numbers, asked = draw.normal(0, 20, (*lead, n)), draw.normal(0, 20, (*lead, m))
        if "float" in kind and m >= 5 and n > 5:
            numbers[..., :5] = asked[..., :5] = SPECIAL
        if kind == "uint8":
            numbers, asked = np.abs(numbers), np.abs(asked)
        kept = [dt.tensor(x).to(getattr(dt, kind)) for x in (numbers, asked)]
        a, b = (x.double().numpy() for x in kept)
        a = np.sort(a, -1)
        x, y = dt.tensor(a).to(kept[0].dtype).to("opencl:0"), kept[1].to("opencl:0")
        for side in ("left", "right"):
            rows = zip(a.reshape(-1, n) if n else [a] * 1, b.reshape(-1, m))
            wanted = np.stack([np.searchsorted(s, v, side) for s, v in rows]).reshape(*lead, m)
            found = dt.searchsorted(x, y, side=side).cpu().numpy()
            assert (found == wanted).all(), (kind, lead, n, m, side)
        if lead:
            first = (0,) * len(lead)
            found, wanted = dt.searchsorted(x[first], y), np.searchsorted(a[first], b)
            assert (found.cpu().numpy() == wanted).all(), (kind, lead)
"""


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_places_are_those_of_numpy(fresh: Callable[..., str], kind: str) -> None:
    fresh(PROGRAM, DOVETAIL_OPENCL_CLASS=kind)


def test_it_is_one_launch(queue: Any) -> None:
    x = dt.randn(500, device="opencl:0").sort()[0]
    dt.bucketize(x, x)
    before = queue.launches
    found = dt.bucketize(x, x)
    assert queue.launches == before + 1
    np.testing.assert_array_equal(found.cpu().numpy(), np.arange(500))


@pytest.mark.parametrize("device", ["cpu", "loop:0", "opencl:0"])
def test_nan_is_behind_all_numbers_everywhere(
    device: str, need_device: Callable[[str], dt.device]
) -> None:
    need_device(device)
    x = dt.tensor([1.0, 2.0, float("nan")], device=device)
    asked = dt.tensor([float("nan"), float("inf"), 2.0], device=device)
    assert dt.searchsorted(x, asked).tolist() == [2, 2, 1]
    assert dt.searchsorted(x, asked, right=True).tolist() == [3, 2, 2]
