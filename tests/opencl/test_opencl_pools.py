"""Pools by lines: which of equal elements is the largest, NaN, windows that reach beyond planes,
lines of all lengths, and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.dispatch import clear_plans
from dovetail_kernels.fused import pool

torch = pytest.importorskip("torch", reason="PyTorch's pools are the reference")

CASES: list[tuple[tuple[int, ...], Any, Any, Any, Any, bool]] = [
    ((2, 3, 9, 11), 3, 2, 1, 1, False),
    ((1, 2, 17, 33), 2, 2, 0, 1, True),
    ((1, 2, 17, 33), 3, 1, 1, 1, False),
    ((1, 2, 40, 70), 5, 1, 2, 1, False),
    ((1, 2, 40, 70), (2, 3), (1, 4), (1, 1), (3, 2), False),
    ((2, 2, 30, 30), 1, 2, 0, 1, False),
    ((1, 1, 4, 4), (1, 4), 1, (0, 2), 1, False),
    ((3, 5, 8, 8), 2, 2, 0, 1, False),
    ((1, 3, 300, 20), (7, 2), (5, 1), (3, 1), 1, True),
    ((1, 2, 50, 50), 6, 5, 3, 1, True),
    ((2, 3, 8, 9, 20), 3, 1, 1, 1, False),
    ((1, 2, 5, 6, 37), (2, 3, 3), (2, 1, 2), 1, 1, False),
    ((2, 2, 300), 3, 2, 1, 1, True),
]
"""Shape, window, stride, padding, dilation, ceil_mode."""

KINDS = ("max", "avg")

LAST = {"float16": 1e-3, "float32": 2e-6, "float64": 4e-15}


def _values(shape: tuple[int, ...], kind: str) -> np.ndarray:
    x = np.random.default_rng(3).standard_normal(shape)
    if kind == "equal":
        return np.round(2 * x)
    if kind == "nan":
        return np.where(x > 1.2, np.nan, np.round(2 * x))
    return np.where(x < 1, -np.inf, x) if kind == "least" else x


@pytest.mark.parametrize("kind", ["any", "equal", "nan", "least"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_largest(dtype: str, kind: str, opencl: dt.device) -> None:
    for shape, *how in CASES:
        x, name = _values(shape, kind).astype(dtype), f"max_pool{len(shape) - 2}d"
        wanted = getattr(torch.nn.functional, name)(torch.from_numpy(x), *how, True)
        got = getattr(dt.nn.functional, name)(dt.tensor(x, device=opencl), *how, True)
        for made, right in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(made.cpu().numpy(), right.numpy(), f"{shape} {how}")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("counted", [(True, None), (False, None), (True, 5)])
def test_means_and_their_gradients(
    dtype: str, counted: tuple[bool, int | None], opencl: dt.device
) -> None:
    rng = np.random.default_rng(4)
    for shape, window, stride, padding, dilation, ceil_mode in CASES:
        if dilation != 1:
            continue
        x, name = rng.standard_normal(shape).astype(dtype), f"avg_pool{len(shape) - 2}d"
        how = (window, stride, padding, ceil_mode, counted[0])
        divisor = () if len(shape) == 3 else (counted[1],)
        wide = torch.from_numpy(x).double().requires_grad_()
        wanted = getattr(torch.nn.functional, name)(wide, *how, *divisor)
        slopes = rng.standard_normal(tuple(wanted.shape)).astype(dtype)
        wanted.backward(torch.from_numpy(slopes).double())
        a = dt.tensor(x, device=opencl).requires_grad_()
        got = getattr(dt.nn.functional, name)(a, *how, *divisor)
        got.backward(dt.tensor(slopes, device=opencl))
        for made, right in ((got.detach(), wanted.detach()), (a.grad, wide.grad)):
            np.testing.assert_allclose(
                made.cpu().numpy(), right.numpy(), LAST[dtype], LAST[dtype] * 4, err_msg=f"{how}"
            )


def test_much_has_its_window_in_the_text(
    opencl: dt.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And computes the same bits as where a kernel is told it."""

    def found(case: tuple[Any, ...]) -> list[np.ndarray]:
        shape, *how, ceil_mode = case
        clear_plans()
        x = np.random.default_rng(6).standard_normal(shape).astype(np.float32)
        a = dt.tensor(x, device=opencl).requires_grad_()
        of = {kind: getattr(dt.nn.functional, f"{kind}_pool{len(shape) - 2}d") for kind in KINDS}
        made = [*of["max"](a, *how, ceil_mode, True)]
        if how[3] == 1:
            made.append(of["avg"](a, *how[:3], ceil_mode))
            (made[-1] * made[-1].detach()).sum().backward()
            made.append(a.grad)
        return [one.detach().cpu().numpy() for one in made]

    for case in CASES[:1] + CASES[4:6] + CASES[11:12]:
        monkeypatch.setattr(pool, "MUCH", 1 << 30)
        told = found(case)
        monkeypatch.setattr(pool, "MUCH", 0)
        for mine, other in zip(found(case), told, strict=True):
            np.testing.assert_array_equal(mine, other, f"{case}")
    clear_plans()


def test_a_view_in_the_middle_of_a_buffer(opencl: dt.device) -> None:
    x = np.random.default_rng(5).standard_normal((5, 2, 12, 19)).astype(np.float32)
    got = dt.nn.functional.max_pool2d(dt.tensor(x, device=opencl)[3:], 3, 2, 1)
    wanted = torch.nn.functional.max_pool2d(torch.from_numpy(x)[3:], 3, 2, 1)
    np.testing.assert_array_equal(got.cpu().numpy(), wanted.numpy())
