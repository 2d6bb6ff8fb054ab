"""prelu and glu with their gradients, beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

BOUNDS = {"float32": 2e-5, "float64": 1e-12, "bfloat16": 2e-2, "float16": 3e-3}

CASES: dict[str, tuple[str, tuple[int, ...], Any]] = {
    # what is called, the input's shape, and the weight's or the dim
    "of one weight": ("prelu", (8, 8), (1,)),
    "of a weight without dims": ("prelu", (5,), ()),
    "of channels": ("prelu", (4, 3, 5, 7), (3,)),
    "of columns": ("prelu", (9, 40), (40,)),
    "of many columns": ("prelu", (700, 40), (40,)),
    "of large channels": ("prelu", (4, 24, 50, 41), (24,)),
    "of one weight, many": ("prelu", (3, 7, 100, 90), (1,)),
    "of a number": ("prelu", (), ()),
    "last dim": ("glu", (8, 8), -1),
    "middle dim": ("glu", (3, 6, 35), 1),
    "first dim": ("glu", (4, 5), 0),
    "long lines": ("glu", (40, 700), -1),
}


def _call(library: Any, case: str, tensors: list[Any]) -> Any:
    name, _, dim = CASES[case]
    if name == "prelu":
        return library.nn.functional.prelu(*tensors)
    return library.nn.functional.glu(tensors[0], dim)


def _arrays(case: str, kind: str) -> list[np.ndarray]:
    name, shape, rest = CASES[case]
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape) * 2]
    arrays += [random.uniform(0.1, 0.9, rest)] if name == "prelu" else []
    return [torch.tensor(a).to(getattr(torch, kind)).double().numpy() for a in arrays]


@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(opencl: dt.device, case: str, kind: str) -> None:
    found = []
    for library, device, dtype in ((dt, opencl, kind), (torch, "cpu", "float64")):
        tensors = []
        for array in _arrays(case, kind):
            t = library.tensor(array).to(getattr(library, dtype)).to(device)
            tensors.append(t.detach().requires_grad_())
        out = _call(library, case, tensors)
        factors = np.cos(np.arange(out.numel())).reshape(tuple(out.shape))
        out.backward(library.tensor(factors).to(out.dtype).to(device))
        rows = [out, *[t.grad for t in tensors]]
        found.append([r.detach().cpu().double().numpy() for r in rows])
    for ours, theirs in zip(*found, strict=True):
        assert np.abs(ours - theirs).max() <= BOUNDS[kind] * max(np.abs(theirs).max(), 1e-30)


@pytest.mark.parametrize("case", ["of channels", "of one weight", "last dim"])
def test_the_second_gradient(opencl: dt.device, case: str) -> None:
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        tensors = [
            library.tensor(a).to(library.float32).to(device).detach().requires_grad_()
            for a in _arrays(case, "float32")
        ]
        out = (_call(library, case, tensors) ** 2).sum()
        first = library.autograd.grad(out, tensors, create_graph=True)
        sum((g * g).sum() for g in first).backward()
        found.append([t.grad.cpu().numpy() for t in tensors])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", ["prelu", "glu"])
def test_special_numbers(opencl: dt.device, name: str) -> None:
    numbers = [np.nan, np.inf, -np.inf, 0.0, -0.0, 90.0, -90.0, 1.0]
    array = np.array(np.meshgrid(numbers, numbers), np.float32).reshape(2, -1).T
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        x = library.tensor(array.copy()).to(device)
        functional = library.nn.functional
        weight = library.tensor([0.5]).to(device)
        out = functional.glu(x) if name == "glu" else functional.prelu(x, weight)
        found.append(out.cpu().numpy())
    np.testing.assert_allclose(*found, rtol=1e-6)


Both = tuple[Callable[[Any, Any], Any], int]
LAUNCHES: dict[str, Both] = {
    # a call, and the launches of its backward (where one more adds up each leaf's gradient)
    "prelu": (lambda x, w: dt.nn.functional.prelu(x, w), 1),
    "prelu of one": (lambda x, w: dt.nn.functional.prelu(x, w[:1].detach()), 1),
    "glu": (lambda x, w: dt.nn.functional.glu(x), 1),
}


@pytest.mark.parametrize("name", LAUNCHES)
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    call, backward = LAUNCHES[name]
    x = dt.rand(8, 8, device=opencl, requires_grad=True)
    w = dt.rand(8, device=opencl, requires_grad=True)
    for is_known in (False, True):
        before = queue.launches
        out = call(x, w)
        forward = queue.launches - before
        g = dt.ones_like(out)
        before = queue.launches
        dt.autograd.grad(out, x, g)
        if is_known:
            assert (forward, queue.launches - before) == (1, backward)
