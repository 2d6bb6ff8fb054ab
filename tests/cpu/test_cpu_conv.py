"""Convolution kernels of the cpu beside PyTorch's float64, over random geometries and layouts."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from layouts import FLOATS, assert_close, relaid, torch, wide
from ml_dtypes import bfloat16

from dovetail_cpu.kernels import conv as module
from dovetail_cpu.kernels.conv import conv, conv_bias, conv_grad_input, conv_grad_weight
from dovetail_cpu.onednn import convolution as onednn
from dovetail_cpu.onednn import status

CONVS = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)
LAYERS = [
    ((16, 8, 12, 12), (16, 8, 3, 3), 1, 1, 1, 1),
    ((8, 1, 14, 14), (32, 1, 3, 3), 1, 1, 1, 1),
    ((4, 3, 32, 32), (32, 3, 7, 7), 2, 3, 1, 1),
    ((4, 32, 9, 9), (32, 1, 3, 3), 1, 1, 1, 32),
    ((4, 24, 9, 9), (40, 24, 1, 1), 1, 0, 1, 1),
    ((3, 20, 30), (16, 10, 5), 2, 2, 2, 2),
    ((2, 4, 6, 7, 8), (16, 4, 3, 3, 3), 1, 1, 1, 1),
    ((130, 4, 40, 40), (4, 4, 3, 3), 1, 1, 1, 1),
]
# Nothing to sum, or nothing to fill.
EMPTY = [
    ((0, 3, 5), (2, 3, 2), 1, 0, 1, 1),
    ((2, 0, 5, 5), (3, 0, 2, 2), 1, 0, 1, 1),
    ((2, 3, 5, 5), (0, 3, 2, 2), 1, 0, 1, 1),
]


@pytest.fixture(params=["as installed", "numpy"])
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "numpy":
        monkeypatch.setattr(module, "current", lambda: None)


def _random_case(rng: random.Random) -> tuple[Any, ...]:
    rank = rng.choice((1, 2, 2, 3))
    groups = rng.choice((1, 1, 2, 3, 16))
    depth, outputs = rng.choice((1, 2, 3, 8, 17)), rng.choice((1, 2, 4, 16))
    if rank == 3:
        depth, outputs, groups = min(depth, 4), min(outputs, 4), min(groups, 3)
    while True:
        kernel, stride, padding, dilation, size = (
            tuple(rng.choice(choices) for _ in range(rank))
            for choices in ((1, 2, 3, 5), (1, 1, 2, 3), (0, 1, 2, 3), (1, 1, 2), (1, 4, 7, 13))
        )
        rest = zip(size, padding, kernel, dilation, strict=True)
        if all(n + 2 * p > (k - 1) * d for n, p, k, d in rest):
            break
    x = (rng.choice((1, 2, 5)), depth * groups, *size)
    return x, (outputs * groups, depth, *kernel), stride, padding, dilation, groups


def _spread(case: tuple[Any, ...]) -> tuple[Any, ...]:
    x, weight, *geometry = case
    rank = len(x) - 2
    return x, weight, *(g if isinstance(g, tuple) else (g,) * rank for g in geometry[:3]), case[5]


def _check(case: tuple[Any, ...], dtype: Any, rng: random.Random) -> None:
    shape, weight_shape, stride, padding, dilation, groups = _spread(case)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    numbers = np.random.default_rng(rng.randrange(1 << 30))

    def array(size: Any) -> np.ndarray:
        return relaid(numbers.standard_normal(size).astype(dtype), rng)

    def reference(x: Any, w: Any, b: Any, g: Any) -> tuple[Any, ...]:
        x, w = x.requires_grad_(), w.requires_grad_()
        out = CONVS[len(stride) - 1](x, w, None, stride, padding, dilation, groups)
        gradients = torch.autograd.grad(out, (x, w), g)
        return out.detach(), out.detach() + b.reshape(-1, *[1] * len(stride)), *gradients

    x, weight = array(shape), array(weight_shape)
    rest = zip(shape[2:], weight_shape[2:], stride, padding, dilation, strict=True)
    spatial = ((n + 2 * p - (k - 1) * d - 1) // s + 1 for n, k, s, p, d in rest)
    out_shape = (shape[0], weight_shape[0], *spatial)
    bias, grad = array(weight_shape[0]), array(out_shape)
    inputs = (x, weight, bias, grad)
    wants = reference(*map(wide, inputs))
    scales = reference(*(wide(a).abs() for a in inputs))
    calls = (
        (conv, (x, weight)),
        (conv_bias, (x, weight, bias)),
        (conv_grad_input, (grad, weight)),
        (conv_grad_weight, (grad, x)),
    )
    for (kernel, given), want, scale in zip(calls, wants, scales, strict=True):
        before = [a.copy() for a in given]
        out = relaid(np.full(tuple(want.shape), 7, dtype), rng)
        kernel(*given, out, **options)
        where = f"{kernel.__name__} {case} {[a.strides for a in given]} -> {out.strides}"
        assert_close(out, want, scale, where)
        assert all((a == b).all() for a, b in zip(given, before, strict=True)), where


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("dtype", FLOATS[1:], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("case", LAYERS, ids=str)
def test_layers(case: Any, dtype: Any) -> None:
    _check(case, dtype, random.Random(str(case)))


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("seed", range(40))
def test_random_geometries(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        _check(_random_case(rng), rng.choice(FLOATS), rng)


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("case", EMPTY, ids=str)
def test_empty(case: Any) -> None:
    x, weight, stride, padding, dilation, groups = _spread(case)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    spatial = (n - k + 1 for n, k in zip(x[2:], weight[2:], strict=True))
    out = np.full((x[0], weight[0], *spatial), 7, np.float32)
    grad_x, grad_weight = np.full(x, 7, np.float32), np.full(weight, 7, np.float32)
    zeros_x, zeros_weight = np.zeros(x, np.float32), np.zeros(weight, np.float32)
    conv_bias(zeros_x, zeros_weight, np.arange(weight[0], dtype=np.float32), out, **options)
    assert (out == np.arange(weight[0]).reshape(-1, *[1] * len(stride))).all()
    conv_grad_input(out, zeros_weight, grad_x, **options)
    conv_grad_weight(out, zeros_x, grad_weight, **options)
    assert not grad_x.any()
    assert not grad_weight.any()


@pytest.fixture
def _needs_onednn() -> None:
    if not status().loaded:
        pytest.skip(f"oneDNN: {status().reason}")


@pytest.mark.usefixtures("_needs_onednn")
def test_chunks_give_the_same_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is worked on in parts: every part is written, and gradients are summed."""
    from dovetail_cpu.onednn.session import current

    session = current()
    assert session is not None
    monkeypatch.setattr(session, "plans", {})
    monkeypatch.setattr(onednn, "_CHUNK_PER_CORE", (1 << 16) // session.library.threads)
    case = ((12, 8, 16, 16), (8, 8, 3, 3), 1, 1, 1, 1)
    for dtype in (np.float32, bfloat16):
        _check(case, dtype, random.Random(0))
    divided = [key[0] for key, plan in session.plans.items() if plan and plan.chunks > 1]
    assert {"forward", "backward_data", "backward_weights"} <= set(divided)
