"""Launches of weight_norm and spectral_norm, and gradients of gradients of operators that have
kernels for both; ``tests/nn/test_utils_parity.py`` has the values beside PyTorch."""

from __future__ import annotations

from typing import Any

import pytest

import dovetail as dt

LAUNCHES = {"weight_norm": (1, 1), "spectral_norm": (2, 1)}
"""Of a read of the weight while training, and else."""


@pytest.mark.parametrize("name", LAUNCHES)
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    layer = dt.nn.Linear(5, 6).to(opencl)
    getattr(dt.nn.utils.parametrizations, name)(layer)
    found = []
    for is_training in (True, False):
        layer.train(is_training)
        for _ in range(2):
            before = queue.launches
            weight = layer.weight
        found.append(queue.launches - before)
        before = queue.launches
        dt.autograd.grad(weight, [*layer.parametrizations.parameters()], dt.ones_like(weight))
        assert queue.launches == before + 2  # the ones, and all gradients
    assert tuple(found) == LAUNCHES[name]


GRADIENTS = {
    "weight_norm": lambda x, y: dt.ops.weight_norm(x, y[:, :1], dim=0),
    "spectral_norm": lambda x, y: dt.ops.spectral_norm(x, y[:, 0], y[0], dim=0),
    "local_response_norm": lambda x, y: dt.nn.functional.local_response_norm(x[None], 3, 0.5),
    "normalize": lambda x, y: dt.nn.functional.normalize(x),
    "cosine_similarity": lambda x, y: dt.nn.functional.cosine_similarity(x, y),
    "block_diag": lambda x, y: dt.block_diag(x, y * y),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_gradients(opencl: dt.device, name: str) -> None:
    dt.manual_seed(1)
    x, y = ((dt.rand(3, 4, dtype=dt.float64) + 0.5).to(opencl).requires_grad_() for _ in range(2))
    assert dt.autograd.gradgradcheck(GRADIENTS[name], (x, y))


def test_a_weight_of_another_size_is_refused(opencl: dt.device) -> None:
    layer = dt.nn.utils.spectral_norm(dt.nn.Linear(6, 4)).to(opencl)
    layer.weight_orig = dt.nn.Parameter(dt.ones(64, 64, device=opencl))
    with pytest.raises(RuntimeError, match=r"size mismatch, got input \(64\), mat \(64x64\)"):
        layer(dt.ones(2, 64, device=opencl))
    vectors = [dt.ones(n, dtype=dt.float64, device=opencl) for n in (4, 6)]
    with pytest.raises(RuntimeError, match="the same dtype, but got Float, Double, Double"):
        dt.ops.spectral_norm(dt.ones(4, 6, device=opencl), *vectors, dim=0)
