"""Images read between their elements on the cpu, a block of places at a time (grid_sample)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity: PyTorch is not installed")

SHAPES = (
    ((2, 40, 30, 31), (2, 50, 51, 2)),
    ((3, 1, 20, 9), (3, 200, 201, 2)),
    ((1, 70, 1, 1), (1, 5, 100, 2)),
    ((2, 33, 6, 7, 8), (2, 10, 11, 12, 3)),
    ((2, 0, 4, 4), (2, 3, 3, 2)),
)
"""Several blocks and a rest, one channel, one element, a volume, nothing."""


def operands(shapes: tuple[tuple[int, ...], ...], kind: type) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal(shapes[0]).astype(kind),
        rng.uniform(-1.4, 1.4, shapes[1]).astype(kind),
    )


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("shapes", SHAPES)
def test_beside_pytorch(shapes: tuple[tuple[int, ...], ...], kind: type, padding: str) -> None:
    options = {"padding_mode": padding, "align_corners": False}
    image, grid = operands(shapes, kind)
    wanted = torch.nn.functional.grid_sample(*map(torch.from_numpy, (image, grid)), **options)
    made = dt.nn.functional.grid_sample(*map(dt.from_numpy, (image, grid)), **options)
    eps = np.finfo(kind).eps * max(shapes[0][2:])
    np.testing.assert_allclose(made.numpy(), wanted.numpy(), rtol=0, atol=16 * eps)


def test_what_is_not_finite_as_where_a_gradient_is_recorded() -> None:
    """There the kernel is not used; an element outside is not read, whatever the edge holds."""
    image, grid = operands(SHAPES[0], np.float32)
    rng = np.random.default_rng(1)
    image[rng.random(image.shape) < 0.05] = np.inf
    image[:, 3, 0] = np.nan
    grid[rng.random(grid.shape) < 0.01] = np.nan
    grid[rng.random(grid.shape) < 0.01] = np.inf
    grid[rng.random(grid.shape) < 0.01] = -1e30
    made = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        for records in (False, True):
            x = dt.from_numpy(image).requires_grad_(records)
            y = dt.nn.functional.grid_sample(x, dt.from_numpy(grid), align_corners=True)
            made.append(y.detach().numpy())
    np.testing.assert_array_equal(*made)
