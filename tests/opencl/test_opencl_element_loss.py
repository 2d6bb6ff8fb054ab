"""Losses of two tensors element by element: one launch of few elements, two of many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

LOSSES: dict[str, dict[str, float]] = {
    "mse_loss": {},
    "l1_loss": {},
    "smooth_l1_loss": {"beta": 0.5},
    "huber_loss": {"delta": 0.7},
    "binary_cross_entropy": {},
    "binary_cross_entropy_with_logits": {},
}


def _both(name: str, shape: tuple[int, ...], kind: str, reduction: str, options: Any) -> list[Any]:
    """(the loss, the gradients of both tensors) here and in PyTorch."""
    random = np.random.default_rng(0)
    draw = random.standard_normal
    if name.startswith("binary"):
        draw = lambda shape: random.uniform(0.05, 0.95, shape)
    arrays = [draw(shape), draw(shape)]
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        dtype = getattr(library, kind)
        tensors = [library.tensor(a, dtype=dtype, device=device) for a in arrays]
        for tensor in tensors:
            tensor.requires_grad_()
        loss = getattr(library.nn.functional, name)(*tensors, reduction=reduction, **options)
        loss.sum().backward()
        rows = [loss, *(t.grad for t in tensors)]
        found.append([r.detach().cpu().double().numpy() for r in rows])
    return found


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(1,), (3, 7), (5, 900), (3, 50000)])
@pytest.mark.parametrize("name", LOSSES)
def test_values(opencl: dt.device, name: str, shape: tuple[int, ...], kind: str) -> None:
    bound = 2e-5 if kind == "float32" else 2e-2
    for reduction in ("mean", "sum", "none"):
        ours, theirs = _both(name, shape, kind, reduction, LOSSES[name])
        for mine, wanted in zip(ours, theirs, strict=True):
            error = np.abs(mine - wanted).max() / max(np.abs(wanted).max(), 1e-30)
            assert error < bound, (reduction, error)


@pytest.mark.parametrize("name", LOSSES)
def test_few_elements_are_one_launch(opencl: dt.device, queue: Any, name: str) -> None:
    a, b = dt.full((8, 8), 0.25, device=opencl), dt.full((8, 8), 0.5, device=opencl)
    loss = getattr(dt.nn.functional, name)
    loss(a, b)
    before = queue.launches
    loss(a, b)
    assert queue.launches == before + 1


def _special(name: str) -> Callable[[Any, Any], Any]:
    def run(library: Any, device: str) -> Any:
        x = library.tensor([float("nan"), 1.0], device=device)
        y = library.tensor([0.5, float("inf")], device=device)
        loss = getattr(library.nn.functional, name)
        return [loss(x[i:], y[i:], reduction="sum").item() for i in (0, 1)]

    return run


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "binary_cross_entropy"])
def test_special_numbers(opencl: dt.device, name: str) -> None:
    run = _special(name)
    np.testing.assert_array_equal(run(dt, "opencl:0"), run(torch, "cpu"))


@pytest.mark.parametrize("count", [8, 9000])
@pytest.mark.parametrize("which", ["input", "target"])
def test_what_is_no_probability(opencl: dt.device, which: str, count: int) -> None:
    given = {name: dt.full((count,), 0.5, device=opencl) for name in ("input", "target")}
    given[which][count - 1] = 1.5
    loss = dt.nn.functional.binary_cross_entropy(**given)
    with pytest.raises(RuntimeError, match=f"elements of {which} should be between 0 and 1"):
        loss.item()


def test_a_mean_of_large_halves(opencl: dt.device) -> None:
    """The sum is beyond what float16 holds, the mean is not."""
    x = dt.full((4000,), 100.0, device=opencl, dtype=dt.float16)
    assert dt.nn.functional.mse_loss(x, dt.zeros_like(x)).item() == 10000.0
