"""Optimizers, averages and unscaling: a launch for eight tensors, beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

TENSORS = 11  # more than one launch takes
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "Adamax": ("Adamax", {"weight_decay": 0.1}),
    "NAdam": ("NAdam", {"weight_decay": 0.1}),
    "NAdam, decoupled": ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "RAdam": ("RAdam", {"maximize": True}),
    "RAdam, decoupled": ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "Adagrad": ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1}),
    "Adadelta": ("Adadelta", {"weight_decay": 0.1}),
    "RMSprop": ("RMSprop", {}),
    "RMSprop, all": ("RMSprop", {"centered": True, "momentum": 0.9, "weight_decay": 0.1}),
    "RMSprop, centred": ("RMSprop", {"centered": True}),
    "Rprop": ("Rprop", {}),
    "ASGD": ("ASGD", {"t0": 3, "weight_decay": 0.1}),
}


def _labels(queue: Any, call: Callable[[], Any]) -> list[str]:
    seen: list[str] = []
    queue.synchronize()
    queue.watch = lambda label, event, buffers: seen.append(label)
    try:
        call()
        queue.synchronize()
    finally:
        queue.watch = None
    return seen


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_optimizers(queue: Any, name: str, dtype: str) -> None:
    kind, options = RULES[name]
    results = []
    for library, device in ((torch, "cpu"), (dt, "opencl:0")):
        params = []
        for i in range(TENSORS):
            start = np.random.default_rng(i).standard_normal((3 + i, 4)).astype(dtype)
            params.append(library.from_numpy(start).to(device).requires_grad_(True))
        rule = getattr(library.optim, kind)(params, lr=1e-2, **options)
        for step in range(8):
            for i, p in enumerate(params):
                grad = np.random.default_rng(100 * step + i).standard_normal(tuple(p.shape))
                grad[0] = 0  # Rprop has a case for it
                p.grad = library.from_numpy(grad.astype(dtype)).to(device)
            if library is torch:
                rule.step()
                continue
            labels = _labels(queue, rule.step)
            if step > 1:
                assert labels.count(f"{kind.lower()}_step") == 2
                # Counts that are on the device, and a one to add to them.
                counted = {"running_step", "fill"} if kind == "ASGD" else set()
                assert set(labels) <= {f"{kind.lower()}_step"} | counted
        results.append([p.detach().cpu().numpy() for p in params])
    tolerance = 2e-6 if dtype == "float32" else 1e-13
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


def test_numbers_that_somebody_else_wrote_are_read(opencl: dt.device) -> None:
    """ASGD knows its counts without waiting for them, unless they are not its own."""
    results = []
    for library, device in ((torch, "cpu"), (dt, "opencl:0")):
        p = library.ones(5, device=device, requires_grad=True)
        rule = library.optim.ASGD([p], lr=0.1, lambd=0.1)
        for step in range(4):
            p.grad = p.detach() * 2
            rule.step()
            if step == 1:
                rule.state[p]["eta"].fill_(0.5)
                rule.state[p]["step"].fill_(7.0)
            if step == 2:
                rule.load_state_dict(rule.state_dict())
        results.append([p.detach().cpu().numpy(), rule.state[p]["eta"].cpu().numpy()])
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("way", ["ema", "mean"])
def test_averages_of_weights(queue: Any, way: str) -> None:
    results = []
    for library, device in ((torch, "cpu"), (dt, "opencl:0")):
        utils = library.optim.swa_utils
        layers = [library.nn.Linear(3, 4 + i) for i in range(TENSORS)]
        model = library.nn.Sequential(*layers).to(device)
        options = {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.9)} if way == "ema" else {}
        average = utils.AveragedModel(model, **options)
        for step in range(4):
            for i, p in enumerate(model.parameters()):
                new = np.random.default_rng(10 * step + i).standard_normal(tuple(p.shape))
                p.data = library.from_numpy(new.astype(np.float32)).to(device)
            if library is torch:
                average.update_parameters(model)
                continue
            labels = _labels(queue, partial(average.update_parameters, model))
            if step:
                assert labels == ["lerp_step"] * 3
        results.append([p.detach().cpu().numpy() for p in average.parameters()])
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrong", [None, np.inf, np.nan])
@pytest.mark.parametrize("size", [3, 30000])
def test_unscaling(queue: Any, size: int, wrong: float | None) -> None:
    params = [dt.ones(size, device="opencl:0", requires_grad=True) for _ in range(TENSORS)]
    rule, scaler = dt.optim.SGD(params, lr=1.0), dt.amp.GradScaler("opencl", init_scale=4.0)
    scaler.scale(dt.ones((), device="opencl:0"))
    for _ in range(2):
        for i, p in enumerate(params):
            p.grad = dt.full((size,), 8.0 * i, device="opencl:0")
        if wrong is not None:
            params[7].grad[size // 2] = wrong
        labels = _labels(queue, lambda: scaler.unscale_(rule))
        scaler.step(rule)
        scaler.update(4.0)
    assert labels.count("unscale_step") == 1
    assert len(labels) == 3  # the factor's reciprocal, and a zero
    for i, p in enumerate(params):
        assert p.grad[0].item() == 2.0 * i
        assert p[0].item() == (1 if wrong is not None else 1 - 2 * 2.0 * i)


OF_A_GPU = """
import numpy as np
import torch
import dovetail as dt
from dovetail_opencl.runtime import device_of

assert not device_of(0).is_cpu
for name, options in {rules!r}.values():
    results = []
    for library, device in ((torch, "cpu"), (dt, "opencl:0")):
        params = [
            library.tensor(np.random.default_rng(i).standard_normal(3 + 4100 * (i % 2)))
            .to(library.float32).to(device).requires_grad_(True) for i in range(5)
        ]
        rule = getattr(library.optim, name)(params, lr=1e-2, **options)
        for _ in range(6):
            for p in params:
                p.grad = (p.detach() * 3).sin()
            rule.step()
        results.append([p.detach().cpu().numpy() for p in params])
    for theirs, ours in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-6, err_msg=name)
"""


def test_optimizers_on_a_gpu(in_class: Callable[[str, str], None]) -> None:
    few = {name: RULES[name] for name in ("Adamax", "NAdam", "RMSprop, all", "Rprop")}
    in_class(OF_A_GPU.format(rules=few), "gpu")
