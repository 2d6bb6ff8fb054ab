"""Convolutions and attention by cuDNN beside float64, and its switches."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from beside import DEVICE, FLOATS, agrees, drawn, values_of

import dovetail as dt
from dovetail import ops

CONVOLUTIONS = [
    ((2, 16, 12, 12), (16, 16, 3, 3), 1, 1, 1, 1),
    ((2, 3, 17, 19), (33, 3, 7, 7), 2, 3, 1, 1),
    ((3, 32, 9, 9), (48, 32, 1, 1), 1, 0, 1, 1),
    ((2, 9, 30), (12, 9, 5), 3, 2, 2, 1),
    ((2, 16, 5, 6, 7), (10, 16, 3, 2, 3), (1, 2, 1), (1, 0, 1), 1, 1),
    ((2, 24, 11, 13), (40, 12, 3, 3), 2, (1, 0), (1, 2), 2),
    ((2, 16, 9, 70), (16, 1, 3, 3), 1, 1, 1, 16),
    ((2, 16, 8, 8), (12, 4, 3, 3), 1, 2, 2, 4),
    ((1, 8, 3, 3), (8, 8, 3, 3), 1, 3, 1, 1),
]


@pytest.fixture(autouse=True)
def cudnn(need_device: Callable[[str], dt.device]) -> Iterator[None]:
    need_device(DEVICE)
    if importlib.util.find_spec("cudnn") is None:
        pytest.skip("cuDNN's front end is not installed")
    with dt.backends.cudnn.flags(allow_tf32=False):
        yield


def _places(shape: Any, weight: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(shape[2:], weight[2:], stride, padding, dilation, strict=True)
    )


def _options(case: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
    shape, weight, stride, padding, dilation, groups = case
    rank = len(shape) - 2
    spread = [v if isinstance(v, tuple) else (v,) * rank for v in (stride, padding, dilation)]
    result = (shape[0], weight[0], *_places(shape, weight, *spread))
    options = dict(zip(("stride", "padding", "dilation"), spread, strict=True), groups=groups)
    return shape, weight, result, options


def _laid(shape: Any, dtype: dt.dtype, seed: int, layout: str) -> Any:
    if layout == "last":
        x = drawn(shape[0], *shape[2:], shape[1], dtype=dtype, seed=seed)
        return x.permute(0, len(shape) - 1, *range(1, len(shape) - 1))
    return drawn(*shape, dtype=dtype, seed=seed)


@pytest.mark.parametrize("layout", ["dense", "last"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolutions(case: Any, dtype: dt.dtype, layout: str) -> None:
    shape, weight_shape, result, options = _options(case)
    x, y = _laid(shape, dtype, 0, layout), _laid(result, dtype, 1, layout)
    weight, bias = drawn(*weight_shape, dtype=dtype, seed=2), drawn(result[1], dtype=dtype, seed=3)
    agrees("conv", [x, weight, None], **options)
    agrees("conv", [x, weight, bias], **options)
    agrees("conv_relu", [x, weight, bias], **options)
    agrees("conv_grad_input", [y, weight], input_shape=shape, **options)
    agrees("conv_grad_weight", [y, x], weight_shape=weight_shape, **options)
    repeated = y[:1].expand(*result)
    agrees("conv_grad_weight", [repeated, x], weight_shape=weight_shape, **options)


def test_transposed() -> None:
    x, weight = drawn(2, 8, 5, 6, dtype=dt.float32), drawn(8, 4, 3, 3, dtype=dt.float32)
    bias = drawn(4, dtype=dt.float32)
    conv = dt.nn.functional.conv_transpose2d
    found = conv(x, weight, bias, stride=2, padding=1, output_padding=1)
    wanted = conv(
        *(v.cpu().double() for v in (x, weight, bias)), stride=2, padding=1, output_padding=1
    )
    np.testing.assert_allclose(values_of(found), wanted.numpy(), atol=1e-5)


def _queued(function: Callable[[], Any]) -> list[str]:
    from dovetail_cuda.runtime import device_of

    device, seen = device_of(0), []
    device.watch = lambda label, event, buffers: seen.append((label, tuple(buffers)))
    try:
        function()
    finally:
        device.watch = None
    return seen


def test_the_usual_ones_are_served_by_the_library() -> None:
    from dovetail_cuda import dnn

    dnn.declined.clear()
    for dtype in (dt.float32, dt.float16, dt.bfloat16):
        x, w = drawn(8, 16, 14, 14, dtype=dtype), drawn(32, 16, 3, 3, dtype=dtype)
        y = dt.nn.functional.conv2d(x, w, padding=1)
        ops.conv_grad_input(
            y, w, input_shape=(8, 16, 14, 14), stride=(1, 1), padding=(1, 1), dilation=(1, 1),
            groups=1,
        )  # fmt: skip
    assert not dnn.declined


def test_switches_take_effect() -> None:
    x, w = drawn(4, 64, 16, 16, dtype=dt.float32), drawn(64, 64, 3, 3, dtype=dt.float32, seed=1)
    wanted = dt.nn.functional.conv2d(x.cpu().double(), w.cpu().double()).numpy()

    def error(**switches: bool) -> float:
        with dt.backends.cudnn.flags(**switches):
            return float(np.abs(values_of(dt.nn.functional.conv2d(x, w)) - wanted).max())

    exact = error()
    assert exact < 1e-4
    assert error(allow_tf32=True) > 5 * exact
    assert error(benchmark=True) < 1e-4
    assert error(deterministic=True) < 1e-4
    assert error(enabled=False) < 1e-4
    assert error() == exact


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3, 64, 64), (2, 3, 64, 64), (2, 3, 64, 64)),
        ((2, 3, 50, 32), (2, 3, 70, 32), (2, 3, 70, 48)),
        ((3, 128, 128), (3, 128, 128), (3, 128, 128)),
        ((16, 8), (24, 8), (24, 16)),
        ((2, 2, 2, 33, 40), (2, 2, 2, 33, 40), (2, 2, 2, 33, 40)),
    ],
    ids=str,
)
def test_attention(shapes: Any, dtype: dt.dtype, is_causal: bool) -> None:
    inputs = [drawn(*shape, dtype=dtype, seed=i).requires_grad_() for i, shape in enumerate(shapes)]
    wide = [x.detach().cpu().double().requires_grad_() for x in inputs]
    attend = dt.nn.functional.scaled_dot_product_attention
    found, wanted = attend(*inputs, is_causal=is_causal), attend(*wide, is_causal=is_causal)
    grad = drawn(*found.shape, dtype=dtype, seed=9)
    found.backward(grad)
    wanted.backward(grad.cpu().double())
    eps = {dt.float16: 4e-3, dt.bfloat16: 3e-2, dt.float32: 3e-6, dt.float64: 1e-13}[dtype]
    for x, y in ((found, wanted), *((a.grad, b.grad) for a, b in zip(inputs, wide, strict=True))):
        np.testing.assert_allclose(values_of(x), values_of(y), atol=eps * 2, rtol=eps)


def test_attention_of_heads_as_a_projection_leaves_them() -> None:
    made = drawn(2, 64, 3, 4, 32, dtype=dt.bfloat16)
    query, key, value = made.permute(2, 0, 3, 1, 4)
    labels = [
        label
        for label, _ in _queued(
            lambda: dt.nn.functional.scaled_dot_product_attention(query, key, value)
        )
    ]
    assert labels == ["scaled_dot_product_attention"]
