"""Indices by value that an operator takes as they are: tensors of int64 on a device of their own.

Nothing is looked at there and nothing brought together before the operator is called. What an
expression of such indices came to is kept by the spec of what is indexed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import raw
from dovetail.autograd.grad_mode import mode
from dovetail.backend.state import state_of
from dovetail.dispatch import NUMBERS
from dovetail.fitting import fits
from dovetail.indexing_parse import BOUNDS, Advanced
from dovetail.ops.direct import in_place
from dovetail.ops.indexed.counted import ROWS_COUNTED, counted, is_served
from dovetail.ops.indexed.index import nonzero
from dovetail.ops.indexed.indexing import INDEX_PUT_WRAPPED, INDEX_WRAPPED
from dovetail.ops.indexed.several import INDEX_SEVERAL, INDEX_SEVERAL_PUT, MOST, selected_shape
from dovetail.ops.indexed.under_mask import PUT_UNDER_MASK
from dovetail.ops.schema import OpDef
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = [
    "Taken",
    "key_and_tensors",
    "put_under",
    "records",
    "rows_under",
    "selected_under",
    "taken",
    "write_at",
    "write_rows",
    "writes",
]


def key_and_tensors(index: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[Tensor]] | None:
    """A hashable form of an expression with tensors, by their specs, and these; None for others."""
    key: list[Any] = ["[]"]
    tensors = []
    for item in index:
        kind = item.__class__
        if kind is Tensor:
            tensors.append(item)
            item = item._spec
        elif kind is slice:
            item = (item.start, item.stop, item.step)
            for bound in item:
                if bound.__class__ not in BOUNDS:
                    return None
        elif kind is not int and item is not None and item is not Ellipsis:
            return None
        key.append(item)
    return (tuple(key), tensors) if tensors else None


Taken = tuple[OpDef, tuple[Any, ...], tuple[Any, ...]]
"""An operator, what it takes after the indices, and its attributes."""


def taken(spec: Spec, advanced: list[Advanced]) -> Taken | None:
    """What reads by these indices as they are; None where there is no such operator."""
    if not spec.numel or spec.batch is not None or len(advanced) > MOST:
        return None
    for _, value, _ in advanced:
        if value.__class__ is not Tensor:
            return None
        where = value._spec
        if where.dtype is not d.int64 or where.device is not spec.device or where.batch is not None:
            return None
    state = state_of(spec.device)
    if state.host_arrays:
        return None
    if len(advanced) == 1:
        return INDEX_WRAPPED, (), (advanced[0].position, advanced[0].dim)
    if not state.table.entries(INDEX_SEVERAL.name) or _wide(advanced) is None:
        return None
    rest = (None,) * (MOST - len(advanced))
    positions, dims = (tuple([getattr(a, name) for a in advanced]) for name in ("position", "dim"))
    return INDEX_SEVERAL, rest, (positions, dims)


def _wide(advanced: list[Advanced]) -> tuple[int, ...] | None:
    """The shape that all broadcast to, if they do."""
    try:
        return np.broadcast_shapes(*(tuple(a.value._spec.shape) for a in advanced))
    except ValueError:
        return None


# ------------------------------------------------------------------ writing

_put_rows = in_place(INDEX_PUT_WRAPPED, label="index_put_")
_put_under = in_place(PUT_UNDER_MASK, label="index_put_")
_scatter_under = in_place(PUT_UNDER_MASK, label="masked_scatter_")
_put_several = in_place(INDEX_SEVERAL_PUT, label="index_put_")


def _covers(mask: Tensor, tensor: Tensor) -> bool:
    """Whether a mask is of a tensor's first dims."""
    where, spec = mask._spec, tensor._spec
    return bool(where.ndim) and where.shape == spec.shape[: where.ndim]


def selected_under(tensor: Tensor, mask: Tensor) -> Tensor | None:
    """``tensor[mask]`` by a kernel that counts; it waits for the count. None where there is none,
    where the mask does not fit, or a gradient is recorded."""
    if not _covers(mask, tensor) or records(tensor):
        return None
    return counted(ROWS_COUNTED, (tensor, mask))


