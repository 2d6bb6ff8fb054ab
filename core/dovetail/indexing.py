"""Tensor indexing, reading and writing: ``x[index]`` and ``x[index] = value``.

An index expression is one view (see ``indexing_parse``) and, where it selects by value, one call
of the operator ``index`` or ``index_put`` on that view (``indexing_combine`` makes their index).
Meanings and messages follow PyTorch's ``Tensor.__getitem__``, ``index`` and ``index_put_``.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from dovetail import dtypes as d
from dovetail import observe, raw
from dovetail.autograd.graph import BackwardInfo
from dovetail.dispatch import NUMBERS, call
from dovetail.dtypes import type_name
from dovetail.fitting import check_fits, fits
from dovetail.indexing_combine import check_kinds, from_array, together
from dovetail.indexing_direct import (
    key_and_tensors,
    put_under,
    records,
    rows_under,
    selected_under,
    taken,
    write_at,
    write_rows,
    writes,
)
from dovetail.indexing_parse import Advanced, Parsed, expression, is_mask, parse, plain_key
from dovetail.late_binding import BATCHED, QUANTIZED
from dovetail.ops.direct import write
from dovetail.ops.expose import FUNCTIONS, inplace_method
from dovetail.ops.indexed.indexing import (
    INDEX_PUT,
    INDEX_WRAPPED,
    index,
    index_put,
)
from dovetail.ops.indexed.wrapping import WRAPPED_INDEX
from dovetail.ops.layout.convert import writable_copy
from dovetail.ops.layout.views import _ViewPlan, view_backward
from dovetail.ops.schema import Inferred, OpDef
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = ["getitem", "index_put_", "setitem"]

# ----------------------------------------------------------------- the view


def _view_rule(spec: Spec, key: tuple[Any, ...]) -> Any:
    return parse(tuple(spec.shape), spec.strides, expression(key), Tensor)[:3]


INDEX_VIEW = OpDef(
    "index_view",
    kind="view",
    attributes=("key",),
    infer=lambda spec, key: Inferred((None,), ()),
    method=False,
    public=False,
)
"""Ints, slices, ``None`` and ``...`` together: one view, one node."""
INDEX_VIEW.rule = _view_rule  # type: ignore[attr-defined]

_MEMO_LIMIT = 4096


def _view_plan(spec: Spec, key: tuple[Any, ...], parsed: Parsed) -> _ViewPlan:
    """What an index expression without indices by value does to ``spec``; kept by the spec."""
    if spec.batch is not None:
        plain = _view_plan(spec.batch.logical, key, parsed)
        plan = spec.memo[key] = BATCHED.view_plan(
            spec, plain, lambda x: BATCHED.view_of(x, INDEX_VIEW.name, (key,))
        )
        return plan
    if spec.dtype.category < 0:
        index_ints = lambda ints: _apply(_view_plan(ints._spec, key, parsed), ints)
        plan = spec.memo[key] = QUANTIZED.view_plan("getitem", index_ints)
        return plan
    out = spec_of(parsed.shape, spec.dtype, spec.device, parsed.strides)
    shape = tuple(spec.shape)
    gradient = lambda g: view_backward(g, INDEX_VIEW, (key,), shape)
    # The node bears the name of the last step, as the last node of PyTorch's chain does.
    whole = "slice" if len(key) == 2 and key[1].__class__ is tuple else "alias"
    name = parsed.steps[-1] if parsed.steps else whole
    info = BackwardInfo(name, ((gradient, (0,)),), (), (spec,), None, (out,))
    plan = _ViewPlan(out, parsed.offset, info)
    if len(spec.memo) > _MEMO_LIMIT:
        spec.memo.clear()
    spec.memo[key] = plan
    return plan


def _plan_for(x: Tensor, index: Any) -> tuple[_ViewPlan | None, list[Advanced]]:
    """The view of ``index`` (None where it is ``x`` itself) and its indices by value."""
    spec = x._spec
    key = plain_key(index)
    if key is not None:
        plan = spec.memo.get(key)
        if plan is None:
            parsed = parse(tuple(spec.shape), spec.strides, index, Tensor)
            plan = _view_plan(spec, key, parsed)
        return plan, []
    if index.__class__ is Tensor and 0 < index._spec.ndim <= spec.ndim:
        return None, [Advanced(0, index, 0)]
    parsed = parse(tuple(spec.shape), spec.strides, index, Tensor)
    if parsed.advanced and not parsed.steps:
        return None, parsed.advanced
    plan = spec.memo.get(parsed.key) or _view_plan(spec, parsed.key, parsed)
    return plan, parsed.advanced


def _apply(plan: _ViewPlan, x: Tensor) -> Tensor:
    if observe.active:
        made: Tensor = observe.run(INDEX_VIEW, plan, (x,))
        return made
    return plan(x)


# ------------------------------------------------------------------ reading


def getitem(tensor: Tensor, index: Any) -> Tensor:
    """``tensor[index]``: a view for ints, slices, ``None`` and ``...``; otherwise a copy.

    Raises:
        IndexError: too many indices, out of bounds, or something that is no index.
        ValueError: a slice whose step is not positive.
    """
    key = plain_key(index)
    if key is not None and not observe.active:
        plan = tensor._spec.memo.get(key)
        if plan is not None:
            return plan(tensor)  # type: ignore[no-any-return]
    elif index.__class__ is Tensor and not observe.active:
        run = _wrapped(tensor._spec, index._spec)
        if run is not None:
            return run(tensor, index)  # type: ignore[no-any-return]
        if index._spec.dtype is d.bool_:
            found = selected_under(tensor, index)
            if found is not None:
                return found
            rows = rows_under(tensor, index)
            if rows is not None:
                return call(INDEX_WRAPPED, rows, (0, 0))  # type: ignore[no-any-return]
    elif index.__class__ is tuple and not observe.active:
        found = key_and_tensors(index)
        if found is not None:
            return _read_by(tensor, index, *found)
    plan, advanced = _plan_for(tensor, index)
    view = tensor if plan is None else _apply(plan, tensor)
    return _read(view, advanced) if advanced else view


def _read_by(
    tensor: Tensor, index: tuple[Any, ...], key: tuple[Any, ...], tensors: list[Tensor]
) -> Tensor:
    """``tensor[index]`` of an expression with these tensors."""
    known = tensor._spec.memo.get(key)
    if known is not None:
        plan, run, rest = known
        view = tensor if plan is None else plan(tensor)
        return run(view, *tensors, *rest)  # type: ignore[no-any-return]
    plan, advanced = _plan_for(tensor, index)
    view = tensor if plan is None else plan(tensor)
    if not advanced:
        return view
    made = _read(view, advanced)
    found = taken(view._spec, advanced) if len(advanced) == len(tensors) else None
    if found is not None:
        op, rest, attributes = found
        specs = (view._spec, *[x._spec for x in tensors], *rest)
        _remember(tensor._spec, key, (plan, op.plans.get((*specs, attributes)), rest))
    return made


def _remember(spec: Spec, key: tuple[Any, ...], what: Any) -> None:
    if len(spec.memo) > _MEMO_LIMIT:
        spec.memo.clear()
    spec.memo[key] = what


def _wrapped(spec: Spec, where: Spec) -> Any:
    """The plan of a tensor's first dim read by an index on its device, where there is one."""
    return INDEX_WRAPPED.plans.get((spec, where, (0, 0)))


