"""Draws with what becomes of them in one launch, with the numbers that the host draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dovetail as dt

F: Any = dt.nn.functional


def _wide(x: Any) -> Any:
    return x if x.dtype is dt.float64 else x.float()


DRAWS: dict[str, Callable[[Any], Any]] = {
    "uniform_": lambda x: x.uniform_(-3, 5.1),
    "uniform_ whole": lambda x: x.uniform_(),
    "normal_": lambda x: x.normal_(),
    "normal_ scaled": lambda x: x.normal_(2.3, 0.7),
    "random_": lambda x: x.random_(),
    "random_ below": lambda x: x.random_(-5, 100),
    "random_ bytes": lambda x: dt.empty_like(x, dtype=dt.uint8).random_(),
    "exponential_": lambda x: x.exponential_(2.5),
    "geometric_": lambda x: x.geometric_(0.3),
    "geometric_ whole": lambda x: dt.empty_like(x, dtype=dt.int32).geometric_(0.01),
    "cauchy_": lambda x: x.cauchy_(0.5, 2.0),
    "log_normal_": lambda x: x.log_normal_(0.3, 0.5),
    "poisson": lambda x: dt.poisson(x.abs() * 9),
    "binomial": lambda x: dt.binomial(_wide(x) * 40, dt.full_like(_wide(x), 0.6)),
    "randint": lambda x: dt.randint(0, 9, tuple(x.shape), dtype=dt.int32, device=x.device),
    "normal": lambda x: dt.normal(1.5, 2.0, x.shape, dtype=x.dtype, device=x.device),
    "bernoulli": lambda x: dt.full_like(x, 0.3).bernoulli(),
    "multinomial": lambda x: dt.ones_like(x).multinomial(3),
    "multinomial again": lambda x: dt.ones_like(x).multinomial(9, True),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.3, True),
    "feature_dropout": lambda x: dt.feature_dropout(x, 0.3, True),
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x, 0.3, True),
    "rrelu": lambda x: F.rrelu(x, training=True),
    "randperm": lambda x: dt.randperm(x.numel(), device=x.device),
}
MORE = {
    "bernoulli": 1,
    "multinomial": 1,
    "multinomial again": 1,
    "randperm": 1,
    "poisson": 2,
    "binomial": 2,
}
"""Launches that make what is chosen by, or sort."""


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(8, 8), (5, 7), (70, 303)])
@pytest.mark.parametrize("name", DRAWS)
def test_the_numbers_of_the_host(
    opencl: dt.device, name: str, shape: tuple[int, ...], kind: str
) -> None:
    dtype = getattr(dt, kind)
    base = ((dt.arange(shape[0] * shape[1]) % 13).reshape(shape) - 6).to(dtype) / 3
    found = []
    for device in ("cpu", "opencl:0"):
        dt.manual_seed(3)
        x = base.detach().to(device).clone()
        is_step = "dropout" in name or name == "rrelu"
        x.requires_grad_(is_step)
        made = DRAWS[name](x)
        rows = [made, dt.rand(3, device=device)]  # the counter stands where it stood
        if is_step:
            made.backward(dt.ones_like(made))
            rows.append(x.grad)
        found.append([row.detach().double().cpu() for row in rows])
    rough = {"float32": 2e-6, "float64": 1e-12, "bfloat16": 2e-2}[kind]
    for ours, theirs in zip(*found, strict=True):
        assert dt.allclose(ours, theirs, rough, rough)


@pytest.mark.parametrize("name", DRAWS)
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    x = dt.full((8, 8), -0.5, device=opencl)
    DRAWS[name](x)
    before = queue.launches
    DRAWS[name](x)
    assert queue.launches == before + 1 + MORE.get(name, 0)


def test_uniform_stays_below_its_end(opencl: dt.device) -> None:
    for dtype in (dt.float16, dt.bfloat16, dt.float32):
        x = dt.empty(20_000, dtype=dtype, device=opencl).uniform_(1, 1.0625)
        assert x.min().item() >= 1
        assert x.max().item() < 1.0625
