"""Reductions: the primitives sum prod amax amin argmax argmin; any, all, count_nonzero on top.

Sums and products are accumulated in the dtype of the result (float32 for float16 and bfloat16);
where the input's dtype is not promoted to it without loss, the core casts first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.expose import attach
from dovetail.ops.families import composite, draw
from dovetail.ops.reduction.reducing import (
    REAL,
    accept_numpy_names,
    by_numpy,
    dims_of,
    kept_shape,
    not_empty,
    one_dim,
    one_input,
    reduced_shape,
    restored,
    samples,
    spec_of_input,
    spread,
    summing_function,
)
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample
from dovetail.promotion import promote_types
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["AMAX", "AMIN", "ARGMAX", "ARGMIN", "PROD", "SUM"]

# sum, prod


def _accumulating(spec: Spec, dim: tuple[int, ...], keepdim: bool, dtype: d.dtype) -> Inferred:
    fits = promote_types(spec.dtype, dtype) is dtype
    shape = reduced_shape(spec, dim, keepdim)
    return Inferred((None if fits else dtype,), ((shape, dtype),))


def _sum_dtype(spec: Spec, dtype: d.dtype | None) -> d.dtype:
    if dtype is not None:
        return dtype
    return d.int64 if spec.dtype.category < 2 else spec.dtype


SUM = OpDef(
    "sum",
    kind="reduce",
    attributes=("dim", "keepdim", "dtype"),
    infer=_accumulating,
    gradient={"input": spread},
    reference=by_numpy(np.sum, np.int64),
    samples=samples(-5, 5),
    required=True,
)
"""``sum(input, out, *, dim, keepdim, dtype)``: accumulate in ``dtype``, which is also out's."""


def _products_of_others(x: Any, dim: int) -> Any:
    """Per element the product of all others along ``dim``, zeros or not."""
    from dovetail.ops import cat

    n = x.shape[dim]
    one = x.new_ones(kept_shape(x.shape, (dim,)))
    before = cat([one, x.narrow(dim, 0, n - 1)], dim).cumprod(dim)
    after = cat([one, x.flip(dim).narrow(dim, 0, n - 1)], dim).cumprod(dim).flip(dim)
    return before * after


