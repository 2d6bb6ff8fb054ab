"""``grid_sample`` as products with dense matrices, in float64: what its kernels are held against.

Along each dim a matrix (N, P, size) says what each element counts for at each place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["reference", "reference_grid", "reference_input"]


def _inside(at: Any, size: int, padding: str, align: bool) -> tuple[Any, Any]:
    """(places brought inside, the derivative of that)."""
    if padding == "zeros":
        return at, np.ones_like(at)
    turn = np.ones_like(at)
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
        period = 2 * (high - low)
        phase = np.mod(at - low, period) if period else at * 0
        turn = np.where(phase <= high - low, 1.0, -1.0)
        at = low + np.minimum(phase, period - phase)
    turn = turn * ((at > 0) & (at < size - 1))
    return np.clip(at, 0, size - 1), turn


def _cubic(x: Any) -> tuple[Any, Any]:
    """(Keys' kernel with a = -0.75 of distances, its derivative by the place)."""
    a, sign, x = -0.75, np.sign(x), np.abs(x)
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
    near_slope, far_slope = 3 * (a + 2) * x**2 - 2 * (a + 3) * x, a * (3 * x**2 - 10 * x + 8)
    value = np.where(x <= 1, near, np.where(x < 2, far, 0))
    slope = np.where(x <= 1, near_slope, np.where(x < 2, far_slope, 0))
    return value, sign * slope


def _matrices(x: Any, size: int, mode: str, padding: str, align: bool) -> tuple[Any, Any]:
    """The matrix of coordinates (N, P), and its derivative by them."""
    at = (x + 1) / 2 * (size - 1) if align else ((x + 1) * size - 1) / 2
    scale = (size - 1) / 2 if align else size / 2
    elements = np.arange(size)
    if mode == "bicubic":
        value = np.zeros((*x.shape, size))
        slope = np.zeros((*x.shape, size))
        for step in range(-1, 3):
            tap = np.floor(at) + step
            weight, change = _cubic(at - tap)
            whole = np.rint(_inside(tap, size, padding, align)[0])
            hits = whole[..., None] == elements
            value += hits * weight[..., None]
            slope += hits * change[..., None] * scale
        return value, slope
    at, turn = _inside(at, size, padding, align)
    if mode == "nearest":
        value = (np.rint(at)[..., None] == elements).astype(float)
        return value, np.zeros_like(value)
    away = at[..., None] - elements
    value = np.maximum(0, 1 - np.abs(away))
    rises = ((away < 0) & (away > -1)).astype(float) - ((away >= 0) & (away < 1))
    return value, rises * (turn * scale)[..., None]


def _all(grid: Any, sizes: Any, options: Any) -> list[tuple[Any, Any]]:
    flat = grid.reshape(len(grid), int(np.prod(grid.shape[1:-1])), grid.shape[-1])
    names = ("mode", "padding", "align")
    return [
        _matrices(flat[..., -1 - i], n, *(options[name] for name in names))
        for i, n in enumerate(sizes)
    ]


def _taken(image: Any, matrices: list[Any]) -> Any:
    """(N, C, P)."""
    axes = "zyx"[-len(matrices) :]
    rows = ",".join(f"np{axis}" for axis in axes)
    return np.einsum(f"nc{axes},{rows}->ncp", image, *matrices)


def reference(image: Any, grid: Any, **options: Any) -> Any:
    """(N, C, *P)."""
    made = _taken(image, [value for value, _ in _all(grid, image.shape[2:], options)])
    return made.reshape(*image.shape[:2], *grid.shape[1:-1])


def reference_input(g: Any, grid: Any, *, size: Any, **options: Any) -> Any:
    """(N, C, *S)."""
    axes = "zyx"[-len(size) :]
    rows = ",".join(f"np{axis}" for axis in axes)
    matrices = [value for value, _ in _all(grid, size, options)]
    flat = g.reshape(*g.shape[:2], int(np.prod(g.shape[2:])))
    return np.einsum(f"ncp,{rows}->nc{axes}", flat, *matrices)


def reference_grid(g: Any, image: Any, grid: Any, **options: Any) -> Any:
    """As the grid."""
    pairs = _all(grid, image.shape[2:], options)
    flat = g.reshape(*g.shape[:2], int(np.prod(g.shape[2:])))
    found = []
    for i in range(len(pairs)):
        chosen = [slope if i == k else value for k, (value, slope) in enumerate(pairs)]
        found.append((flat * _taken(image, chosen)).sum(1))
    return np.stack(found[::-1], -1).reshape(grid.shape)
