"""Elements by places that are counted through the flattened tensor: take and put."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.backend.sentences import FLAT
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.direct import in_place
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import draw
from dovetail.ops.indexed.index import SCATTER, SCATTER_ADD
from dovetail.ops.indexed.index_checks import check_bounds, need_tensor
from dovetail.ops.indexed.indexing import INDEX_WRAPPED
from dovetail.ops.indexed.rows import INDEX_SELECT
from dovetail.ops.indexed.wrapping import WRAPPED_INDEX
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample
from dovetail.tensor import Tensor

__all__ = ["take"]

# --------------------------------------------------------------------- take

_TAKEN = INDEX_WRAPPED.part_of("take", FLAT)
_TAKEN_AT, _SELECTED = WRAPPED_INDEX.part_of("take"), INDEX_SELECT.part_of("take", FLAT)


@publish(out=True)
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at places counted through the flattened input; negative ones from its end.

    Args:
        index: int64, any shape.

    Raises:
        IndexError: out of range.
        RuntimeError: an index of another dtype.
    """
    need_tensor("take", "index", 2, index)
    if index._spec.dtype is not d.int64:
        raise RuntimeError(
            f"take(): Expected a long tensor for index, but got {type_name(index._spec.dtype)}"
        )
    size = input._spec.numel
    if not size and index._spec.numel:
        raise IndexError("take(): tried to take from an empty tensor")
    check_bounds(index, size, FLAT, wraps=True)
    state = state_of(input._spec.device)
    if size and state.table.entries(INDEX_WRAPPED.name):
        return call(_TAKEN, (input.reshape(-1), index), (0, 0))  # type: ignore[no-any-return]
    flat = index.reshape(-1)
    places = call(_TAKEN_AT, (flat,), (size, None, 0)) if size else flat
    found = call(_SELECTED, (input.reshape(-1), places), (0,))
    return found.reshape(index._spec.shape)


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
    # The last is of more places than are looked at one by one.
    shapes = [((3, 4), (5,)), ((5,), (2, 2)), ((2, 3, 2), (3,)), ((), (1,)), ((9, 9), (70,))]
    for shape, where in shapes:
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
    sentence=FLAT,
)


def _put_inputs(
    input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
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
    check_bounds(index, size, FLAT, wraps=True)
    return (input, index, source), (bool(accumulate),)


@operator(PUT)
@function_by_specs(PUT, _put_inputs)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """``input`` with ``source`` at places counted through the flattened input.

    Args:
        index: int64, as many as ``source`` has elements; negative ones count from the end.
        accumulate: add instead of writing over, so that a place named twice gets both.

    Raises:
        RuntimeError: dtypes that do not fit.
        IndexError: an index out of range, or another number of elements.
    """
    return call(PUT, *_put_inputs(input, index, source, accumulate))


in_place(PUT, _put_inputs)
