"""Operators of several steps that are one launch of few elements, beside PyTorch with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

Call = Callable[[Any, Any, Any, Any], Any]

CASES: dict[str, Call] = {
    "add, alpha": lambda m, x, y, v: x.add(y, alpha=0.5),
    "sub, alpha": lambda m, x, y, v: m.sub(x, y, alpha=2),
    "add_, alpha": lambda m, x, y, v: (x * 1).add_(y, alpha=-3),
    "clamp by tensors": lambda m, x, y, v: x.clamp(y, y + 1),
    "clamp by a row": lambda m, x, y, v: x.clamp(min=v),
    "clamp_ by a tensor": lambda m, x, y, v: (x * 1).clamp_(max=y),
    "clamp_min": lambda m, x, y, v: x.clamp_min(0.25),
    "clamp_max": lambda m, x, y, v: x.clamp_max(y),
    "clamp_min_": lambda m, x, y, v: (x * 1).clamp_min_(0.25),
    "where of numbers": lambda m, x, y, v: m.where(x.detach() > y.detach(), 1.5, -0.0) * x,
    "where of rows": lambda m, x, y, v: m.where(v.detach() > 0, 2.0, 1.0) * x,
    "kl_div": lambda m, x, y, v: m.nn.functional.kl_div(x, y.sigmoid(), reduction="batchmean"),
    "kl_div of logarithms": lambda m, x, y, v: m.nn.functional.kl_div(
        x, y, reduction="sum", log_target=True
    ),
    "kl_div of each": lambda m, x, y, v: m.nn.functional.kl_div(x, y.sigmoid(), reduction="none"),
    "normalize": lambda m, x, y, v: m.nn.functional.normalize(x),
    "normalize columns": lambda m, x, y, v: m.nn.functional.normalize(x, dim=0, eps=2.5),
    "normalize by the sum": lambda m, x, y, v: m.nn.functional.normalize(x, p=1.0),
    "cosine_similarity": lambda m, x, y, v: m.nn.functional.cosine_similarity(x, y),
    "cosine_similarity, dim 0": lambda m, x, y, v: m.nn.functional.cosine_similarity(x, y, 0),
    "cosine_similarity, short": lambda m, x, y, v: m.nn.functional.cosine_similarity(x, y, eps=2.5),
    "cosine_similarity, wide": lambda m, x, y, v: m.nn.functional.cosine_similarity(x, v[None]),
    "local_response_norm": lambda m, x, y, v: m.nn.functional.local_response_norm(
        x[None], 3, alpha=0.5, k=2.0
    ),
    "local_response_norm, even": lambda m, x, y, v: m.nn.functional.local_response_norm(
        x[None], 4, alpha=0.5, beta=1.5
    ),
    "block_diag": lambda m, x, y, v: m.block_diag(x, y[:3], x.t()),
    "block_diag of a row": lambda m, x, y, v: m.block_diag(v, x),
    "dot": lambda m, x, y, v: v.dot(x[0]),
    "mv": lambda m, x, y, v: x.mv(v),
    "matrices by a vector": lambda m, x, y, v: x.reshape(3, 2, 5)[:, ::2] @ v,
    "vector by a matrix": lambda m, x, y, v: v @ x.t(),
    "threshold": lambda m, x, y, v: m.nn.functional.threshold(x, 0.1, -2.0),
    "hardshrink": lambda m, x, y, v: m.nn.functional.hardshrink(x),
    "softshrink": lambda m, x, y, v: m.nn.functional.softshrink(x, 0.25),
    "softsign": lambda m, x, y, v: m.nn.functional.softsign(x),
    "xlogy": lambda m, x, y, v: m.xlogy(x, y.sigmoid()),
    "logaddexp": lambda m, x, y, v: m.logaddexp(x, y),
    "heaviside": lambda m, x, y, v: m.heaviside(x.detach(), y.detach()) * x,
}
SEVERAL = {
    "add_, alpha", "clamp by tensors", "clamp by a row", "clamp_ by a tensor", "clamp_min_",
    "kl_div", "kl_div of each", "normalize by the sum", "cosine_similarity, wide", "xlogy",
    "matrices by a vector", "block_diag", "where of numbers", "where of rows", "heaviside",
}  # fmt: skip
"""With other operators beside, or operands that are packed first."""


def _operands(library: Any, device: str, kind: str) -> list[Any]:
    rng = np.random.default_rng(5)
    shapes = (6, 5), (6, 5), (5,)
    return [
        library.tensor(rng.standard_normal(shape), device=device).to(getattr(library, kind))
        for shape in shapes
    ]


@pytest.mark.parametrize("kind", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", CASES)
def test_beside_torch(opencl: dt.device, name: str, kind: str) -> None:
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        operands = _operands(library, device, kind)
        quiet = CASES[name](library, *operands)
        leaves = [x.requires_grad_() for x in operands]
        out = CASES[name](library, *leaves)
        (out * out).sum().backward()
        made = [quiet, out.detach(), *(x.grad for x in leaves if x.grad is not None)]
        found.append([x.cpu().double().numpy() for x in made])
    tolerance = {"float32": 2e-5, "float64": 1e-9, "float16": 2e-2}[kind]
    assert len(found[0]) == len(found[1])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", [name for name in CASES if name not in SEVERAL])
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    operands = _operands(dt, "opencl:0", "float32")
    for _ in range(2):
        before = queue.launches
        CASES[name](dt, *operands)
    assert queue.launches == before + 1


def test_infinite_and_nan(opencl: dt.device) -> None:
    numbers = [0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan")]
    x, y = (np.array(side, np.float32).ravel() for side in np.meshgrid(numbers, numbers))
    functions = {
        "xlogy": lambda m, x, y: m.xlogy(x, y),
        "logaddexp": lambda m, x, y: m.logaddexp(x, y),
        "heaviside": lambda m, x, y: m.heaviside(x, y),
        "clamp": lambda m, x, y: x.clamp(y, -y),
        "clamp_min": lambda m, x, y: x.clamp_min(y),
        "threshold": lambda m, x, y: m.nn.functional.threshold(x, 0.0, 5.0),
        "hardshrink": lambda m, x, y: m.nn.functional.hardshrink(x),
        "softshrink": lambda m, x, y: m.nn.functional.softshrink(x),
        "softsign": lambda m, x, y: m.nn.functional.softsign(x),
        "normalize": lambda m, x, y: m.nn.functional.normalize(x[:, None]),
        "cosine_similarity": lambda m, x, y: m.nn.functional.cosine_similarity(
            x[:, None], y[:, None]
        ),
    }
    for name, function in functions.items():
        ours = function(dt, dt.tensor(x, device=opencl), dt.tensor(y, device=opencl))
        theirs = function(torch, torch.tensor(x), torch.tensor(y))
        np.testing.assert_allclose(ours.cpu().numpy(), theirs.numpy(), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int64"])
def test_whole_numbers_wrap(opencl: dt.device, kind: str) -> None:
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        x, y = (
            library.tensor(values, device=device).to(getattr(library, kind))
            for values in ([100, 56, 7], [100, 100, 3])
        )
        made = (x.add(y, alpha=2), x.sub(y, alpha=3), x.clone().add_(y, alpha=-2), x.clamp(y, y))
        found.append([row.cpu().tolist() for row in made])
    assert found[0] == found[1]


def test_alpha_of_a_fraction(opencl: dt.device) -> None:
    x = dt.ones(2, device=opencl, dtype=dt.int64)
    with pytest.raises(RuntimeError, match="argument alpha must not be a floating"):
        x.add(x, alpha=0.5)


def test_many_elements(opencl: dt.device) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 300, 120)).astype(np.float32)
    for function in (
        lambda m, x, y: m.nn.functional.normalize(x, dim=0),
        lambda m, x, y: m.nn.functional.cosine_similarity(x, y, 1),
        lambda m, x, y: m.nn.functional.kl_div(x, y.sigmoid(), reduction="sum") / 1e4,
        lambda m, x, y: x.clamp(-y, y),
        lambda m, x, y: x @ y[0],
    ):
        ours = function(dt, dt.tensor(x, device=opencl), dt.tensor(y, device=opencl))
        theirs = function(torch, torch.tensor(x), torch.tensor(y))
        np.testing.assert_allclose(ours.cpu().numpy(), theirs.numpy(), rtol=1e-4, atol=1e-4)