def _read(view: Tensor, advanced: list[Advanced]) -> Tensor:
    found = taken(view._spec, advanced)
    if found is not None:
        op, rest, attributes = found
        inputs = (view, *[entry.value for entry in advanced], *rest)
        return call(op, inputs, attributes)  # type: ignore[no-any-return]
    view, flat, dim, count = together(view, advanced)
    result: Tensor = index(view, flat, dim, count)
    return result


# ------------------------------------------------------------------ writing


def _as_value(value: Any, kind: d.dtype) -> Any:
    """The value of an assignment: a Tensor, or a number that fits ``kind``.

    Raises:
        TypeError: neither a tensor nor a number.
        RuntimeError: the number does not fit.
    """
    if isinstance(value, Tensor):
        return value
    if value.__class__ not in NUMBERS:
        value = _plain_number(value, kind)
    check_fits(value, kind)
    return value


def _plain_number(value: Any, kind: d.dtype) -> Any:
    bases: tuple[Any, ...] = (int, float, complex)
    for base in bases:
        if isinstance(value, base):
            return base(value)
    if hasattr(value, "__index__") and not isinstance(value, (np.ndarray, np.bool_)):
        return value.__index__()
    name = type(value).__name__
    if type(value).__module__ == "numpy":
        name = f"numpy.{name}"
    raise TypeError(f"can't assign a {name} to a torch.{type_name(kind)}Tensor")


