"""Choosing by truth or by place: where, argwhere, masked_select, masked_scatter, take_along_dim."""

from __future__ import annotations

import functools
from typing import Any

import dovetail.dtypes as d
from dovetail import observe, raw
from dovetail.autograd.grad_mode import mode
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import FUNCTIONS, publish
from dovetail.ops.families import broadcast_shapes
from dovetail.ops.indexed.counted import is_served
from dovetail.ops.indexed.index import GATHER, SCATTER, nonzero
from dovetail.ops.indexed.index_checks import checked_dim, need_tensor
from dovetail.ops.indexed.rows import INDEX_SELECT
from dovetail.ops.indexed.under_mask import PUT_UNDER_MASK
from dovetail.ops.schema import REGISTRY
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, check_dim

__all__ = ["argwhere", "masked_scatter", "masked_select", "take_along_dim", "where"]


@publish()
def argwhere(input: Tensor) -> Tensor:
    """The places of elements that are not zero: (count, ndim)."""
    return nonzero(input)


_choose = FUNCTIONS["where"]


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """``input`` where ``condition`` holds, else ``other``; all three broadcast.

    With the condition alone: as ``nonzero(condition, as_tuple=True)``.

    Raises:
        RuntimeError: the condition is not bool, or shapes that do not broadcast.
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        kinds = ", ".join(type(x).__name__ for x in (condition, input, other) if x is not None)
        raise TypeError(
            f"where() received an invalid combination of arguments - got ({kinds}), but expected "
            "(condition) or (condition, input, other)"
        )
    return _choose(condition, input, other, out=out)


FUNCTIONS["where"] = where
REGISTRY["where"].function = where


def _where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """The tensor where ``condition`` holds, else ``other``; all three broadcast.

    Raises:
        TypeError: the condition is no tensor.
    """
    need_tensor("where", "condition", 1, condition)
    result: Tensor = where(condition, self, other)
    return result


Tensor.where = _where  # type: ignore[attr-defined]


@publish(out=True)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where ``mask`` holds, in one dim; both broadcast.

    Raises:
        RuntimeError: the mask is not bool, or shapes that do not broadcast.
    """
    need_tensor("masked_select", "mask", 2, mask)
    if mask._spec.dtype is not d.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(tuple(mask._spec.shape), tuple(input._spec.shape))
    if mask._spec.shape == input._spec.shape:
        from dovetail.indexing_direct import rows_under, selected_under

        found = selected_under(input, mask)
        if found is not None:
            return found
        rows = rows_under(input, mask)
        if rows is not None:
            return call(INDEX_SELECT, rows, (0,))
    chosen = nonzero(mask.expand(shape).reshape(-1)).reshape(-1)
    flat = input.expand(shape).reshape(-1)
    return call(INDEX_SELECT, (flat, chosen), (0,))


@publish(inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """``input`` with the elements of ``source``, in order, where ``mask`` holds.

    Raises:
        RuntimeError: the mask is not bool, too few elements, or another dtype.
    """
    need_tensor("masked_scatter", "mask", 2, mask)
    need_tensor("masked_scatter", "source", 3, source)
    if mask._spec.dtype is not d.bool_:
        raise RuntimeError(
            "masked_scatter_ only supports boolean masks, but got mask with dtype "
            f"{type_name(mask._spec.dtype)}"
        )
    if input._spec.dtype is not source._spec.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f"{type_name(input._spec.dtype)} and {type_name(source._spec.dtype)}"
        )
    shape = tuple(input._spec.shape)
    wide = input, mask, _flat(source)
    if mask._spec.shape != shape:
        shape = broadcast_shapes(tuple(mask._spec.shape), shape)
        wide = input.expand(shape), mask.expand(shape), wide[2]
    if is_served(PUT_UNDER_MASK, wide, (False,)):
        return call(PUT_UNDER_MASK, wide, (False,))
    chosen = nonzero(mask.expand(shape).reshape(-1)).reshape(-1)
    count = chosen._spec.numel
    if source._spec.numel < count:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    values = source.reshape(-1).narrow(0, 0, count)
    flat = input.expand(shape).reshape(-1)
    made = call(SCATTER, (flat, chosen, values), (0,))
    return made.reshape(shape)


_scattered = Tensor.masked_scatter_  # type: ignore[attr-defined]


@functools.wraps(_scattered)
def _masked_scatter_(self: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    from dovetail.indexing_direct import put_under, records

    is_plain = mask.__class__ is Tensor and source.__class__ is Tensor and not observe.active
    if (
        is_plain
        and mask._spec.dtype is d.bool_
        and source._spec.dtype is self._spec.dtype
        and mask._spec.shape == self._spec.shape
        and not records(self, source)
        and put_under(self, mask, _flat(source), is_exact=False)
    ):
        return self
    made: Tensor = _scattered(self, mask, source)
    return made


Tensor.masked_scatter_ = FUNCTIONS["masked_scatter_"] = _masked_scatter_  # type: ignore[attr-defined]


_ALONG_DIM = GATHER.part_of("take_along_dim")


def _gathered(input: Tensor, dim: int, indices: Tensor) -> Tensor:
    where = checked_dim("take_along_dim", input, dim, indices)
    return call(_ALONG_DIM, (input, indices), (where,))  # type: ignore[no-any-return]


@publish(out=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As ``gather``, with ``input`` and ``indices`` broadcast but along ``dim``.

    Without ``dim`` both are flattened.

    Raises:
        RuntimeError: dims that differ in number, an index out of bounds or of another dtype.
    """
    need_tensor("take_along_dim", "indices", 2, indices)
    if dim is None:
        return _gathered(_flat(input), 0, _flat(indices))
    one, two = input._spec, indices._spec
    if one.ndim != two.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {one.ndim} dimensions for input, and {two.ndim} dimensions for indices"
        )
    dim = check_dim(dim, one.ndim)
    if one.shape[:dim] == two.shape[:dim] and one.shape[dim + 1 :] == two.shape[dim + 1 :]:
        return _gathered(input, dim, indices)
    key = "take_along_dim", two, dim
    wide = one.memo.get(key)
    if wide is None:
        before = broadcast_shapes(tuple(one.shape[:dim]), tuple(two.shape[:dim]))
        after = broadcast_shapes(tuple(one.shape[dim + 1 :]), tuple(two.shape[dim + 1 :]))
        shapes = [(*before, x.shape[dim], *after) for x in (one, two)]
        wide = one.memo[key] = tuple(map(raw.expanded, (one, two), shapes))
    return _gathered(_expanded(input, wide[0]), dim, _expanded(indices, wide[1]))


def _is_plain(x: Tensor) -> bool:
    """Nobody sees by which views it is looked at."""
    return not (observe.active or x._spec.batch is not None or (mode.grad and x._node is not None))


def _flat(x: Tensor) -> Tensor:
    spec = x._spec
    if not (spec.is_contiguous and _is_plain(x)):
        return x.reshape(-1)
    return raw.view(x, spec_of((spec.numel,), spec.dtype, spec.device), 0)


def _expanded(x: Tensor, wide: Spec) -> Tensor:
    if wide is x._spec:
        return x
    return raw.view(x, wide, 0) if _is_plain(x) else x.expand(wide.shape)
