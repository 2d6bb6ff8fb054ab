"""Vectors in linear algebra: vecdot, cross, vander, a diagonal as a view, and the trace."""

from __future__ import annotations

from typing import Any

from dovetail import dtypes as d
from dovetail.ops.expose import FUNCTIONS, publish
from dovetail.ops.families import broadcast_shapes
from dovetail.ops.linear_algebra.matrices import linalg, named, need_floating, need_same_dtype
from dovetail.ops.linear_algebra.operands import conj
from dovetail.ops.linear_algebra.products import cross as _cross_of
from dovetail.tensor import Tensor, check_dim

__all__ = ["vecdot"]


@linalg()
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Any:
    """Sums of the products of two batches of vectors, the first conjugated.

    Args:
        x, y: they broadcast.
        dim: the dim of the vectors.

    Raises:
        RuntimeError: dtypes that differ, or no floats.
    """
    need_floating("linalg.vecdot", x)
    need_same_dtype("linalg.vecdot", x, y, ("x", "y"))
    ndim = max(x._spec.ndim, y._spec.ndim)
    if x._spec.ndim == y._spec.ndim == 1:
        return FUNCTIONS["vdot"](x, y)
    dim = check_dim(dim, ndim)
    broadcast_shapes(tuple(x._spec.shape), tuple(y._spec.shape))
    a, b = conj(x), y
    if dim != ndim - 1:
        if x._spec.ndim != y._spec.ndim:
            return (a * y).sum(dim)
        a, b = a.movedim(dim, -1), y.movedim(dim, -1)
    return (a.unsqueeze(-2) @ b.unsqueeze(-1)).squeeze(-1).squeeze(-1)


@linalg("cross")
def _cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Any:
    """The vector product along a dim of size 3, the last one by default.

    Raises:
        RuntimeError: the dim has another size.
    """
    return _cross_of(input, other, dim)


@linalg("diagonal", out=False)
def _diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """A view of the diagonals of matrices.

    Args:
        offset: 0 is the main diagonal, larger is above.
        dim1, dim2: the dims of the matrices.

    Raises:
        IndexError: a dim is out of range.
    """
    return A.diagonal(offset, dim1, dim2)


@linalg("vander", out=False)
def _vander(x: Tensor, *, N: int | None = None) -> Any:
    """The matrix of the powers 0 … N - 1 of each element: (*, K) -> (*, K, N).

    Args:
        N: how many powers; the size of the last dim where None.

    Raises:
        RuntimeError: fewer than two powers.
    """
    if not x._spec.ndim or (x._spec.shape[-1] if N is None else N) <= 1:
        raise RuntimeError("N must be greater than 1.")
    return _powers(x, x._spec.shape[-1] if N is None else N)


def _powers(x: Any, count: int) -> Any:
    from dovetail import ops

    kind = x.dtype
    one = x.new_ones((*x.shape, 1), dtype=_whole(kind))
    wide = x.to(one.dtype).unsqueeze(-1).expand(*x.shape, max(count - 1, 0))
    return ops.cat([one, wide.cumprod(-1)], -1) if count else one.narrow(-1, 0, 0)


def _whole(kind: Any) -> Any:
    return d.int64 if kind.category < 2 else kind


@publish(method=False)
@named("vander")
def _top_vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Any:
    """The matrix of the powers of each element, falling from the first column: (K) -> (K, N).

    Raises:
        RuntimeError: not a vector, or N is negative.
    """
    if x._spec.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    count = x._spec.shape[0] if N is None else N
    if count < 0:
        raise RuntimeError("N must be non-negative.")
    made = _powers(x, count)
    return made if increasing else made.flip(-1)
