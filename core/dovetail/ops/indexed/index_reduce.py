"""Rows brought together by index: index_reduce."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.backend.sentences import IN_SELF
from dovetail.dispatch import call
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.direct import in_place
from dovetail.ops.expose import operator
from dovetail.ops.families import draw
from dovetail.ops.indexed.index_checks import check_bounds
from dovetail.ops.indexed.rows import along, check_rows
from dovetail.ops.indexed.scatter_reduce import Steps, brought_together
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample
from dovetail.tensor import Tensor

__all__: list[str] = []


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
    infer=lambda input, *_, **__: Inferred(
        (None, d.int64, input.dtype), ((tuple(input.shape), input.dtype),)
    ),
    decompose=_index_reduce,
    accepts=(*d.INTEGRAL, *d.FLOATING),
    reference=_reference,
    samples=_samples,
    errors=_errors,
    inplace=True,
    sentence=IN_SELF,
)


def _reduce_inputs(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str,
    *, include_self: bool = True,
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:  # fmt: skip
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
    return (input, index, source), (dim, reduce, bool(include_self))


@operator(INDEX_REDUCE, out=True)
@function_by_specs(INDEX_REDUCE, _reduce_inputs)
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
    inputs, attributes = _reduce_inputs(
        input, dim, index, source, reduce, include_self=include_self
    )
    return call(INDEX_REDUCE, inputs, attributes)


in_place(INDEX_REDUCE, _reduce_inputs)
