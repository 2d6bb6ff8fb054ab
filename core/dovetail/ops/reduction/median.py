"""The middle and the most frequent: median nanmedian mode, by sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import return_types
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factories import arange
from dovetail.ops.expose import attach
from dovetail.ops.families import draw
from dovetail.ops.out import finish
from dovetail.ops.reduction.extremes import whole_gradient
from dovetail.ops.reduction.order import ORDERED, alone, different, kth_reference, picks
from dovetail.ops.reduction.reducing import (
    REAL,
    kept_shape,
    not_empty,
    numpy_names,
    one_dim,
    one_input,
    spec_of_input,
)
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.tensor import Tensor

__all__: list[str] = []


def _at(input: Any, place: Any, dim: int, keepdim: bool) -> Any:
    """Value and index at ``place`` (kept dim) of the order along ``dim``."""
    values, index = input.sort(dim)
    pair = (values.gather(dim, place), index.gather(dim, place))
    return pair if keepdim else tuple(x.squeeze(dim) for x in pair)


def _nan_count(x: Any, dim: int) -> Any:
    return x.ne(x).sum(dim, True)


def _median_along(input: Any, dim: int, keepdim: bool) -> Any:
    if not input.ndim:
        return alone(input)
    n = input.shape[dim]
    nans = _nan_count(input, dim)
    from dovetail.ops import where

    # NaN are last in order: where there are any, the first of them.
    return _at(input, where(nans.ne(0), n - nans, (n - 1) // 2), dim, keepdim)


def _nanmedian_along(input: Any, dim: int, keepdim: bool) -> Any:
    if not input.ndim:
        return alone(input)
    n = input.shape[dim]
    return _at(input, ((n - 1) - _nan_count(input, dim)).clamp_min(0) // 2, dim, keepdim)


def _median_reference(x: np.ndarray, dim: int = -1, keepdim: bool = False) -> Any:
    if x.ndim and np.isnan(x).any():
        return _at_reference(x, lambda n, nans: n - nans if nans else (n - 1) // 2, dim, keepdim)
    return kth_reference(x, ((x.shape[dim] if x.ndim else 1) - 1) // 2 + 1, dim, keepdim)


def _nanmedian_reference(x: np.ndarray, dim: int = -1, keepdim: bool = False) -> Any:
    if x.ndim and np.isnan(x).any():
        return _at_reference(x, lambda n, nans: max(n - 1 - nans, 0) // 2, dim, keepdim)
    return _median_reference(x, dim, keepdim)


def _at_reference(
    x: np.ndarray, place: Callable[[int, int], int], dim: int, keepdim: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Value and index at ``place(how many there are, how many are NaN)`` of each row's order."""

    def one(row: np.ndarray) -> int:
        return int(np.argsort(row, kind="stable")[place(row.size, int(np.isnan(row).sum()))])

    index = np.expand_dims(np.apply_along_axis(one, dim, x), dim)
    values = np.take_along_axis(x, index, dim)
    return (values, index) if keepdim else (values.squeeze(dim), index.squeeze(dim))


def _median_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    if dtype.category == 2:
        nan = np.nan
        rows = [[5, nan, 1, 4], [nan, nan, 2, nan], [nan, nan, nan, nan], [4, 2, 1, 3]]
        found.append(Sample((np.array(rows, dtype.numpy), 1), {}, "nan"))
    return found + [
        Sample((different(rng, shape, dtype), dim, keepdim))
        for shape, dim in (((7,), 0), ((3, 5), 1), ((5, 3), 1), ((2, 3, 4), -2), ((), 0))
        for keepdim in (False, True)
    ]


