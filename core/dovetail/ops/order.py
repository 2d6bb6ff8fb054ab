"""Order: the primitive sort; argsort msort topk kthvalue median mode unique on top.

Values and indices come in pairs. NaN counts as the largest value, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import return_types
from dovetail.dispatch import call, type_name
from dovetail.errors import Unsupported
from dovetail.ops.expose import FUNCTIONS, attach, finish
from dovetail.ops.families import draw
from dovetail.ops.reduce import (
    REAL,
    kept_shape,
    not_empty,
    numpy_names,
    one_dim,
    one_input,
    picked_infer,
    scattered,
    spec_of_input,
    whole_gradient,
)
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__: list[str] = []

ORDERED = (*d.INTEGRAL, *d.FLOATING)
_CASES = (((7,), 0), ((3, 5), 1), ((3, 5), 0), ((2, 3, 4), -2), ((), 0), ((0, 3), 0))


def _distinct(rng: np.random.Generator, shape: tuple[int, ...], dtype: d.dtype) -> np.ndarray:
    """Values without ties where the dtype is a floating-point one."""
    if dtype.category < 2:
        return draw(rng, shape, dtype, -9, 9)
    size = int(np.prod(shape))
    order = rng.permutation(size).reshape(shape)
    return np.asarray((order - size / 2) / 4).astype(dtype.numpy)


# sort


def _sort_infer(spec: Spec, dim: int, descending: bool) -> Inferred:
    shape = tuple(spec.shape)
    return Inferred((None,), ((shape, spec.dtype), (shape, d.int64)))


def _back(g: Any, out1: Any, specs: Any, dim: int) -> Any:
    """Each gradient to where its value came from."""
    if not specs[0].ndim:
        return g
    return g.new_zeros(tuple(specs[0].shape)).scatter(dim, out1, g)


def _sort_reference(x: np.ndarray, dim: int = -1, descending: bool = False, **_: Any) -> Any:
    if not x.ndim:
        return x, np.zeros((), np.int64)
    if descending:
        turned = np.flip(x, dim)
        index = x.shape[dim] - 1 - np.flip(np.argsort(turned, axis=dim, kind="stable"), dim)
    else:
        index = np.argsort(x, axis=dim, kind="stable")
    return np.take_along_axis(x, index, dim), index


def _sort_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for shape, dim in _CASES:
        for descending in (False, True):
            found.append(Sample((_distinct(rng, shape, dtype), dim, descending)))
    ties = draw(rng, (20,), dtype, -2, 2)
    ties = np.round(ties.astype(np.float64)).astype(dtype.numpy) if dtype.category == 2 else ties
    return [*found, Sample((ties,), {"stable": True, "descending": True}, "ties")]


SORT = OpDef(
    "sort",
    kind="order",
    attributes=("dim", "descending"),
    outputs=2,
    infer=_sort_infer,
    accepts=REAL,
    gradient={"input": _back},
    reference=_sort_reference,
    samples=_sort_samples,
    required=True,
)
"""``sort(input, values, indices, *, dim, descending)``: stable both ways; NaN is the largest."""


@one_input(SORT, return_types.sort)
def _sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool | None = False
) -> Any:
    """The elements along a dim in order, as a named tuple (values, indices).

    Args:
        stable: equal elements keep their order; here they always do.

    Raises:
        IndexError: the dim is out of range.
        RuntimeError: the input is complex.
    """
    if input._spec.dtype.is_complex:
        raise RuntimeError("Sort does not support complex dtypes")
    return input, (one_dim("sort", dim, input._spec.ndim), bool(descending))


attach(SORT, _sort)


@numpy_names
def _argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The indices that put a dim in order, as int64.

    Raises:
        IndexError: the dim is out of range.
    """
    return _sort(input, dim, descending)[1]


def _msort(input: Tensor, *, out: Tensor | None = None) -> Any:
    """The elements in order along the first dim."""
    return finish("msort", _sort(input, 0)[0], out)


# topk, kthvalue