def _without_leading_ones(value: Tensor) -> Tensor:
    shape = tuple(value._spec.shape)
    lead = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    return value.reshape(shape[lead:]) if lead else value


def setitem(tensor: Tensor, index: Any, value: Any) -> None:
    """``tensor[index] = value``: written through a view, or with ``index_put_``.

    Raises:
        IndexError, ValueError: as :func:`getitem`.
        TypeError: the value is neither a tensor nor a number.
        RuntimeError: it does not fit or broadcast, or the tensor may not be written to.
    """
    if index.__class__ is Tensor:
        kind = index._spec.dtype
        if kind is d.bool_:
            if _filled(tensor, index, value) or _written_under(tensor, index, value):
                return
        elif (
            kind is d.int64
            and tensor._array.__class__ is not np.ndarray
            and write_rows(tensor, index, value)
        ):
            return
    elif (
        index.__class__ is tuple
        and tensor._array.__class__ is not np.ndarray
        and _written_by(tensor, index, value)
    ):
        return
    value = _as_value(value, tensor._spec.dtype)
    if index is False:
        return
    plan, advanced = _plan_for(tensor, None if index is True else index)
    view = tensor
    if plan is not None:
        if observe.active or records(tensor, value):
            view = _apply(plan, tensor)
        else:
            view = raw.view(tensor, plan.spec, plan.offset)
            view._inference = tensor._inference
    if advanced:
        _put(view, advanced, value, False)
    elif not isinstance(value, Tensor):
        view.fill_(_real(value, view._spec.dtype))
    else:
        if value._spec.shape != view._spec.shape:
            value = _without_leading_ones(value).expand(view._spec.shape)
        view.copy_(value)


def _filled(tensor: Tensor, mask: Tensor, value: Any) -> bool:
    """``tensor[mask] = value`` of one value that fits, where nothing is wrong."""
    spec, where = tensor._spec, mask._spec
    many, kind = where.ndim, value.__class__
    if not many or where.device is not spec.device or where.shape != spec.shape[:many]:
        return False
    if kind is Tensor:
        if value._spec.ndim or value._spec.device is not spec.device:
            return False
    elif kind not in NUMBERS or kind is complex or not fits(value, spec.dtype):
        return False
    if many < spec.ndim:
        if where.batch is not None or spec.batch is not None or mask._node is not None:
            return False
        key = "with dims of 1 behind", spec.ndim
        wide = where.memo.get(key)
        if wide is None:
            ones = (1,) * (spec.ndim - many)
            shape, strides = (*where.shape, *ones), (*where.strides, *ones)
            wide = where.memo[key] = spec_of(shape, d.bool_, where.device, strides)
        mask = raw.view(mask, wide, 0)
    tensor.masked_fill_(mask, value)
    return True


def _written_under(tensor: Tensor, mask: Tensor, value: Any) -> bool:
    """``tensor[mask] = value`` of as many rows as are set, where nothing is wrong or recorded."""
    if not isinstance(value, Tensor) or observe.active or records(tensor, value):
        return False
    spec, given, many = tensor._spec, value._spec, mask._spec.ndim
    if given.dtype is not spec.dtype or given.shape[1:] != spec.shape[many:] or not given.ndim:
        return False
    if put_under(tensor, mask, value, is_exact=True):
        return True
    rows = rows_under(tensor, mask)
    return rows is not None and write_rows(*rows, value)


def _written_by(
    tensor: Tensor, index: tuple[Any, ...], value: Any, accumulate: bool = False
) -> bool:
    """``tensor[index] = value`` (or added to what is there) by indices that are taken as they are.

    Where nothing is wrong, recorded or watched, and on a device that is not waited for.
    """
    found, kind = key_and_tensors(index), value.__class__
    if found is None or observe.active or records(tensor, value):
        return False
    spec, (key, tensors) = tensor._spec, found
    if kind is not Tensor and (kind not in NUMBERS or kind is complex):
        return False
    if spec.batch is not None or (kind is not Tensor and not fits(value, spec.dtype)):
        return False
    given = value._spec if kind is Tensor else kind
    key = ("=", given, *key)
    known = spec.memo.get(key)
    if known is None:
        plan, advanced = _plan_for(tensor, index)
        how = None
        if advanced and len(advanced) == len(tensors):
            how = writes(spec if plan is None else plan.spec, advanced, given)
        known = plan, how
        _remember(spec, key, known)
    plan, how = known
    if how is None:
        return False
    view = tensor
    if plan is not None:
        view = raw.view(tensor, plan.spec, plan.offset)
        view._inference = tensor._inference
    write_at(view, tensors, value, how, accumulate=accumulate)
    return True