def _prod_gradient(g: Any, input: Any, specs: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    g = spread(g, specs, dim, keepdim)
    x = input.to(g.dtype)
    if not x.numel():
        return g
    if len(dim) == 1:
        others = _products_of_others(x, dim[0])
    else:
        others = _products_of_others(x.reshape(-1), 0).reshape(x.shape)
    return g * (others.conj() if g.dtype.is_complex else others)


PROD = OpDef(
    "prod",
    kind="reduce",
    attributes=("dim", "keepdim", "dtype"),
    infer=_accumulating,
    gradient={"input": _prod_gradient},
    reference=by_numpy(np.prod, np.int64),
    samples=samples(-2, 2, tuples=False),
    required=True,
)
"""``prod(input, out, *, dim, keepdim, dtype)``: one dim, or all of them."""


attach(
    SUM,
    summing_function(
        SUM,
        lambda input, dtype: (input, (_sum_dtype(input._spec, dtype),)),
        """The sum of all elements, or over one or more dims.

    Args:
        input: any shape; integers and bool are summed as int64 unless ``dtype`` is given.
        dim: an int or a tuple of them (``axis`` in NumPy's words).
        keepdim: reduced dims stay, with size 1 (``keepdims``).
        dtype: the dtype to cast to before adding, and of the result.

    Raises:
        IndexError: a dim is out of range.
    """,
    ),
)


@one_input(PROD)
def _prod(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    dtype: d.dtype | None = None,
) -> Any:
    """The product of all elements, or along one dim; integers and bool as int64.

    Raises:
        IndexError: the dim is out of range.
    """
    spec = input._spec
    if dim is not None:
        dim = one_dim("prod", dim, spec.ndim)
    return input, (dims_of("prod", dim, spec.ndim), keepdim, _sum_dtype(spec, dtype))


attach(PROD, _prod)


# amax, amin


def _same_dtype(spec: Spec, dim: tuple[int, ...], keepdim: bool) -> Inferred:
    return Inferred((None,), ((reduced_shape(spec, dim, keepdim), spec.dtype),))


def _share_ties(
    g: Any, input: Any, out: Any, specs: Any, dim: tuple[int, ...], keepdim: bool
) -> Any:
    """Elements that are equal to the result get equal parts."""
    g, out = restored(g, specs, dim, keepdim), restored(out, specs, dim, keepdim)
    ties = input.eq(out)
    return g * ties / ties.sum(dim, True)


def _extremum(name: str, reference: Any, doc: str) -> OpDef:
    op = OpDef(
        name,
        kind="reduce",
        attributes=("dim", "keepdim"),
        infer=_same_dtype,
        accepts=REAL,
        gradient={"input": _share_ties},
        reference=by_numpy(reference),
        samples=samples(-5, 5, distinct=True),
        required=True,
        errors=lambda: [
            ErrorInput((np.zeros((2, 0), np.float32), 1), {}, IndexError, "non-zero size")
        ],
    )

    @one_input(op)
    def function(input: Tensor, dim: Any = (), keepdim: bool = False) -> Any:
        dims = dims_of(name, dim, input._spec.ndim)
        not_empty(name, input._spec, dims, dim is None or dim == () or dim == [])
        return input, (dims, keepdim)

    attach(op, function, doc=doc)
    return op


_DOC = """, over all elements or some dims; NaN where there is one.

    The gradient is shared evenly among equal elements.

    Raises:
        IndexError: a dim is out of range, or of size 0.
    """
AMAX = _extremum("amax", np.max, "The largest element" + _DOC)
AMIN = _extremum("amin", np.min, "The smallest element" + _DOC)


# argmax, argmin


def _index_of(spec: Spec, dim: tuple[int, ...], keepdim: bool) -> Inferred:
    return Inferred((None,), ((reduced_shape(spec, dim, keepdim), d.int64),))


def _arg(name: str, reference: Any, doc: str) -> OpDef:
    op = OpDef(
        name,
        kind="reduce",
        attributes=("dim", "keepdim"),
        infer=_index_of,
        accepts=(*d.INTEGRAL, *d.FLOATING),
        reference=by_numpy(reference),
        samples=samples(-5, 5, tuples=False),
        required=True,
    )

    @one_input(op)
    def function(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
        spec = input._spec
        if spec.dtype is d.bool_ or spec.dtype.is_complex:
            kind = "bool" if spec.dtype is d.bool_ else "complex"
            raise RuntimeError(f"{name}(): does not support {kind} input")
        dims = dims_of(name, None if dim is None else one_dim(name, dim, spec.ndim), spec.ndim)
        not_empty(name, spec, dims, dim is None)
        return input, (dims, keepdim)

    attach(op, function, doc=doc)
    return op


_DOC = """ as int64: of all elements, counted row-major, or along a dim.

    The first one of equal elements; of the first NaN where there is one.

    Raises:
        RuntimeError: the input is bool or complex.
        IndexError: nothing to choose from, or the dim is out of range.
    """
ARGMAX = _arg("argmax", np.argmax, "The index of the largest element" + _DOC)
ARGMIN = _arg("argmin", np.argmin, "The index of the smallest element" + _DOC)
"""``argmin(input, out, *, dim, keepdim)``: ``dim`` has one dim, or all (row-major count)."""


# any, all, count_nonzero: bool sums


def _truth_infer(spec: Spec, dim: tuple[int, ...], keepdim: bool) -> Inferred:
    kind = d.uint8 if spec.dtype is d.uint8 else d.bool_  # uint8 was PyTorch's bool once
    return Inferred((None,), ((reduced_shape(spec, dim, keepdim), kind),))


def _truth_dims(name: str) -> Callable[..., Any]:
    def prepare(input: Any, dim: Any, keepdim: bool) -> Any:
        ndim = spec_of_input(name, input).ndim
        empty = isinstance(dim, (tuple, list)) and not dim  # here PyTorch reduces nothing
        return (input,), (() if empty else dims_of(name, dim, ndim), keepdim)

    return prepare


def _as_truth(result: Any, input: Any) -> Any:
    return result.to(d.uint8) if input.dtype is d.uint8 else result


def _truth(name: str, reference: Any) -> Callable[..., Any]:
    return composite(
        name,
        infer=_truth_infer,
        prepare=_truth_dims(name),
        reference=lambda x, dim=None, keepdim=False: _truth_of(reference, x, dim, keepdim),
        samples=samples(-1, 1),
    )


def _truth_of(function: Any, x: np.ndarray, dim: Any, keepdim: bool) -> Any:
    return function(x, axis=None if not x.ndim else dim, keepdims=keepdim and x.ndim > 0)


@_truth("any", np.any)
def any_(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether any element is not zero: of all, or over one or more dims."""
    if not dim:
        return _as_truth(input.ne(0), input)
    return _as_truth(input.ne(0).sum(dim, keepdim).ne(0), input)


@_truth("all", np.all)
def all_(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether no element is zero: of all, or over one or more dims."""
    if not dim:
        return _as_truth(input.ne(0), input)
    return _as_truth(input.eq(0).sum(dim, keepdim).eq(0), input)


def _count_dims(input: Any, dim: Any) -> Any:
    return (input,), (dims_of("count_nonzero", dim, spec_of_input("count_nonzero", input).ndim),)


@composite(
    "count_nonzero",
    infer=lambda spec, dim: Inferred((None,), ((reduced_shape(spec, dim, False), d.int64),)),
    prepare=_count_dims,
    reference=lambda x, dim=None: np.count_nonzero(x, axis=dim),
    samples=lambda rng, dtype: [
        Sample((draw(rng, (), dtype, -1, 1),)),
        Sample((draw(rng, (3, 4), dtype, -1, 1),)),
        Sample((draw(rng, (3, 4), dtype, -1, 1), 1)),
        Sample((draw(rng, (2, 3, 4), dtype, -1, 1), (0, 2))),
    ],
)
def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements are not zero, as int64."""
    hit = input if input.dtype is d.bool_ else input.ne(0)
    return hit.sum(dim) if dim else hit.to(d.int64)


accept_numpy_names("any", "all", "count_nonzero")
