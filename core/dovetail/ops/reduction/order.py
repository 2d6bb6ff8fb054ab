"""Order: the primitive sort; argsort msort topk kthvalue on top.

Values and indices come in pairs. NaN counts as the largest value, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import return_types
from dovetail.ops.expose import FUNCTIONS, attach
from dovetail.ops.families import draw
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.ops.out import finish
from dovetail.ops.reduction.extremes import picked_infer, scattered
from dovetail.ops.reduction.reducing import REAL, numpy_names, one_dim, one_input
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["ORDERED", "alone", "different", "kth_reference", "picks"]

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
    shape, strides = tuple(spec.shape), spec.dense().strides
    return Inferred((None,), ((shape, spec.dtype, strides), (shape, d.int64, strides)))


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
    found.append(Sample((draw(rng, (9,), dtype, -1, 1), 0, False), {}, "fractions"))
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
        Sample((different(rng, shape, dtype), k, dim, largest))
        for shape, k, dim in (
            ((7,), 3, 0), ((3, 5), 2, 1), ((3, 5), 3, 0), ((), 1, 0), ((4, 3), 0, 1)
        )
        for largest in (True, False)
    ],
)  # fmt: skip


def different(rng: np.random.Generator, shape: tuple[int, ...], dtype: d.dtype) -> np.ndarray:
    """Numbers without ties, so that there is only one right set of indices."""
    values = rng.permutation(int(np.prod(shape))) + int(rng.integers(0, 5))
    if dtype.category >= 2:
        values = (values + rng.uniform(-0.25, 0.25, values.shape)) * 0.7
    return np.asarray(values).reshape(shape).astype(dtype.numpy)


@one_input(TOPK, return_types.topk)
def _topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
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
    k = whole_number("topk", "k", k)
    return input, (k, where, bool(largest), bool(sorted))


attach(TOPK, _topk)


def picks(
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


def alone(input: Any) -> Any:
    """Value and index of a 0-d tensor."""
    return input.clone(), input.new_zeros((), dtype=d.int64)


def _kth(input: Any, k: int, dim: int, keepdim: bool) -> Any:
    if not input.ndim:
        return alone(input)
    values, index = input.sort(dim)
    pair = (values.narrow(dim, k - 1, 1), index.narrow(dim, k - 1, 1))
    return tuple(x.contiguous() if keepdim else x.squeeze(dim).contiguous() for x in pair)


def kth_reference(x: np.ndarray, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """Value and index of the k-th smallest."""
    if not x.ndim:
        return x, np.zeros((), np.int64)
    pick = [k - 1] if keepdim else k - 1
    return tuple(np.take(part, pick, dim) for part in _sort_reference(x, dim))


KTHVALUE = picks(
    "kthvalue", ("k",), _kth, kth_reference,
    lambda rng, dtype: [
        Sample((different(rng, shape, dtype), k, dim, keepdim))
        for shape, k, dim in (
            ((7,), 3, 0), ((3, 5), 5, 1), ((5, 3), 2, 1), ((2, 3, 4), 1, 1), ((), 1, 0)
        )
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
    return input, (whole_number("kthvalue", "k", k), where, keepdim)


attach(KTHVALUE, _kthvalue)
for _name, _function in (("argsort", _argsort), ("msort", _msort)):
    _function.__name__ = _function.__qualname__ = _name
    FUNCTIONS[_name] = _function
    setattr(Tensor, _name, _function)
