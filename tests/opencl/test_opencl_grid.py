"""grid_sample and affine_grid with their gradients, a launch each, beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

CASES = """
import itertools
import numpy as np
import torch
import dovetail as dt

random = np.random.default_rng(0)

def sampled(library, device, image, grid, kind, options):
    made = [
        library.tensor(x, device=device).to(getattr(library, kind)).requires_grad_()
        for x in (image, grid)
    ]
    out = library.nn.functional.grid_sample(*made, **options)
    weights = np.cos(np.arange(out.numel())).reshape(tuple(out.shape))
    (out * library.tensor(weights, device=device).to(out.dtype)).sum().backward()
    return [x.detach().cpu().double().numpy() for x in (out, *(x.grad for x in made))]

def beside(image, grid, kind="float32", bound=2e-5, **options):
    options = {"align_corners": False, **options}
    x = random.standard_normal(image)
    # In bfloat16's steps, so that all libraries read the same places.
    places = np.round(random.uniform(-1.5, 1.5, (image[0], *grid, len(grid))) * 64) / 64
    found, wanted = [
        sampled(library, device, x, places, kind, options)
        for library, device in ((dt, "opencl:0"), (torch, "cpu"))
    ]
    for ours, theirs in zip(found, wanted, strict=True):
        largest = max(1, abs(theirs).max(initial=0))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound * largest, err_msg=str(options))

every = list(itertools.product(("zeros", "border", "reflection"), (False, True)))
"""

CHECKS = {
    "images": """
for mode in ("bilinear", "nearest", "bicubic"):
    for padding, align in every:
        options = {"mode": mode, "padding_mode": padding, "align_corners": align}
        beside((2, 5, 7, 9), (6, 11), **options)
        beside((2, 3, 1, 1), (1, 2), **options)
""",
    "volumes": """
for mode in ("bilinear", "nearest"):
    for padding, align in every:
        options = {"mode": mode, "padding_mode": padding, "align_corners": align}
        beside((2, 3, 4, 5, 6), (3, 7, 4), **options)
""",
    "large": """
beside((3, 20, 33, 31), (40, 37), bound=1e-4)
beside((1, 1, 70, 90), (64, 64), bound=1e-4)
beside((2, 40, 5, 5), (3, 3), mode="bicubic", bound=1e-4)
""",
    "dtypes": """
beside((2, 3, 5, 6), (4, 19), kind="float64", bound=1e-12)
beside((2, 3, 4, 5, 6), (3, 4, 4), kind="float64", bound=1e-12)
beside((2, 3, 5, 6), (4, 19), kind="float16", bound=1e-2)
""",
    "in order": """
dt.use_deterministic_algorithms(True)
beside((2, 3, 40, 41), (50, 51), bound=1e-4)
x, grid = dt.randn(2, 3, 9, 9), dt.rand(2, 90, 70, 2)
made = []
for _ in range(3):
    image = x.to("opencl:0").requires_grad_()
    dt.nn.functional.grid_sample(image, grid.to("opencl:0"), align_corners=True).sum().backward()
    made.append(image.grad.cpu().numpy().tobytes())
dt.use_deterministic_algorithms(False)
assert len(set(made)) == 1
""",
    "what is no number": """
options = {"align_corners": True}
image = np.where(random.random((1, 2, 6, 7)) < 0.1, np.inf, random.standard_normal((1, 2, 6, 7)))
grid = random.uniform(-1.3, 1.3, (1, 5, 9, 2)).astype(np.float32)
grid[0, 0, :4] = [[np.nan, 0], [0, np.nan], [1e30, 0], [0, -np.inf]]
for mode in ("bilinear", "nearest", "bicubic"):
    for padding in ("zeros", "border", "reflection"):
        out = [
            library.nn.functional.grid_sample(
                library.tensor(image.astype(np.float32), device=device),
                library.tensor(grid, device=device), mode, padding, True,
            ).cpu().numpy()
            for library, device in ((dt, "opencl:0"), (torch, "cpu"))
        ]
        np.testing.assert_allclose(*out, rtol=1e-4, atol=1e-5, err_msg=mode + padding)
""",
    "affine": """
def grids(library, device, theta, size, align, kind):
    made = library.tensor(theta, device=device).to(getattr(library, kind)).requires_grad_()
    out = library.nn.functional.affine_grid(made, size, align)
    weights = np.cos(np.arange(out.numel())).reshape(tuple(out.shape))
    (out * library.tensor(weights, device=device).to(out.dtype)).sum().backward()
    return [x.detach().cpu().double().numpy() for x in (out, made.grad)]

for size in ((2, 3, 5, 40), (1, 1, 1, 300), (3, 2, 4, 5, 17), (70, 1, 3, 2)):
    for align, kind in ((False, "float32"), (True, "float64")):
        if align and 1 in size[2:]:
            continue
        theta = random.standard_normal((size[0], len(size) - 2, len(size) - 1))
        given = [grids(*on, theta, size, align, kind) for on in ((dt, "opencl:0"), (torch, "cpu"))]
        for ours, theirs in zip(*given, strict=True):
            largest = max(1, abs(theirs).max())
            bound = 1e-5 if kind == "float32" else 1e-13
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound * largest)
""",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_compute_what_pytorch_does(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(CASES + CHECKS[name], kind)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_a_launch_each(opencl: dt.device, queue: Any, mode: str) -> None:
    functional = dt.nn.functional
    image = dt.randn(2, 3, 8, 9, device=opencl, requires_grad=True)
    theta = dt.randn(2, 2, 3, device=opencl, requires_grad=True)

    def counted(function: Callable[[], Any]) -> tuple[Any, int]:
        function()
        before = queue.launches
        made = function()
        return made, queue.launches - before

    grid, launches = counted(lambda: functional.affine_grid(theta, (2, 3, 5, 4), False))
    assert launches == 1
    grid = grid.detach().requires_grad_()
    out, launches = counted(lambda: functional.grid_sample(image, grid, mode, "border", False))
    assert launches == 1
    weights = dt.ones_like(out)
    for x in (image, grid):
        _, launches = counted(lambda x=x: dt.autograd.grad(out, x, weights, retain_graph=True))
        assert launches == 1


def test_nothing(opencl: dt.device) -> None:
    functional = dt.nn.functional
    for image, grid in (((0, 3, 4, 4), (0, 2, 2, 2)), ((2, 0, 4, 4), (2, 3, 3, 2))):
        x = dt.zeros(image, device=opencl, requires_grad=True)
        out = functional.grid_sample(x, dt.zeros(grid, device=opencl), align_corners=True)
        out.sum().backward()
        assert tuple(out.shape) == (*image[:2], *grid[1:-1])
        assert x.grad is not None
        assert tuple(x.grad.shape) == image
    x = dt.ones(1, 2, 3, 3, device=opencl, requires_grad=True)
    out = functional.grid_sample(x, dt.zeros(1, 0, 4, 2, device=opencl), align_corners=True)
    out.sum().backward()
    assert out.numel() == 0
    assert not x.grad.any()
