"""Products of bfloat16 by an instruction that multiplies pairs: odd depths, layouts, infinity; and
without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from products import laid_out, matrix_products, wide

import dovetail as dt
from dovetail.dispatch import clear_plans
from dovetail_kernels import gemm, gemm_direct

HERE = Path(__file__).parent
SIZES = [(70, 33, 90), (8, 1, 32), (33, 1101, 65), (9, 2500, 32), (64, 64, 64), (5, 7, 9)]


@pytest.mark.parametrize("layout", ["dense", "transposed", "part"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_depths_of_pairs(
    queue: Any, size: tuple[int, int, int], layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear_plans()
    monkeypatch.setattr(queue, "_kernels", {})
    # Small ones too, which else are one launch.
    monkeypatch.setattr(gemm_direct, "MUCH_OF_PAIRS", 0)
    monkeypatch.setattr(gemm, "FEW", 0)
    m, k, n = size
    draw = np.random.default_rng(k).standard_normal
    shapes = ((3, m, k), (3, k, n))
    plain = "dense" if layout == "transposed" else layout
    a, b = (laid_out(draw(shape), dt.bfloat16, plain) for shape in shapes)
    if layout == "transposed":
        a, b = a.mT.contiguous().mT, b.mT.contiguous().mT
    wanted = wide(a) @ wide(b)
    error = np.abs(wide(a @ b) - wanted)
    assert (error <= np.abs(wanted) / 256 + 1e-6 * (np.abs(wide(a)) @ np.abs(wide(b)))).all()
    names = {key[1] for key in queue._kernels}
    assert ("pack_pairs" in names) == queue.has_pairs
    assert not matrix_products(m, k, n, None, dt.bfloat16, layout)


@pytest.mark.usefixtures("opencl")
def test_infinity_and_nan_stay_in_their_rows() -> None:
    a, b = np.ones((20, 31)), np.ones((31, 40))
    a[3, 30], a[7, 5], b[2, 9] = np.inf, np.nan, -np.inf
    made = wide(laid_out(a, dt.bfloat16, "dense") @ laid_out(b, dt.bfloat16, "dense"))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(made, a @ b)


def test_without_that_instruction(fresh: Callable[..., str]) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from products import dt, matrix_products
from dovetail_opencl.runtime import device_of
for size in {SIZES}:
    wrong = matrix_products(*size, None, dt.bfloat16, "dense")
    assert not wrong, wrong
print(device_of(0).has_pairs)
"""
    assert fresh(code, DOVETAIL_OPENCL_LIMITS="pairs=0") == "False\n"
