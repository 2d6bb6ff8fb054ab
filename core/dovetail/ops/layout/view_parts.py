"""Views of a part: select, narrow, slices and diagonals, and the row of an index."""

from __future__ import annotations

from typing import Any

from dovetail import observe
from dovetail.autograd.grad_mode import mode
from dovetail.ops.layout.views import _linked, apply_view, view_operator, view_record
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, check_dim

__all__ = ["diagonal", "narrow", "row", "select"]


def _select_prepare(spec: Spec, dim: int, index: int) -> tuple[Any, ...]:
    if not spec.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = check_dim(dim, spec.ndim)
    n = spec.shape[dim]
    index = index.__index__()
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {n}")
    return dim, index % n


@view_operator("select", prepare=_select_prepare)
def select(spec: Spec, dim: int, index: int) -> Any:
    """One index of one dim, without that dim."""
    return (
        spec.shape[:dim] + spec.shape[dim + 1 :],
        spec.strides[:dim] + spec.strides[dim + 1 :],
        index * spec.strides[dim],
    )


def _narrow_prepare(spec: Spec, dim: int, start: Any, length: int) -> tuple[Any, ...]:
    if not spec.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = check_dim(dim, spec.ndim)
    n = spec.shape[dim]
    start = whole_number("narrow", "start", start)
    if not -n <= start <= n:
        raise IndexError(
            f"start out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    start = start + n if start < 0 else start
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return dim, start, length


@view_operator("narrow", prepare=_narrow_prepare)
def narrow(spec: Spec, dim: int, start: int, length: int) -> Any:
    """``length`` indices of one dim from ``start`` on."""
    shape = (*spec.shape[:dim], length, *spec.shape[dim + 1 :])
    return shape, spec.strides, (start if length else 0) * spec.strides[dim]


def _slice_prepare(
    spec: Spec, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> tuple[Any, ...]:
    dim = check_dim(dim, spec.ndim)
    if step <= 0:
        raise ValueError("step must be greater than zero")
    first, last, _ = slice(start, end, step).indices(spec.shape[dim])
    return dim, first, max(0, -(-(last - first) // step)), step


@view_operator("slice", prepare=_slice_prepare, public=False)
def _slice(spec: Spec, dim: int, start: int, length: int, step: int) -> Any:
    shape = (*spec.shape[:dim], length, *spec.shape[dim + 1 :])
    strides = (*spec.strides[:dim], spec.strides[dim] * step, *spec.strides[dim + 1 :])
    return shape, strides, (start if length else 0) * spec.strides[dim]


def _diagonal_prepare(spec: Spec, offset: int = 0, dim1: int = 0, dim2: int = 1) -> tuple[Any, ...]:
    one, two = check_dim(dim1, spec.ndim), check_dim(dim2, spec.ndim)
    if one == two:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return whole_number("diagonal", "offset", offset), one, two


@view_operator("diagonal", prepare=_diagonal_prepare)
def diagonal(spec: Spec, offset: int, dim1: int, dim2: int) -> Any:
    """The diagonal of dims dim1 and dim2, as a new last dim."""
    rows, columns = spec.shape[dim1], spec.shape[dim2]
    length = min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns)
    length = max(length, 0)
    start = offset * spec.strides[dim2] if offset >= 0 else -offset * spec.strides[dim1]
    keep = [i for i in range(spec.ndim) if i not in (dim1, dim2)]
    return (
        (*[spec.shape[i] for i in keep], length),
        (*[spec.strides[i] for i in keep], spec.strides[dim1] + spec.strides[dim2]),
        start if length else 0,
    )


def row(x: Tensor, index: int) -> Tensor:
    """``x[index]`` for a Python int: as ``select`` on dim 0, without a plan per index.

    Raises:
        IndexError: out of range, or a 0-d tensor.
    """
    spec = x._spec
    if not spec.ndim:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
            "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
        )
    if (x._node is not None and mode.grad) or observe.active:
        return apply_view(view_record("select"), x, _select_prepare(spec, 0, index))
    facts = spec.memo.get("row")
    if facts is None:
        if spec.batch is not None or spec.dtype.category < 0:
            return apply_view(view_record("select"), x, _select_prepare(spec, 0, index))
        shape, strides, _ = view_record("select").rule(  # type: ignore[attr-defined]
            spec, *_select_prepare(spec, 0, index)
        )
        made = spec_of(tuple(shape), spec.dtype, spec.device, tuple(strides))
        facts = spec.memo["row"] = (made, spec.strides[0], spec.shape[0])
    made, step, n = facts
    if index < 0:
        if index < -n:
            _select_prepare(spec, 0, index)
        index += n
    elif index >= n:
        _select_prepare(spec, 0, index)
    return _linked(x, made, index * step)
