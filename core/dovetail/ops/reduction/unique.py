"""Distinct elements: unique and unique_consecutive, whose shapes depend on the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import ops
from dovetail.autograd.grad_mode import no_grad
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.factories import arange
from dovetail.ops.expose import FUNCTIONS
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.counted import begun, is_served, number_of
from dovetail.ops.reduction.reducing import one_dim, spec_of_input
from dovetail.ops.schema import REGISTRY, Inferred, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__: list[str] = []

_FEW = 256
"""So few elements are sorted faster than they are counted."""


def _runs(rows: Any) -> Any:
    """For rows (N, K): whether each differs from the one before it; the first does."""
    from dovetail.ops import cat

    first = rows.new_ones((1,), dtype=d.bool_)
    n = rows.shape[0]
    if not n:
        return rows.new_zeros((0,), dtype=d.bool_)
    if not rows.shape[1]:
        return cat([first, rows.new_zeros((n - 1,), dtype=d.bool_)])
    changed = rows.narrow(0, 1, n - 1).ne(rows.narrow(0, 0, n - 1)).any(1)
    return cat([first, changed])


def _order(rows: Any) -> Any:
    """The permutation that sorts rows (N, K) by their first element, then the second, …"""
    columns = rows.shape[1]
    order = rows.select(1, columns - 1).sort(0, stable=True)[1] if columns else None
    if order is None:
        return arange(rows.shape[0], device=rows.device)
    for column in range(columns - 2, -1, -1):
        keys = rows.select(1, column).gather(0, order)
        order = order.gather(0, keys.sort(0, stable=True)[1])
    return order


def _distinct(
    rows: Any, order: Any, return_inverse: bool, return_counts: bool
) -> tuple[Any, Any, Any]:
    """(where each kind begins in ``order``, inverse, counts)."""
    n = rows.shape[0]
    moved = rows if order is None else rows.index_select(0, order)
    begins = _runs(moved)
    place = begins.nonzero().reshape(-1)
    inverse = counts = None
    if return_inverse:
        kind = begins.cumsum(0) - 1
        inverse = kind if order is None else kind.new_empty((n,)).scatter(0, order, kind)
    if return_counts:
        from dovetail.ops import cat

        ends = cat([place, place.new_full((1,), n)])
        counts = ends.narrow(0, 1, place.shape[0]) - place
    return (place if order is None else order.index_select(0, place)), inverse, counts


def _kinds_infer(rows: Spec, order: Spec | None) -> Inferred:
    n = rows.shape[0]
    outs = ((tuple(rows.shape), rows.dtype), ((n,), d.int64), ((n,), d.int64), ((), d.int64))
    return Inferred((None, None), outs)


def _kinds_reference(rows: np.ndarray, order: np.ndarray | None) -> tuple[np.ndarray, ...]:
    order = np.arange(len(rows)) if order is None else order
    values, counts = np.zeros_like(rows), np.zeros(len(rows), np.int64)
    inverse, kind = np.zeros(len(rows), np.int64), -1
    for i, place in enumerate(order):
        if not i or (rows[place] != rows[order[i - 1]]).any():
            kind += 1
            values[kind] = rows[place]
        inverse[place] = kind
        counts[kind] += 1
    return values, inverse, counts, np.array(kind + 1)


def _kinds_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for shape in ((9, 1), (40, 1), (12, 3), (1, 2)):
        rows = draw(rng, shape, dtype, 0, 3)
        rows = np.asarray(np.round(rows.astype(np.float64)).astype(dtype.numpy))
        made += [Sample((rows, None)), Sample((rows, np.lexsort(rows.T[::-1])))]
    return made


@composite(
    "kinds_counted",
    kind="index",
    inputs=("rows", "order"),
    outputs=4,
    infer=_kinds_infer,
    differentiable=(),
    accepts=tuple(k for k in d.ALL if not k.is_complex),
    reference=_kinds_reference,
    samples=_kinds_samples,
    method=False,
    public=False,
    named="unique",
)
def kinds_counted(rows: Any, order: Any) -> tuple[Any, ...]:
    """Of rows (N, K) in an order, one of each run of equal ones, and zeros behind them; of which
    run each is, (N); how long each is, and zeros behind them, (N); how many there are.

    Args:
        order: (N), or None: as they are.
    """
    place, inverse, counts = _distinct(rows, order, True, True)
    found, rest = place.shape[0], rows.shape[0] - place.shape[0]
    values = ops.pad(rows.index_select(0, place), (0, 0, 0, rest))
    return values, inverse, ops.pad(counts, (0, rest)), rows.new_full((), found, dtype=d.int64)


KINDS_COUNTED = REGISTRY["kinds_counted"]


def _counted(x: Any, return_inverse: bool, return_counts: bool) -> Any:
    """What :func:`_distinct` finds, by counting: for a vector of integers of a small range.

    Returns:
        (values, inverse, counts), or None where the range is larger than the vector is long, or
        where to look at it means to wait for a device.
    """
    spec = x._spec
    at_hand = spec.batch is None and state_of(spec.device).host_arrays
    if not at_hand or spec.dtype not in d.INTEGRAL or spec.numel < _FEW:
        return None
    low, high = (int(end) for end in x.aminmax())
    if high - low >= spec.numel:
        return None
    number = x.to(d.int64) - low
    counts = number.bincount(minlength=high - low + 1)
    occurs = counts.ne(0)
    place = occurs.nonzero().reshape(-1)
    values = (place + low).to(spec.dtype)
    inverse = (occurs.cumsum(0) - 1).index_select(0, number) if return_inverse else None
    return values, inverse, counts.index_select(0, place) if return_counts else None


def _wanted(*found: Any) -> Any:
    """Those that are there, or the one."""
    wanted = tuple(t for t in found if t is not None)
    return wanted if len(wanted) > 1 else found[0]


def _unique_of(
    name: str, input: Tensor, sort: bool, return_inverse: bool, return_counts: bool, dim: Any
) -> Any:
    spec = spec_of_input(name, input)
    x: Any = input.detach()
    with no_grad():
        counted = None
        if sort and dim is None:
            counted = _counted(x.reshape(-1), return_inverse, return_counts)
        if counted is not None:
            values, inverse, counts = counted
            if inverse is not None:
                inverse = inverse.reshape(tuple(spec.shape))
            return _wanted(values, inverse, counts)
        if dim is None:
            rows = x.reshape(-1, 1)
        else:
            dim = one_dim(name, dim, spec.ndim)
            x = x.movedim(dim, 0)
            rows = x.reshape(x.shape[0], -1) if x.numel() else x.new_zeros((x.shape[0], 0))
        order = _order(rows) if sort else None
        if is_served(KINDS_COUNTED, (rows, order)):
            values, inverse, counts, many = call(KINDS_COUNTED, (rows, order))
            found = number_of(many)
            shape = (found,) if dim is None else (found, *x.shape[1:])
            values = begun(values, found).reshape(shape)
            return _wanted(
                values if dim is None else values.movedim(0, dim),
                inverse.reshape(tuple(spec.shape) if dim is None else -1)
                if return_inverse
                else None,
                begun(counts, found) if return_counts else None,
            )
        chosen, inverse, counts = _distinct(rows, order, return_inverse, return_counts)
        if dim is None:
            values = rows.reshape(-1).index_select(0, chosen)
            if inverse is not None:
                inverse = inverse.reshape(tuple(spec.shape))
        else:
            values = x.index_select(0, chosen).movedim(0, dim)
    return _wanted(values, inverse, counts)


def _unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements (or slices along ``dim``), always sorted.

    Args:
        return_inverse: also, per element of ``input``, which one it is (int64).
        return_counts: also how many there are of each (int64).

    Raises:
        IndexError: the dim is out of range.
    """
    return _unique_of("unique", input, True, return_inverse, return_counts, dim)


def _unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements (or slices along ``dim``) that differ from the one before them.

    Args:
        return_inverse: also, per element of ``input``, which one it is (int64).
        return_counts: also how long each run is (int64).

    Raises:
        IndexError: the dim is out of range.
    """
    return _unique_of("unique_consecutive", input, False, return_inverse, return_counts, dim)


for _name, _function in (("unique", _unique), ("unique_consecutive", _unique_consecutive)):
    _function.__name__ = _function.__qualname__ = _name
    FUNCTIONS[_name] = _function
    setattr(Tensor, _name, _function)
