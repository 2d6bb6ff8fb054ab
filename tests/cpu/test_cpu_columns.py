"""Columns added up to images on the cpu, some planes at a time: beside PyTorch's fold."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity: PyTorch is not installed")

CASES = {
    "several blocks": ((3, 70), (30, 30), {"kernel_size": 3, "padding": 1}),
    "not padded": ((2, 33), (20, 31), {"kernel_size": (2, 3)}),
    "steps and gaps": (
        (2, 40),
        (33, 27),
        {"kernel_size": (3, 2), "stride": (2, 3), "dilation": (2, 1), "padding": (2, 1)},
    ),
    "a plane larger than a block": ((1, 2), (200, 210), {"kernel_size": 2, "padding": (0, 1)}),
}


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_fold(name: str, kind: type) -> None:
    (batch, channels), size, geometry = CASES[name]
    rng = np.random.default_rng(0)
    image = rng.standard_normal((batch, channels, *size)).astype(kind)
    shape = torch.nn.functional.unfold(torch.from_numpy(image), **geometry).shape
    columns = rng.standard_normal(tuple(shape)).astype(kind)
    columns.flat[rng.integers(0, columns.size, 5)] = np.inf, -np.inf, np.nan, np.inf, 0
    wanted = torch.nn.functional.fold(torch.from_numpy(columns), size, **geometry).numpy()
    made = dt.nn.functional.fold(dt.from_numpy(columns), size, **geometry).numpy()
    eps = np.finfo(kind).eps
    np.testing.assert_allclose(made, wanted, rtol=8 * eps, atol=16 * eps)


def test_the_gradient_of_unfold() -> None:
    x = np.random.default_rng(1).standard_normal((2, 50, 30, 31)).astype(np.float32)
    theirs = torch.from_numpy(x).requires_grad_()
    ours = dt.from_numpy(x).requires_grad_()
    torch.nn.functional.unfold(theirs, 3, padding=1).square().sum().backward()
    dt.nn.functional.unfold(ours, 3, padding=1).square().sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-5, atol=1e-5)
