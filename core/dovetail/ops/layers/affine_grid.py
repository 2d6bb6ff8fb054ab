"""The grid of an affine map, and its gradient.

Shapes: theta (N, n, n + 1), grid (N, *size, n) of x (the last of size) first. Arguments are
checked in ``nn.functional.sampling``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dovetail
import dovetail.dtypes as d
from dovetail import ops
from dovetail.ops.families import composite, draw
from dovetail.ops.schema import Inferred, Sample, Tolerance

__all__: list[str] = []

Sizes = tuple[int, ...]


def _line(size: int, align: bool, like: Any) -> Any:
    """``size`` places from -1 to 1: centres of the corner elements, or all centres."""
    if size <= 1:
        return like.new_zeros((1,))
    line = dovetail.linspace(-1, 1, size, dtype=like.dtype, device=like.device)
    return line if align else line * (size - 1) / size


def _base(size: Sizes, align: bool, like: Any) -> Any:
    """(prod(size), n + 1): the places of every element, and 1."""
    n, columns = len(size), []
    for i in reversed(range(n)):
        line = _line(size[i], align, like).reshape(-1, *[1] * (n - 1 - i))
        columns.append(line.expand(size))
    columns.append(like.new_ones(size))
    return ops.stack(columns, -1).reshape(-1, n + 1)


def _base_reference(size: Sizes, align: bool) -> Any:
    lines = []
    for n in size:
        centres = (2 * np.arange(n) + 1) / n - 1
        lines.append(np.linspace(-1, 1, n) if align and n > 1 else centres * (n > 1))
    places = [line.reshape(-1) for line in np.meshgrid(*lines, indexing="ij")]
    return np.stack([*places[::-1], np.ones(math.prod(size))], -1)


def _reference(theta: Any, *, size: Sizes, align: bool) -> Any:
    made = np.einsum("nij,pj->npi", theta, _base_reference(size, align))
    return made.reshape(len(theta), *size, len(size))


def _reference_backward(g: Any, *, align: bool) -> Any:
    size = g.shape[1:-1]
    flat = g.reshape(len(g), math.prod(size), len(size))
    return np.einsum("npi,pj->nij", flat, _base_reference(size, align))


_SIZES: tuple[tuple[int, Sizes], ...] = ((2, (4, 5)), (1, (1, 33)), (2, (3, 2, 4)), (0, (2, 2)))


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample(
            (draw(rng, (n, len(size), len(size) + 1), dtype, -2, 2),),
            {"size": size, "align": align},
        )
        for n, size in _SIZES
        for align in (False, True)
    ]


def _samples_backward(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((draw(rng, (n, *size, len(size)), dtype, -2, 2),), {"align": align})
        for n, size in _SIZES
        for align in (False, True)
    ]


_OPTIONS: dict[str, Any] = {
    "accepts": d.FLOATING, "compute": d.float32, "method": False, "public": False,
    "tolerance": Tolerance(32, against="inputs"),
}  # fmt: skip


@composite(
    "affine_grid",
    inputs=("theta",),
    infer=lambda theta, size, align: Inferred(
        (None,), (((theta.shape[0], *size, len(size)), theta.dtype),)
    ),
    gradient={"theta": lambda g, align: ops.affine_grid_backward(g, align=align)},
    reference=_reference,
    samples=_samples,
    node_name=lambda *_, **__: "affine_grid_generator",
    **_OPTIONS,
)
def affine_grid(theta: Any, *, size: Sizes, align: bool) -> Any:
    """See :func:`dovetail.nn.functional.affine_grid`."""
    base = _base(size, align, theta)
    return base.matmul(theta.transpose(1, 2)).reshape(theta.shape[0], *size, len(size))


@composite(
    "affine_grid_backward",
    inputs=("g",),
    infer=lambda g, align: Inferred(
        (None,), (((g.shape[0], g.shape[-1], g.shape[-1] + 1), g.dtype),)
    ),
    gradient={
        "g": lambda g, specs, align: ops.affine_grid(
            g, size=tuple(specs[0].shape[1:-1]), align=align
        )
    },
    reference=_reference_backward,
    samples=_samples_backward,
    **_OPTIONS,
)
def affine_grid_backward(g: Any, *, align: bool) -> Any:
    """The gradient for theta, given that of the grid."""
    return g.flatten(1, -2).transpose(1, 2).matmul(_base(tuple(g.shape[1:-1]), align, g))