def put_under(tensor: Tensor, mask: Tensor, rows: Tensor, *, is_exact: bool) -> bool:
    """Write rows where a mask is set, by a kernel that finds itself whether there are enough; False
    where there is none, or the mask does not fit. Nothing is recorded."""
    spec = tensor._spec
    if not _covers(mask, tensor) or not spec.is_contiguous:
        return False
    if not is_served(PUT_UNDER_MASK, (tensor, mask, rows), (is_exact,)):
        return False
    (_put_under if is_exact else _scatter_under)(tensor, mask, rows, is_exact)
    return True


def rows_under(tensor: Tensor, mask: Tensor) -> tuple[Tensor, Tensor] | None:
    """(The tensor, with the dims of a mask as one, and where the mask is set along that): reads and
    writes go by these as by a vector of rows. It waits for the count.

    None where the mask does not fit, is on another device, or on one that is not waited for, and
    where the dims cannot be seen as one, or a gradient is recorded.
    """
    spec, where = tensor._spec, mask._spec
    many = where.ndim
    if not many or where.device is not spec.device or where.shape != spec.shape[:many]:
        return None
    if not spec.numel or spec.batch is not None or where.batch is not None:
        return None
    if state_of(spec.device).host_arrays or (many > 1 and not spec.is_contiguous):
        return None
    if many > 1:
        if records(tensor):
            return None
        key = "rows under a mask", many
        flat = spec.memo.get(key)
        if flat is None:
            shape = (math.prod(where.shape), *spec.shape[many:])
            flat = spec.memo[key] = spec_of(shape, spec.dtype, spec.device)
        inference = tensor._inference
        tensor = raw.view(tensor, flat, 0)
        tensor._inference = inference
        mask = mask.reshape(-1)
    places = nonzero(mask)
    vector = spec_of((places._spec.shape[0],), d.int64, spec.device)
    return tensor, raw.view(places, vector, 0)


def records(*tensors: Any) -> bool:
    """Whether a gradient is recorded for one of them."""
    return mode.grad and any(isinstance(t, Tensor) and t._node is not None for t in tensors)


def write_rows(tensor: Tensor, index: Tensor, value: Any, accumulate: bool = False) -> bool:
    """``tensor[index] = value`` (or added to what is there) by a vector of rows.

    Where nothing is wrong or recorded, and on a device that is not waited for.
    """
    spec, where, kind = tensor._spec, index._spec, value.__class__
    if where.ndim != 1 or where.device is not spec.device or not spec.ndim or not spec.numel:
        return False
    if state_of(spec.device).host_arrays:
        return False
    if kind is Tensor:
        given = value._spec
        if given.dtype is not spec.dtype or given.device is not spec.device:
            return False
        if given.ndim and given.shape != (where.numel, *spec.shape[1:]):
            return False
    elif kind not in NUMBERS or kind is complex or not fits(value, spec.dtype):
        return False
    if records(tensor, value) or spec.batch is not None or where.batch is not None:
        return False
    _put_rows(tensor, index, value, 0, 0, accumulate)
    return True


def writes(spec: Spec, advanced: list[Advanced], given: Any) -> Taken | None:
    """What writes ``given`` (a spec, or a number's type) by these indices as they are."""
    found = taken(spec, advanced)
    if found is None or (len(advanced) == 1 and advanced[0].value._spec.ndim != 1):
        return None
    if isinstance(given, Spec):
        if given.dtype is not spec.dtype or given.device is not spec.device:
            return None
        wide, positions = _wide(advanced), [a.position for a in advanced]
        assert wide is not None
        shape = selected_shape(spec.shape, wide, positions)
        if given.batch is not None or not _broadcasts(given.shape, shape):
            return None
    return found


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    behind = to[len(to) - len(shape) :] if len(shape) <= len(to) else ()
    return len(behind) == len(shape) and all(
        n in (1, m) for n, m in zip(shape, behind, strict=True)
    )


def write_at(
    view: Tensor, tensors: list[Tensor], value: Any, how: Taken, *, accumulate: bool
) -> None:
    """Write what :func:`writes` has said may be written so."""
    op, rest, attributes = how
    if op is INDEX_WRAPPED:
        _put_rows(view, tensors[0], value, *attributes, accumulate)
    else:
        _put_several(view, value, *tensors, *rest, *attributes, accumulate)