def _real(value: Any, kind: d.dtype) -> Any:
    if kind is d.bool_:
        return bool(value)
    return value.real if isinstance(value, complex) and not kind.is_complex else value


_WRAPPED = WRAPPED_INDEX.part_of("index_put")


def _put(view: Tensor, advanced: list[Advanced], value: Any, accumulate: bool) -> None:
    """Write ``value`` over (or add it to) what the indices select of ``view``."""
    spec = view._spec
    one_mask = len(advanced) == 1 and is_mask(advanced[0].value) and not accumulate
    if not isinstance(value, Tensor):
        value = _real(value, spec.dtype)
    elif one_mask and value.numel() == 1:
        value = value.reshape(())
    else:
        if value._spec.dtype is not spec.dtype:
            _different_dtypes(spec, value)
        value = _without_leading_ones(value)
    if one_mask and _fill_mask(view, advanced[0], value):
        return
    view, flat, dim, count = together(view, advanced, _WRAPPED)
    if isinstance(value, Tensor) and value._spec.device is not view._spec.device:
        value = value.to(view._spec.device)
    attributes = (dim, count, accumulate)
    if not write(INDEX_PUT, (view, flat, value), attributes, "index_put_"):
        _index_put_(view, flat, value, *attributes)


_index_put_ = inplace_method("index_put", index_put)


def _different_dtypes(spec: Spec, value: Tensor) -> NoReturn:
    raise RuntimeError(
        "Index put requires the source and destination dtypes match, got "
        f"{type_name(spec.dtype)} for the destination and {type_name(value._spec.dtype)} for the "
        "source."
    )


def _fill_mask(view: Tensor, entry: Advanced, value: Any) -> bool:
    """One value under one mask: no need to know how many elements that is."""
    position, mask, _ = entry
    if isinstance(value, Tensor) and value._spec.ndim:
        return False
    shape = tuple(view._spec.shape)
    check_kinds(shape, [entry])
    if not isinstance(mask, Tensor):
        mask = from_array(mask, view)
    if mask._spec.device is not view._spec.device:
        return False
    if mask._spec.dtype is not d.bool_:
        mask = mask.to(d.bool_)
    after = len(shape) - position - mask.ndim
    view.masked_fill_(mask.reshape(*mask.shape, *(1,) * after), value)
    return True


def index_put_(
    self: Tensor, indices: tuple[Any, ...], values: Tensor, accumulate: bool = False
) -> Tensor:
    """Write ``values`` over (or add them to) what ``indices`` select of ``self``.

    Args:
        indices: index tensors, one per dim from the first on; masks span several.
        values: broadcast to the shape of ``self[indices]``.
        accumulate: add, so that an element named twice gets both.
    """
    if isinstance(indices, Tensor):
        raise TypeError(
            "index_put_(): argument 'indices' (position 2) must be tuple of Tensors, not Tensor"
        )
    if len(indices) == 1 and self._array.__class__ is not np.ndarray:
        (first,) = indices
        if (
            first.__class__ is Tensor
            and first._spec.dtype is d.int64
            and write_rows(self, first, values, bool(accumulate))
        ):
            return self
    elif self._array.__class__ is not np.ndarray and _written_by(
        self, tuple(indices), values, bool(accumulate)
    ):
        return self
    parsed = parse(tuple(self._spec.shape), self._spec.strides, tuple(indices), Tensor)
    _put(self, parsed.advanced, values, accumulate)
    return self


def _index_put(
    self: Tensor, indices: tuple[Any, ...], values: Tensor, accumulate: bool = False
) -> Tensor:
    """Out of place version of :func:`index_put_`."""
    return index_put_(writable_copy(self, *indices, values), indices, values, accumulate)


Tensor.index_put_ = index_put_  # type: ignore[attr-defined]
Tensor.index_put = _index_put  # type: ignore[attr-defined]
_index_put.__name__ = _index_put.__qualname__ = "index_put"
FUNCTIONS["index_put"], FUNCTIONS["index_put_"] = _index_put, index_put_
