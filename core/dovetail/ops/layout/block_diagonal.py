"""Matrices along a diagonal: block_diag."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from dovetail import ops
from dovetail.factories import empty
from dovetail.ops.expose import publish
from dovetail.ops.families import composite, draw
from dovetail.ops.layout.broadcasting import at_least
from dovetail.ops.layout.joining import cat
from dovetail.ops.schema import Inferred, Sample
from dovetail.promotion import promote_types
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["block_diag"]

_SHAPES: tuple[tuple[tuple[int, int], ...], ...] = (
    ((2, 3), (1, 2), (3, 1)), ((4, 2),), ((2, 0), (3, 2), (0, 4)), ((1, 1),) * 10,
)  # fmt: skip


def _infer(*specs: Spec) -> Inferred:
    kind = reduce(promote_types, (spec.dtype for spec in specs))
    shape = tuple(sum(spec.shape[dim] for spec in specs) for dim in (0, 1))
    return Inferred((kind,) * len(specs), ((shape, kind),))


def _gradient(g: Any, specs: tuple[Spec, ...], needs: Any) -> tuple[Any, ...]:
    parts = []
    row = column = 0
    for spec, need in zip(specs, needs, strict=True):
        rows, columns = spec.shape
        parts.append(g.narrow(0, row, rows).narrow(1, column, columns) if need else None)
        row, column = row + rows, column + columns
    return tuple(parts)


def _reference(tensors: Sequence[np.ndarray]) -> np.ndarray:
    sizes = np.array([x.shape for x in tensors])
    made = np.zeros(sizes.sum(0), np.result_type(*tensors))
    for x, (row, column) in zip(tensors, sizes.cumsum(0), strict=True):
        made[row - x.shape[0] : row, column - x.shape[1] : column] = x
    return made


@composite(
    "block_diagonal",
    inputs=("tensors",),
    variadic=True,
    infer=_infer,
    gradient=_gradient,
    reference=_reference,
    samples=lambda rng, dtype: [
        Sample(([draw(rng, shape, dtype, -5, 5) for shape in shapes],)) for shapes in _SHAPES
    ],
    named="block_diag",
    method=False,
    public=False,
)
def block_diagonal(tensors: Sequence[Any]) -> Any:
    """Matrices one after the other along the diagonal, 0 elsewhere."""
    width = sum(x._spec.shape[1] for x in tensors)
    at, rows = 0, []
    for x in tensors:
        columns = x._spec.shape[1]
        rows.append(ops.pad(x, (at, width - at - columns)))
        at += columns
    return cat(rows, 0)


@publish(method=False)
def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices one after the other along the diagonal, 0 elsewhere; vectors count as rows.

    Raises:
        RuntimeError: more than two dims.
    """
    for i, x in enumerate(tensors):
        if x._spec.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has "
                f"{x._spec.ndim} dimensions"
            )
    if not tensors:
        return empty((1, 0))
    made: Tensor = ops.block_diagonal([x if x._spec.ndim == 2 else at_least(x, 2) for x in tensors])
    return made