def _topk_infer(spec: Spec, k: int, dim: int, largest: bool, sorted: bool) -> Inferred:
    shape = tuple(k if i == dim else n for i, n in enumerate(spec.shape))
    return Inferred((None,), ((shape, spec.dtype), (shape, d.int64)))


def _topk_decompose(input: Any, k: int, dim: int, largest: bool, sorted: bool) -> Any:
    values, index = input.sort(dim, largest)
    if not input.ndim:
        return values, index
    return values.narrow(dim, 0, k).contiguous(), index.narrow(dim, 0, k).contiguous()


TOPK = OpDef(
    "topk",
    attributes=("k", "dim", "largest", "sorted"),
    outputs=2,
    infer=_topk_infer,
    accepts=ORDERED,
    gradient={"input": _back},
    decompose=_topk_decompose,
    reference=lambda x, k, dim=-1, largest=True, sorted=True: tuple(
        part if not x.ndim else np.take(part, np.arange(k), dim)
        for part in _sort_reference(x, dim, largest)
    ),
    samples=lambda rng, dtype: [
        Sample((_distinct(rng, shape, dtype) if dtype.category > 1 else _unique(rng, shape, dtype),
                k, dim, largest))
        for shape, k, dim in (((7,), 3, 0), ((3, 5), 2, 1), ((3, 5), 3, 0), ((), 1, 0), ((4, 3), 0, 1))
        for largest in (True, False)
    ],
)  # fmt: skip


def _unique(rng: np.random.Generator, shape: tuple[int, ...], dtype: d.dtype) -> np.ndarray:
    """Integers without ties, so that there is only one right set of indices."""
    return rng.permutation(int(np.prod(shape))).reshape(shape).astype(dtype.numpy)


