"""Optimizer steps as one kernel over many tensors, beside PyTorch's optimizers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside_torch import same, torch

import dovetail as dt
from dovetail.ops.layers.optimizer_steps import fused_step

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"momentum": 0.9, "dampening": 0.2, "maximize": True}),
    ("SGD", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"maximize": True, "betas": (0.7, 0.9), "eps": 1e-3}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.2, "amsgrad": True, "maximize": True}),
]


def _steps(library: Any, name: str, options: Any, arrays: Any, **placed: Any) -> list[Any]:
    params = [library.tensor(a, **placed) for a in arrays]
    params[1] = params[1].contiguous(memory_format=library.channels_last)
    for p in params:
        p.requires_grad_()
    optimizer = getattr(library.optim, name)(params, lr=0.05, **options)
    for step in range(3):
        for i, p in enumerate(params):
            p.grad = (p.detach() * (0.3 + i) + step).sin()
        optimizer.step()
    return params


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_steps(name: str, options: Any, served: str, device: Any) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in ((40_001,), (2, 3, 4, 5), ())]
    mine = _steps(dt, name, options, arrays, device=device)
    other = _steps(torch, name, options, arrays)
    for a, b in zip(mine, other, strict=True):
        same(a, b, 1e-12, name)


def test_one_kernel_serves_all_tensors() -> None:
    params = [dt.ones(3), dt.ones(2, 2)]
    grads = [dt.ones(3), dt.ones(2, 2)]
    options = {
        "lr": 0.5, "momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False,
        "maximize": False, "first": False,
    }  # fmt: skip
    assert not fused_step("sgd_step", (params, grads, []), options)  # would not be recorded
    with dt.no_grad():
        assert fused_step("sgd_step", (params, grads, []), options)
        assert not fused_step("sgd_step", (params, [dt.ones(3), dt.ones(2, 2).t()], []), options)
        assert not fused_step("sgd_step", (params, [g.double() for g in grads], []), options)
        assert not fused_step("no_such_step", (params, grads, []), options)
    assert [p._version for p in params] == [1, 1]
    assert params[1].tolist() == [[0.5, 0.5], [0.5, 0.5]]
