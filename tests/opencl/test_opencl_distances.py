"""cdist and pdist with their gradients, beside PyTorch's: one launch of few points."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

SHAPES = [
    ((4, 3), (5, 3)),
    ((30, 8), (40, 8)),
    ((2, 3, 7, 5), (2, 3, 6, 5)),
    ((3, 1), (1, 1)),
    ((200, 40), (90, 40)),  # more than one launch takes
    ((3, 4, 2), (5, 2)),  # leading dims that broadcast
]
ORDERS = [0.0, 1.0, 1.5, 2.0, 3.0, math.inf]
CALLS: dict[str, Callable[[Any, list[Any], float], Any]] = {
    "cdist": lambda library, x, p: library.cdist(*x, p=p),
    "pdist": lambda library, x, p: library.nn.functional.pdist(x[0].flatten(0, -2), p),
}


def _run(library: Any, device: Any, call: Any, shapes: Any, p: float, kind: str) -> list[Any]:
    """The distances, and the gradients of the points."""
    random = np.random.default_rng(0)
    points = [
        library.tensor(random.standard_normal(shape)).to(getattr(library, kind)).to(device)
        for shape in shapes
    ]
    points = [x.detach().requires_grad_() for x in points]
    out = call(library, points, p)
    factors = np.cos(np.arange(out.numel())).reshape(tuple(out.shape))
    out.backward(library.tensor(factors).to(out.dtype).to(device))
    rows = [out, *[x.grad for x in points if x.grad is not None]]
    return [r.detach().cpu().double().numpy() for r in rows]


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(
    opencl: dt.device, name: str, shapes: Any, p: float, kind: str
) -> None:
    if name == "pdist" and shapes[0] == (3, 1):
        p = min(p, 3.0)
    ours = _run(dt, opencl, CALLS[name], shapes, p, kind)
    theirs = _run(torch, "cpu", CALLS[name], shapes, p, kind)
    bound = 3e-5 if kind == "float32" else 1e-11
    for mine, wanted in zip(ours, theirs, strict=True):
        assert np.abs(mine - wanted).max() <= bound * max(np.abs(wanted).max(), 1)


@pytest.mark.parametrize("name", CALLS)
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    points = [dt.rand(30, 8, device=opencl) for _ in range(2)]
    for _ in range(2):
        before = queue.launches
        CALLS[name](dt, points, 2.0)
        made = queue.launches - before
    assert made == 1
    x, y = (p.requires_grad_() for p in points)
    for _ in range(2):
        out = dt.cdist(x, y)
        g = dt.ones_like(out)
        before = queue.launches
        dt.autograd.grad(out, (x, y), g)
        made = queue.launches - before
    assert made == 1


@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_the_second_gradient(opencl: dt.device, p: float) -> None:
    """Of which PyTorch has none: by differences of the first."""
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape) for shape in ((4, 3), (5, 3))]

    def slope(x: Any, y: Any, create: bool = False) -> Any:
        points = [dt.tensor(a, device=opencl).requires_grad_() for a in (x, y)]
        out = (dt.cdist(*points, p=p) ** 2 * 0.5).sum()
        return points, dt.autograd.grad(out, points, create_graph=create)[0]

    points, first = slope(*arrays, create=True)
    (first.sin()).sum().backward()
    step = np.zeros((4, 3))
    step[1, 2] = 1e-5
    values = [np.sin(slope(arrays[0] + s, arrays[1])[1].cpu().numpy()).sum() for s in (step, -step)]
    found = points[0].grad.cpu().numpy()[1, 2]
    np.testing.assert_allclose(found, (values[0] - values[1]) / 2e-5, rtol=1e-6)


def test_points_that_are_equal(opencl: dt.device) -> None:
    for p in ORDERS:
        x = dt.ones(3, 2, device=opencl, requires_grad=True)
        out = dt.cdist(x, x.detach(), p=p)
        out.sum().backward()
        np.testing.assert_array_equal(out.detach().cpu().numpy(), np.zeros((3, 3)))
        np.testing.assert_array_equal(x.grad.cpu().numpy(), np.zeros((3, 2)))


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(8, 8), (3, 50), (7,), (1, 5), (60, 40)])
@pytest.mark.parametrize("name", ["cov", "corrcoef"])
def test_variables_that_vary_together(
    opencl: dt.device, queue: Any, name: str, shape: tuple[int, ...], kind: str
) -> None:
    """A mean that is large beside the deviation; one launch of few observations."""
    array = (np.random.default_rng(0).standard_normal(shape) + 20).astype(kind)
    x, beside = dt.tensor(array, device=opencl), torch.tensor(array).double()
    options: dict[str, Any] = {"correction": 0} if name == "cov" and shape[0] == 3 else {}
    for _ in range(2):
        before = queue.launches
        made = getattr(dt, name)(x, **options)
        launches = queue.launches - before
    assert launches == 1 or shape[0] == 60
    wanted = getattr(torch, name)(beside, **options).numpy()
    assert tuple(made.shape) == wanted.shape
    np.testing.assert_allclose(made.cpu().numpy(), wanted, atol=2e-5, rtol=2e-5)
