"""Convolution and pooling beside PyTorch: sweeps of options, every gradient, errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, same, torch

import dovetail as dt

pytestmark = pytest.mark.usefixtures("served")  # by our kernels, and by decompositions

G = dt.nn.functional
F = torch.nn.functional


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape)


# x, w, stride, padding, dilation, groups
CONVOLUTIONS: list[tuple[Any, ...]] = [
    ((2, 3, 9), (4, 3, 3), 1, 0, 1, 1),
    ((2, 4, 9), (6, 2, 3), 2, 1, 2, 2),
    ((4, 9), (6, 4, 2), 1, 1, 1, 1),
    ((2, 3, 7, 6), (4, 3, 3, 3), 1, 1, 1, 1),
    ((2, 4, 7, 8), (6, 2, 3, 2), (2, 1), (1, 0), (1, 2), 2),
    ((1, 4, 6, 6), (4, 1, 3, 3), 2, 2, 1, 4),
    ((3, 7, 6), (4, 3, 1, 1), 1, 0, 1, 1),
    ((1, 3, 5, 5), (2, 3, 2, 3), 1, "same", 1, 1),
    ((1, 3, 6, 5), (2, 3, 3, 3), 2, "valid", 1, 1),
    ((0, 3, 5, 5), (2, 3, 2, 2), 1, 0, 1, 1),
    ((1, 2, 5, 4, 5), (4, 2, 2, 3, 2), (1, 2, 1), (1, 1, 0), 1, 1),
    ((1, 2, 5, 5, 5), (4, 1, 2, 2, 2), 2, 1, 2, 2),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution(case: Any, device: Any) -> None:
    x, w, *options = case
    name = f"conv{len(w) - 2}d"
    for dtype, bias in (("float64", True), ("float32", False)):
        beside_torch(
            getattr(G, name),
            getattr(F, name),
            _normal(*x),
            _normal(*w),
            _normal(w[0]) if bias else None,
            *options,
            dtype=dtype,
            device=device,
        )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_convolution_in_half(dtype: str, device: Any) -> None:
    rng = np.random.default_rng(3)
    x, w = rng.uniform(-1, 1, (2, 3, 7, 6)), rng.uniform(-1, 1, (4, 3, 3, 3))
    beside_torch(
        G.conv2d, F.conv2d, x, w, rng.uniform(-1, 1, 4), 1, 1, dtype=dtype, device=device, order=1
    )


# x, w, stride, padding, output_padding, groups, dilation
TRANSPOSED: list[tuple[Any, ...]] = [
    ((2, 4, 5), (4, 3, 3), 2, 1, 1, 1, 1),
    ((4, 5), (4, 3, 3), 1, 0, 0, 1, 2),
    ((2, 4, 5, 4), (4, 3, 3, 2), (2, 1), (1, 0), (1, 0), 1, 1),
    ((2, 4, 3, 4), (4, 2, 3, 3), 3, 1, 2, 2, (2, 1)),
    ((1, 2, 3, 2, 3), (2, 3, 2, 2, 2), 2, 1, 0, 1, 1),
]


@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_transposed_convolution(case: Any, device: Any) -> None:
    x, w, *options = case
    name = f"conv_transpose{len(w) - 2}d"
    beside_torch(
        getattr(G, name),
        getattr(F, name),
        _normal(*x),
        _normal(*w),
        _normal(w[1] * options[3]),
        *options,
        dtype="float64",
        device=device,
    )


def test_sweep_of_small_convolutions(device: Any) -> None:
    sweep = itertools.product((1, 3), (1, 2, 3), (0, 2), (1, 2), (1, 2))
    for kernel, stride, padding, dilation, groups in sweep:
        if dilation * (kernel - 1) + 1 > 6 + 2 * padding:
            continue
        beside_torch(
            lambda x, w, s=stride, p=padding, d=dilation, g=groups: G.conv2d(
                x, w, None, s, p, d, g
            ),
            lambda x, w, s=stride, p=padding, d=dilation, g=groups: F.conv2d(
                x, w, None, s, p, d, g
            ),
            _normal(2, 4, 6, 7),
            _normal(4, 4 // groups, kernel, kernel),
            dtype="float64",
            device=device,
            order=1,
        )


def test_channels_last_stays_so(device: Any) -> None:
    x = dt.tensor(_normal(2, 3, 5, 4), device=device).contiguous(memory_format=dt.channels_last)
    w = dt.tensor(_normal(4, 3, 3, 3), device=device)
    want = F.conv2d(torch.tensor(_normal(2, 3, 5, 4)), torch.tensor(_normal(4, 3, 3, 3)), padding=1)
    same(G.conv2d(x, w, padding=1), want, 1e-12, "conv2d")
    same(G.max_pool2d(x, 2), F.max_pool2d(torch.tensor(_normal(2, 3, 5, 4)), 2), 0, "max_pool2d")


def _distinct(*shape: int) -> np.ndarray:
    count = int(np.prod(shape))
    return np.random.default_rng(5).permutation(count).reshape(shape) / 8.0


# shape, kernel, stride, padding, dilation, ceil_mode
POOLS: list[tuple[Any, ...]] = [
    ((2, 3, 9), 3, 2, 1, 1, False),
    ((3, 9), 2, None, 0, 2, True),
    ((2, 3, 6, 6), 2, None, 0, 1, False),
    ((2, 3, 7, 7), 3, 2, 1, 1, True),
    ((2, 2, 7, 9), (3, 2), (1, 2), (1, 0), (2, 1), False),
    ((3, 5, 5), 2, 3, 1, 1, True),
    ((0, 3, 5, 5), 2, None, 0, 1, False),
    ((1, 2, 5, 4, 6), 2, 2, 1, 1, True),
    ((1, 2, 5, 6, 5), (2, 3, 1), 1, (1, 1, 0), 1, False),
]


POOL_DIMS = list(zip(POOLS, (1, 1, 2, 2, 2, 2, 2, 3, 3), strict=True))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(("case", "dims"), POOL_DIMS, ids=str)
def test_max_pool(case: Any, dims: int, dtype: str, device: Any) -> None:
    shape, *options = case
    name = f"max_pool{dims}d"
    for array in (_distinct(*shape), np.zeros(shape)):
        beside_torch(
            lambda x: getattr(G, name)(x, *options, return_indices=True),
            lambda x: getattr(F, name)(x, *options, return_indices=True),
            array,
            dtype=dtype,
            device=device,
        )
    array = _distinct(*shape)
    array[..., 1] = np.nan
    beside_torch(
        lambda x: getattr(G, name)(x, *options),
        lambda x: getattr(F, name)(x, *options),
        array,
        dtype=dtype,
        device=device,
        order=0,
    )


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(("case", "dims"), POOL_DIMS, ids=str)
def test_avg_pool(case: Any, dims: int, dtype: str, device: Any) -> None:
    shape, kernel, stride, padding, _, ceil = case
    name = f"avg_pool{dims}d"
    if dims == 3 and dtype == "bfloat16":
        pytest.skip("PyTorch has no avg_pool3d of bfloat16 on the cpu")
    rest = [(True,), (False,)] + ([(True, 3)] if dims > 1 else [])
    for more in rest:
        beside_torch(
            lambda x, m=more: getattr(G, name)(x, kernel, stride, padding, ceil, *m),
            lambda x, m=more: getattr(F, name)(x, kernel, stride, padding, ceil, *m),
            _normal(*shape),
            dtype=dtype,
            device=device,
        )


ADAPTIVE: list[tuple[tuple[int, ...], Any, int]] = [
    ((2, 3, 7), 3, 1), ((2, 3, 8), 4, 1), ((3, 4), 6, 1), ((2, 3, 7, 5), 1, 2),
    ((2, 3, 7, 5), (3, None), 2), ((2, 3, 6, 4), (3, 2), 2), ((3, 5, 4), (2, 3), 2),
    ((1, 2, 4, 5, 3), (2, 3, 2), 3),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "size", "dims"), ADAPTIVE, ids=str)
def test_adaptive_pools(shape: Any, size: Any, dims: int, device: Any) -> None:
    average, largest = f"adaptive_avg_pool{dims}d", f"adaptive_max_pool{dims}d"
    if dims > 1 or size is not None:
        beside_torch(
            lambda x: getattr(G, average)(x, size),
            lambda x: getattr(F, average)(x, size),
            _normal(*shape),
            dtype="float64",
            device=device,
        )
    for array in (_distinct(*shape), np.ones(shape)):
        beside_torch(
            lambda x: getattr(G, largest)(x, size, return_indices=True),
            lambda x: getattr(F, largest)(x, size, return_indices=True),
            array,
            dtype="float64",
            device=device,
        )


def test_infinities_do_not_spread(device: Any) -> None:
    x = _normal(1, 1, 7)
    x[0, 0, 2] = np.inf
    beside_torch(
        lambda x: G.adaptive_avg_pool1d(x, 3),
        lambda x: F.adaptive_avg_pool1d(x, 3),
        x,
        device=device,
        order=0,
    )


X, W = dt.zeros(1, 3, 5, 5), dt.zeros(4, 3, 3, 3)
ERRORS: list[tuple[Any, str]] = [
    (
        lambda: G.conv2d(X, dt.zeros(3, 1)),
        r"conv2d: weight must be 4-D \(out_channels, in_channels/groups, kH, kW\), "
        r"got shape \(3, 1\)",
    ),
    (lambda: G.conv2d(X, dt.zeros(4, 2, 3, 3)), "input must have 2 channels"),
    (lambda: G.conv2d(X, W, dt.zeros(3)), r"bias must have shape \(4,\)"),
    (lambda: G.conv2d(X, W, stride=0), "stride must be greater than 0"),
    (lambda: G.conv2d(X, W, padding="same", stride=2), "padding='same' needs stride 1"),
    (lambda: G.conv2d(X, W.double()), "should be the same"),
    (lambda: G.conv2d(X, dt.zeros(4, 3, 9, 9)), "window must fit"),
    (lambda: G.conv2d(X.long(), W.long()), "not implemented for 'Long'"),
    (lambda: G.max_pool2d(X, 3, padding=2), "at most half of effective kernel size"),
    (lambda: G.avg_pool2d(X, 2, divisor_override=0), "divisor_override must not be zero"),
    (lambda: G.adaptive_avg_pool2d(dt.zeros(1, 3, 0, 5), 2), "non-zero size"),
]


@pytest.mark.parametrize(("call", "text"), ERRORS)
def test_errors(call: Any, text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        call()