@one_input(TOPK, return_types.topk)
def _topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> Any:
    """The k largest (or smallest) elements along a dim, in order, as (values, indices).

    Raises:
        RuntimeError: there are not k elements, or the input is bool or complex.
        IndexError: the dim is out of range.
    """
    spec = input._spec
    where = one_dim("topk", dim, spec.ndim)
    if not 0 <= k <= (spec.shape[where] if spec.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if spec.dtype not in ORDERED:
        kind = "bool" if spec.dtype is d.bool_ else "complex"
        raise RuntimeError(f"topk does not support {kind} dtypes")
    return input, (int(k), where, bool(largest), bool(sorted))


attach(TOPK, _topk)


def _at(input: Any, place: Any, dim: int, keepdim: bool) -> Any:
    """Value and index at ``place`` (kept dim) of the order along ``dim``."""
    values, index = input.sort(dim)
    pair = (values.gather(dim, place), index.gather(dim, place))
    return pair if keepdim else tuple(x.squeeze(dim) for x in pair)


def _picks(
    name: str,
    attributes: tuple[str, ...],
    decompose: Any,
    reference: Any,
    samples: Any,
    public: bool = True,
    accepts: tuple[d.dtype, ...] = ORDERED,
) -> OpDef:
    """A composite that picks one element along a dim: (values, indices)."""

    def infer(spec: Spec, *, dim: int, keepdim: bool, **_: Any) -> Inferred:
        return picked_infer(spec, dim, keepdim)

    return OpDef(
        name,
        attributes=(*attributes, "dim", "keepdim"),
        outputs=2,
        infer=infer,
        accepts=accepts,
        gradient={
            "input": lambda g, out1, specs, dim, keepdim: scattered(g, out1, specs, dim, keepdim)
        },
        decompose=decompose,
        reference=reference,
        samples=samples,
        public=public,
        method=public,
    )


def _alone(input: Any) -> Any:
    return input.clone(), input.new_zeros((), dtype=d.int64)


def _kth(input: Any, k: int, dim: int, keepdim: bool) -> Any:
    if not input.ndim:
        return _alone(input)
    values, index = input.sort(dim)
    pair = (values.narrow(dim, k - 1, 1), index.narrow(dim, k - 1, 1))
    return tuple(x.contiguous() if keepdim else x.squeeze(dim).contiguous() for x in pair)


def _kth_reference(x: np.ndarray, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    if not x.ndim:
        return x, np.zeros((), np.int64)
    pick = [k - 1] if keepdim else k - 1
    return tuple(np.take(part, pick, dim) for part in _sort_reference(x, dim))


KTHVALUE = _picks(
    "kthvalue", ("k",), _kth, _kth_reference,
    lambda rng, dtype: [
        Sample((_unique(rng, shape, dtype), k, dim, keepdim))
        for shape, k, dim in (((7,), 3, 0), ((3, 5), 5, 1), ((2, 3, 4), 1, 1), ((), 1, 0))
        for keepdim in (False, True)
    ],
)  # fmt: skip


@one_input(KTHVALUE, return_types.kthvalue)
def _kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest element along a dim (k from 1), as (values, indices).

    Raises:
        RuntimeError: k is out of range.
        IndexError: the dim is out of range.
    """
    spec = input._spec
    where = one_dim("kthvalue", dim, spec.ndim)
    if not 1 <= k <= (spec.shape[where] if spec.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {where}")
    return input, (int(k), where, keepdim)


# median, nanmedian


def _nan_count(x: Any, dim: int) -> Any:
    return x.ne(x).sum(dim, True)


def _median_along(input: Any, dim: int, keepdim: bool) -> Any:
    if not input.ndim:
        return _alone(input)
    n = input.shape[dim]
    nans = _nan_count(input, dim)
    from dovetail.ops import where

    # NaN are last in order: where there are any, the first of them.
    return _at(input, where(nans.ne(0), n - nans, (n - 1) // 2), dim, keepdim)


def _nanmedian_along(input: Any, dim: int, keepdim: bool) -> Any:
    if not input.ndim:
        return _alone(input)
    n = input.shape[dim]
    return _at(input, ((n - 1) - _nan_count(input, dim)).clamp_min(0) // 2, dim, keepdim)


def _median_reference(x: np.ndarray, dim: int = -1, keepdim: bool = False) -> Any:
    return _kth_reference(x, ((x.shape[dim] if x.ndim else 1) - 1) // 2 + 1, dim, keepdim)


def _median_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((_unique(rng, shape, dtype), dim, keepdim))
        for shape, dim in (((7,), 0), ((3, 5), 1), ((2, 3, 4), -2), ((), 0))
        for keepdim in (False, True)
    ]


def _medians(name: str, along: Callable[..., Any]) -> None:
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
        reference=lambda x: _median_reference(x.reshape(-1), 0)[0],
        samples=lambda rng, dtype: [Sample((_unique(rng, s, dtype),)) for s in ((), (7,), (3, 4))],
    )
    dimmed = _picks(name + "_dim", (), along, _median_reference, _median_samples, False)
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
        doc=f"The middle element, the lower of two: of all, or (values, indices) along a dim{ignored}."
        "\n\n    Raises:\n        IndexError: the dim is out of range, or of size 0.\n    ",
    )


_medians("median", _median_along)
_medians("nanmedian", _nanmedian_along)


# mode


def _mode_along(input: Any, dim: int, keepdim: bool) -> Any:
    from dovetail.factories import arange
    from dovetail.ops import cat

    if not input.ndim:
        return _alone(input)
    values, index = input.sort(dim)
    n = input.shape[dim]
    shape = [1] * input.ndim
    shape[dim] = -1
    place = arange(n, device=input.device).reshape(shape)
    changed = values.narrow(dim, 1, n - 1).ne(values.narrow(dim, 0, n - 1)).to(d.int64)
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


MODE = _picks(
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


attach(KTHVALUE, _kthvalue)
attach(MODE, _mode)
for _name, _function in (("argsort", _argsort), ("msort", _msort)):
    _function.__name__ = _function.__qualname__ = _name
    FUNCTIONS[_name] = _function
    setattr(Tensor, _name, _function)
