"""Pooling kernels of the cpu beside PyTorch's, over random geometries, layouts and specials."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from layouts import relaid, torch, wide
from ml_dtypes import bfloat16

from dovetail_cpu.kernels import pool as module
from dovetail_cpu.kernels.pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad

F = torch.nn.functional
FLOATS = (np.float32, np.float32, np.float64, np.float16, bfloat16)
TOLERANCE = {"float64": 1e-12, "float32": 3e-6, "float16": 4e-3, "bfloat16": 3e-2}


@pytest.fixture(params=[1 << 17, 16], ids=["one part", "many parts"])
def _parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", request.param)


class Case:
    """A random geometry with random numbers: with ties, and sometimes NaN and infinities."""

    def __init__(self, seed: int) -> None:
        self.rng, numbers = random.Random(seed), np.random.default_rng(seed)
        self.rank = rank = self.rng.choice((1, 2, 2, 3))
        self.kernel = tuple(self.rng.choice((1, 2, 3, 4)) for _ in range(rank))
        self.stride = tuple(self.rng.choice((1, 2, 3)) for _ in range(rank))
        self.dilation = tuple(self.rng.choice((1, 1, 2)) for _ in range(rank))
        self.padding = tuple(self.rng.randint(0, k // 2) for k in self.kernel)
        self.ceil = self.rng.random() < 0.4
        self.dtype = np.dtype(self.rng.choice(FLOATS))
        size = tuple(self.rng.choice((7, 8, 9, 13)) for _ in range(rank))
        shape = (self.rng.choice((1, 3)), self.rng.choice((1, 2, 5)), *size)
        values = numbers.integers(-3, 4, shape).astype(np.float64)
        if self.rng.random() < 0.5:
            values += numbers.standard_normal(shape)
        self.finite = relaid(values.astype(self.dtype), self.rng)
        if self.rng.random() < 0.4:
            values[numbers.random(shape) < 0.2] = np.nan
        if self.rng.random() < 0.4:
            values[numbers.random(shape) < 0.5] = -np.inf
        self.values = relaid(values.astype(self.dtype), self.rng)
        self.numbers = numbers

    def normal(self, shape: Any) -> np.ndarray:
        return relaid(self.numbers.standard_normal(shape).astype(self.dtype), self.rng)

    def empty(self, shape: Any, dtype: Any = None) -> np.ndarray:
        return relaid(np.full(tuple(shape), 7, dtype or self.dtype), self.rng)

    def close(self, got: np.ndarray, want: Any) -> None:
        tolerance = TOLERANCE[self.dtype.name]
        np.testing.assert_allclose(
            got.astype(np.float64),
            want.detach().double().numpy(),
            rtol=tolerance,
            atol=tolerance,
            err_msg=str(vars(self)),
        )


@pytest.mark.usefixtures("_parts")
@pytest.mark.parametrize("seed", range(60))
def test_max_pool(seed: int) -> None:
    case = Case(seed)
    given = wide(case.values)
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[case.rank - 1]
    geometry = (case.kernel, case.stride, case.padding, case.dilation)
    want, index = function(given, *geometry, case.ceil, True)
    out, indices = case.empty(want.shape), case.empty(want.shape, np.int64)
    max_pool(
        case.values,
        out,
        indices,
        kernel_size=case.kernel,
        stride=case.stride,
        padding=case.padding,
        dilation=case.dilation,
        ceil_mode=case.ceil,
    )
    np.testing.assert_array_equal(out.astype(np.float64), want.double().numpy())
    np.testing.assert_array_equal(indices, index.numpy(), err_msg=str(vars(case)))

    size = int(np.prod(case.values.shape[2:]))
    grad, grad_x = case.normal(want.shape), case.empty(case.values.shape)
    max_pool_grad(grad, indices, grad_x)
    flat = torch.zeros((*want.shape[:2], size), dtype=torch.float64)
    places, values = (a.reshape(*want.shape[:2], -1) for a in (index, wide(grad)))
    inside = places < size  # a dilated window may hold nothing but padding
    flat.scatter_add_(2, places.clamp(max=size - 1), values * inside)
    case.close(grad_x, flat.reshape(grad_x.shape))


@pytest.mark.usefixtures("_parts")
@pytest.mark.parametrize("seed", range(60))
def test_avg_pool(seed: int) -> None:
    case = Case(seed)
    given = wide(case.finite).requires_grad_()
    include, divisor = case.rng.random() < 0.5, case.rng.choice((None, None, 3, -2))
    options: dict[str, Any] = {"ceil_mode": case.ceil, "count_include_pad": include}
    if case.rank == 1:
        divisor = None
        want = F.avg_pool1d(given, case.kernel, case.stride, case.padding, **options)
    else:
        function = F.avg_pool2d if case.rank == 2 else F.avg_pool3d
        extra = {**options, "divisor_override": divisor}
        want = function(given, case.kernel, case.stride, case.padding, **extra)
    options |= {
        "divisor_override": divisor,
        "kernel_size": case.kernel,
        "stride": case.stride,
        "padding": case.padding,
    }
    out = case.empty(want.shape)
    avg_pool(case.finite, out, **options)
    case.close(out, want)

    grad, grad_x = case.normal(want.shape), case.empty(case.finite.shape)
    avg_pool_grad(grad, grad_x, **options)
    (expected,) = torch.autograd.grad(want, given, wide(grad))
    case.close(grad_x, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_integers(dtype: type) -> None:
    x = np.random.default_rng(0).integers(0, 3, (2, 3, 8, 8)).astype(dtype)
    options: dict[str, Any] = {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    want, index = F.max_pool2d(torch.from_numpy(x), 3, 2, 1, return_indices=True)
    out, indices = np.empty(want.shape, dtype), np.empty(want.shape, np.int64)
    max_pool(x, out, indices, dilation=(1, 1), ceil_mode=False, **options)
    np.testing.assert_array_equal(out, want.numpy())
    np.testing.assert_array_equal(indices, index.numpy())


def test_a_large_window_counts_its_positions_right() -> None:
    """More positions in a window than a byte can number."""
    x = np.arange(2 * 40 * 40, dtype=np.float32).reshape(1, 2, 40, 40)
    out, indices = np.empty((1, 2, 2, 2), np.float32), np.empty((1, 2, 2, 2), np.int64)
    options: dict[str, Any] = {"kernel_size": (20, 20), "stride": (20, 20), "padding": (0, 0)}
    max_pool(x, out, indices, dilation=(1, 1), ceil_mode=False, **options)
    assert indices[0, 0].tolist() == [[779, 799], [1579, 1599]]
    assert out[0, 1].tolist() == [[2379, 2399], [3179, 3199]]


def test_a_window_of_nothing_but_padding() -> None:
    """Dilation can carry a window past both ends: minus infinity, and a gradient for nothing."""
    x = np.ones((1, 2, 1, 1), np.float32)
    options: dict[str, Any] = {"kernel_size": (1, 2), "stride": (1, 1), "padding": (0, 1)}
    want, index = F.max_pool2d(wide(x), (1, 2), 1, (0, 1), (1, 2), return_indices=True)
    out, indices = np.empty_like(x), np.empty(x.shape, np.int64)
    max_pool(x, out, indices, dilation=(1, 2), ceil_mode=False, **options)
    assert out.tolist() == want.tolist() == [[[[-np.inf]], [[-np.inf]]]]
    assert indices.tolist() == index.tolist() == [[[[1]], [[1]]]]
    grad = np.full_like(x, 7)
    max_pool_grad(np.ones_like(x), indices, grad)
    assert not grad.any()
