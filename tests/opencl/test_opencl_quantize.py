"""Quantizing and its gradient are one launch each, and the steps that PyTorch takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

SHAPE = (6, 5, 40)
TIES = [-1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 2.75, 300.0, -300.0]


def values() -> np.ndarray:
    made = np.random.default_rng(2).uniform(-40, 40, SHAPE).astype(np.float32)
    made.reshape(-1)[: len(TIES)] = TIES
    return made


def per_tensor(library: Any, x: Any, device: Any) -> Any:
    return library.fake_quantize_per_tensor_affine(x, 0.5, 3, -128, 127)


def by_tensors(library: Any, x: Any, device: Any) -> Any:
    scale = library.tensor([0.3], device=device)
    zero = library.tensor([3], dtype=library.int32, device=device)
    return library.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)


def per_channel(library: Any, x: Any, device: Any, kind: str = "int32", axis: int = 1) -> Any:
    scale = library.tensor([0.5, 0.1, 0.25, 0.3, 0.7, 0.9][: SHAPE[axis]], device=device)
    zero = library.tensor([1, 0, 5, 3, 2, 7][: SHAPE[axis]], device=device)
    zero = zero.to(getattr(library, kind))
    return library.fake_quantize_per_channel_affine(x, scale, zero, axis, -8, 100)


CASES = {
    "per tensor": per_tensor,
    "by tensors": by_tensors,
    "per channel": per_channel,
    "of the first dim": lambda *given: per_channel(*given, axis=0),
    "zero points of floats": lambda *given: per_channel(*given, kind="float32"),
}


@pytest.mark.parametrize("name", CASES)
def test_beside_torch(opencl: dt.device, name: str) -> None:
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        x = library.tensor(values(), device=device).requires_grad_()
        out = CASES[name](library, x, device)
        (slope,) = library.autograd.grad(out, x, library.ones_like(out) * 1.5)
        found.append([t.detach().cpu().numpy() for t in (out, slope)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", [dt.bfloat16, dt.float16, dt.float64])
@pytest.mark.parametrize("name", CASES)
def test_other_dtypes(opencl: dt.device, name: str, kind: dt.dtype) -> None:
    x = dt.tensor(values()).to(kind)
    ours, theirs = (CASES[name](dt, x.to(device), device) for device in (opencl, "cpu"))
    assert ours.dtype is kind
    np.testing.assert_array_equal(ours.cpu().double().numpy(), theirs.double().numpy())


def test_launches(opencl: dt.device, queue: Any) -> None:
    x = dt.tensor(values(), device=opencl).requires_grad_()
    scale, zero = dt.full((5,), 0.5, device=opencl), dt.ones(5, dtype=dt.int32, device=opencl)
    g = dt.ones(SHAPE, device=opencl)
    for call in (
        lambda: dt.fake_quantize_per_tensor_affine(x, 0.5, 3, 0, 255),
        lambda: dt.fake_quantize_per_channel_affine(x, scale, zero, 1, 0, 255),
    ):
        call().backward(g)
        x.grad = None
        before = queue.launches
        call().backward(g)
        assert queue.launches == before + 2
        x.grad = None


def test_a_zero_point_out_of_range(opencl: dt.device) -> None:
    x, scale = dt.ones(2, 3, device=opencl), dt.ones(3, device=opencl)
    zero = dt.tensor([0, 300, 0], dtype=dt.int32, device=opencl)
    made = dt.fake_quantize_per_channel_affine(x, scale, zero, 1, 0, 255)
    with pytest.raises(RuntimeError, match="`zero_point` must be between"):
        made.cpu()
