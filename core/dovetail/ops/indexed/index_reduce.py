"""Rows and single elements brought together by index: index_reduce and put."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.backend.sentences import FLAT, IN_SELF
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import operator
from dovetail.ops.families import draw
from dovetail.ops.indexed.index import SCATTER, SCATTER_ADD
from dovetail.ops.indexed.index_checks import check_bounds, need_tensor
from dovetail.ops.indexed.rows import along, check_rows
from dovetail.ops.indexed.scatter_reduce import Steps, brought_together
from dovetail.ops.indexed.wrapping import WRAPPED_INDEX
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__: list[str] = []


def _same(input: Spec, *_: Any, **__: Any) -> Inferred:
    return Inferred((None, None, None), ((tuple(input.shape), input.dtype),))


# ------------------------------------------------------------- index_reduce

_STEPS = Steps.of("index_reduce", IN_SELF)
_WAYS = ("prod", "mean", "amax", "amin")
_UFUNCS = {"prod": np.multiply, "mean": np.add, "amax": np.maximum, "amin": np.minimum}


def _index_reduce(
    input: Any, index: Any, source: Any, dim: int, reduce: str, include_self: bool
) -> Any:
    wide = along(index, tuple(source.shape), dim)
    return brought_together(_STEPS, input, dim, wide, source, reduce, include_self)


def _reference(
    x: np.ndarray, dim: int, index: np.ndarray, source: np.ndarray, reduce: str,
    *, include_self: bool = True,
) -> np.ndarray:  # fmt: skip
    out = np.array(x)
    rows = np.moveaxis(np.atleast_1d(out), dim, 0)
    news = np.moveaxis(np.atleast_1d(source), dim, 0)
    for i in set(np.atleast_1d(index).tolist()):
        some = [news[j] for j, at in enumerate(np.atleast_1d(index)) if at == i]
        if include_self:
            some.insert(0, rows[i])
        made = _UFUNCS[reduce].reduce(np.stack(some), axis=0)
        if reduce == "mean":
            made = made // len(some) if x.dtype.kind in "iu" else made / len(some)
        rows[i] = made
    return out


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    cases: tuple[tuple[tuple[int, ...], int, int], ...] = (
        ((5,), 0, 8), ((4, 3), 0, 3), ((3, 4), 1, 6), ((2, 5, 3), -2, 4), ((3, 4), 0, 0),
    )  # fmt: skip
    for shape, dim, n in cases:
        wide = list(shape)
        wide[dim] = n
        index = rng.integers(0, shape[dim], n)
        for reduce in _WAYS:
            for include_self in (True, False):
                args = (
                    draw(rng, shape, dtype, 1, 4), dim, index,
                    draw(rng, tuple(wide), dtype, 1, 4), reduce,
                )  # fmt: skip
                found.append(Sample(args, {"include_self": include_self}, reduce))
    one = (draw(rng, (), dtype, 1, 4), 0, np.array([0]), draw(rng, (), dtype, 1, 4), "prod")
    found.append(Sample(one, {}, "a number"))
    tied = np.array([[2, 3], [2, 5], [4, 5]], dtype.numpy)
    found.append(Sample((tied[:2], 0, np.array([0, 1, 1]), tied, "amax"), {}, "ties"))
    return found


def _errors() -> list[ErrorInput]:
    x, at = np.ones((3, 4), np.float32), np.array([0, 2])
    two = x[:2]

    def wrong(index: Any, source: Any, error: Any, match: str, how: str = "amax") -> ErrorInput:
        return ErrorInput((x, 0, index, source, how), {}, error, match)

    return [
        wrong(at, two, RuntimeError, "Expected reduce to be one of", "sum"),
        wrong(at / 2, two, RuntimeError, "Expected dtype int32/int64"),
        wrong(at.reshape(1, 2), two, IndexError, "supposed to be a vector"),
        wrong(at, x, RuntimeError, "Number of indices"),
        wrong(at, two[:, :3], RuntimeError, "source tensor shape must match"),
        wrong(at, two.astype(np.float64), RuntimeError, "must have the same scalar type"),
        wrong(at - 1, two, IndexError, "index out of range in self"),
        ErrorInput((x, 2, at, two, "amax"), {}, IndexError, "Dimension out of range"),
    ]


INDEX_REDUCE = OpDef(
    "index_reduce",
    kind="index",
    inputs=("input", "index", "source"),
    attributes=("dim", "reduce", "include_self"),
    infer=_same,
    decompose=_index_reduce,
    accepts=(*d.INTEGRAL, *d.FLOATING),
    reference=_reference,
    samples=_samples,
    errors=_errors,
    inplace=True,
)


@operator(INDEX_REDUCE, out=True)
def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str,
    *, include_self: bool = True,
) -> Tensor:  # fmt: skip
    """``input`` with the rows of ``source`` brought together in the rows that ``index`` names.

    Args:
        index: a vector of int64 or int32, one per row of ``source`` along ``dim``.
        reduce: ``prod``, ``mean``, ``amax`` or ``amin``.
        include_self: what ``input`` holds in a row that is named counts too.

    Raises:
        RuntimeError: shapes or dtypes that do not fit, or another way.
        IndexError: an index out of bounds, or not a vector.
    """
    if not isinstance(reduce, str):
        raise TypeError(
            f"index_reduce(): argument 'reduce' (position 5) must be str, not "
            f"{type(reduce).__name__}"
        )
    if reduce not in _WAYS:
        raise RuntimeError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got "
            f"{reduce}."
        )
    dim = check_rows("index_reduce", input, dim, index, source)
    size = input._spec.shape[dim] if input._spec.ndim else 1
    check_bounds(index, size, IN_SELF)
    return call(INDEX_REDUCE, (input, index, source), (dim, reduce, bool(include_self)))


# ---------------------------------------------------------------------- put

_WRAPPED = WRAPPED_INDEX.part_of("put")
_WRITES = (SCATTER.part_of("put", FLAT), SCATTER_ADD.part_of("put", FLAT))


def _put(input: Any, index: Any, source: Any, accumulate: bool) -> Any:
    size = input.numel()
    if not size:
        return input.clone()
    places = call(_WRAPPED, (index.reshape(-1),), (size, None, 0))
    made = call(_WRITES[accumulate], (input.reshape(-1), places, source.reshape(-1)), (0,))
    return made.reshape(tuple(input.shape))


def _put_reference(
    x: np.ndarray, index: np.ndarray, source: np.ndarray, accumulate: bool = False
) -> np.ndarray:
    out = np.array(x)
    flat = out.reshape(-1)
    for i, value in zip(index.reshape(-1), source.reshape(-1), strict=True):
        flat[i] = flat[i] + value if accumulate else value
    return out


def _put_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for shape, where in (((3, 4), (5,)), ((5,), (2, 2)), ((2, 3, 2), (3,)), ((), (1,))):
        size = int(np.prod(shape))
        x, source = draw(rng, shape, dtype, -5, 5), draw(rng, where, dtype, -5, 5)
        count = int(np.prod(where))
        # Which of two values written to one place stays is not defined.
        once = rng.permutation(size)[:count].reshape(where)
        once[once % 2 == 0] -= size
        found.append(Sample((x, once, source)))
        many = rng.integers(-size, size, where)
        found.append(Sample((x, many, source, True)))
    nothing, nowhere = draw(rng, (0, 2), dtype, -5, 5), np.zeros(0, np.int64)
    found.append(Sample((nothing, nowhere, draw(rng, (0,), dtype, -5, 5))))
    return [*found, Sample((x, nowhere, draw(rng, (0, 2), dtype, -5, 5), True))]


def _put_errors() -> list[ErrorInput]:
    x, at = np.ones((3, 4), np.float32), np.array([0, 11])
    two = x[0, :2]
    return [
        ErrorInput((x, at + 1, two), {}, IndexError, "access index 12 on a tensor of 12 elements"),
        ErrorInput((x, at - 13, two), {}, IndexError, "tried to access index -13"),
        ErrorInput((x, at.astype(np.int32), two), {}, RuntimeError, "Expected a long tensor"),
        ErrorInput((x, at, two.astype(np.float64)), {}, RuntimeError, "to have the same dtype"),
        ErrorInput((x, at, x[0, :3]), {}, IndexError, "the same number of elements"),
        ErrorInput((x[:0], at, two), {}, IndexError, "put elements into an empty tensor"),
    ]


PUT = OpDef(
    "put",
    kind="index",
    inputs=("input", "index", "source"),
    attributes=("accumulate",),
    infer=lambda input, *_, **__: Inferred(
        (None, None, None), ((tuple(input.shape), input.dtype, input.dense().strides),)
    ),
    decompose=_put,
    reference=_put_reference,
    samples=_put_samples,
    errors=_put_errors,
    inplace=True,
)


@operator(PUT)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """``input`` with ``source`` at places counted through the flattened input.

    Args:
        index: int64, as many as ``source`` has elements; negative ones count from the end.
        accumulate: add instead of writing over, so that a place named twice gets both.

    Raises:
        RuntimeError: dtypes that do not fit.
        IndexError: an index out of range, or another number of elements.
    """
    at = need_tensor("put", "index", 2, index)._spec
    rows = need_tensor("put", "source", 3, source)._spec
    spec = input._spec
    if at.dtype is not d.int64:
        raise RuntimeError(
            f"put_(): Expected a long tensor for index, but got {type_name(at.dtype)}"
        )
    if spec.dtype is not rows.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{type_name(spec.dtype)} and source.dtype = {type_name(rows.dtype)}"
        )
    if at.numel != rows.numel:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {rows.numel}, index.numel() = {at.numel}"
        )
    if not spec.numel and at.numel:
        raise IndexError("put_(): Tried to put elements into an empty tensor")
    size = spec.numel
    check_bounds(
        index,
        size,
        FLAT,
        wraps=True,
    )
    return call(PUT, (input, index, source), (bool(accumulate),))