def _medians(name: str, along: Callable[..., Any], reference: Callable[..., Any]) -> None:
    def flat(input: Any) -> Any:
        if not input.numel():
            return input.new_full((), float("nan") if input.dtype.category == 2 else 0)
        return along(input.reshape(-1), 0, False)[0]

    whole = OpDef(
        name,
        infer=lambda spec: Inferred((None,), (((), spec.dtype),)),
        accepts=ORDERED,
        gradient={"input": whole_gradient},
        decompose=flat,
        reference=lambda x: (
            reference(x.reshape(-1), 0)[0] if x.size else np.nan if x.dtype.kind == "f" else 0
        ),
        samples=lambda rng, dtype: [
            Sample((different(rng, s, dtype),), {}, "" if s != (0,) else "empty")
            for s in (
                (),
                (7,),
                (3, 4),
                *(((0,),) if dtype.category == 2 or dtype is d.uint8 else ()),
            )
        ],
    )
    dimmed = picks(name + "_dim", (), along, reference, _median_samples, False)
    made = getattr(return_types, name)

    @numpy_names
    def function(
        input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None
    ) -> Any:
        spec = spec_of_input(name, input)
        if spec.dtype not in ORDERED:
            raise Unsupported(f"\"{name}\" not implemented for '{type_name(spec.dtype)}'")
        if dim is None:
            return finish(name, call(whole, (input,), ()), out)
        where = one_dim(name, dim, spec.ndim)
        not_empty(name, spec, (where,) if spec.ndim else (), False)
        return finish(name, made(*call(dimmed, (input,), (where, keepdim))), out)

    dimmed.function = function
    ignored = "; NaN are left out" if name == "nanmedian" else "; NaN where there is one"
    attach(
        whole,
        function,
        doc="The middle element, the lower of two: of all, or (values, indices) along a dim"
        f"{ignored}.\n\n    Raises:\n        IndexError: the dim is out of range, or of size 0.\n",
    )


_medians("median", _median_along, _median_reference)
_medians("nanmedian", _nanmedian_along, _nanmedian_reference)


# mode


def _mode_along(input: Any, dim: int, keepdim: bool) -> Any:
    from dovetail.ops import cat

    if not input.ndim:
        return alone(input)
    values, index = input.sort(dim)
    n = input.shape[dim]
    shape = [1] * input.ndim
    shape[dim] = -1
    place = arange(n, device=input.device).reshape(shape)
    changed = values.narrow(dim, 1, n - 1).ne(values.narrow(dim, 0, n - 1))
    begins = cat([changed.new_zeros(kept_shape(input.shape, (dim,))), changed], dim) * place
    length = place - begins.cummax(dim)[0]
    best = length.argmax(dim, True)  # the first of equals: the smallest value
    pair = (values.gather(dim, best), index.gather(dim, best))
    return pair if keepdim else tuple(x.squeeze(dim) for x in pair)


def _mode_reference(x: np.ndarray, dim: int = -1, keepdim: bool = False) -> Any:
    if not x.ndim:
        return x, np.zeros((), np.int64)

    def one(row: np.ndarray) -> int:
        values, counts = np.unique(row, return_counts=True)
        return int(np.flatnonzero(row == values[counts.argmax()])[-1])

    index = np.apply_along_axis(one, dim, x)
    values = np.take_along_axis(x, np.expand_dims(index, dim), dim)
    return (values, np.expand_dims(index, dim)) if keepdim else (values.squeeze(dim), index)


MODE = picks(
    "mode", (), _mode_along, _mode_reference,
    lambda rng, dtype: [
        Sample((draw(rng, shape, d.int8, 0, 2).astype(dtype.numpy), dim, keepdim))
        for shape, dim in (((9,), 0), ((3, 8), 1), ((2, 7, 3), -2), ((), 0))
        for keepdim in (False, True)
    ],
    accepts=REAL,
)  # fmt: skip


@one_input(MODE, return_types.mode)
def _mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along a dim, the smallest of several, as (values, indices).

    Raises:
        IndexError: the dim is out of range, or of size 0.
    """
    spec = input._spec
    where = one_dim("mode", dim, spec.ndim)
    not_empty("mode", spec, (where,) if spec.ndim else (), False)
    return input, (where, keepdim)


attach(MODE, _mode)
