"""Places of elements as coordinates: nonzero_static and unravel_index."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.factories import arange, full
from dovetail.ops.expose import publish
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.ops.indexed.masks import where
from dovetail.ops.layout.joining import stack
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.ops.schema import ErrorInput, Inferred, Sample
from dovetail.tensor import Tensor

__all__: list[str] = []


# ------------------------------------------------------------ unravel_index


def _coordinates(places: Any, shape: Sequence[int]) -> list[Any]:
    """Per dim of ``shape``, where a place counted through all of it is."""
    steps = list(itertools.accumulate(reversed((*shape[1:], 1)), operator.mul))[::-1]
    pairs = zip(steps, shape, strict=False)
    return [places.floor_divide(step).remainder(n) for step, n in pairs]


@publish(method=False)
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, one tensor per dim, of places counted through a tensor of ``shape``.

    Args:
        indices: integers, any shape.
        shape: an int or a sequence of them.

    Raises:
        TypeError: indices of another dtype, or a shape that is none.
        ValueError: a negative size.
    """
    kind = need_tensor("unravel_index", "indices", 1, indices)._spec.dtype
    if kind not in d.INTEGRAL:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {kind}")
    if isinstance(shape, int):
        shape = (shape,)
    if not isinstance(shape, Sequence):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {type(shape)}")
    for n in shape:
        if not isinstance(n, int):
            raise TypeError(f"expected 'shape' sequence to only contain ints, but got {type(n)}")
    if any(n < 0 for n in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {tuple(shape)}")
    return tuple(_coordinates(indices.to(d.int64), tuple(shape)))


# ----------------------------------------------------------- nonzero_static


def _inputs(input: Any, size: int, fill_value: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    need_tensor("nonzero_static", "input", 1, input)
    size = whole_number("nonzero_static", "size", size)
    fill_value = whole_number("nonzero_static", "fill_value", fill_value)
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    return (input,), (size, fill_value)


def _reference(x: np.ndarray, *, size: int, fill_value: int = -1) -> np.ndarray:
    out = np.full((size, x.ndim), fill_value)
    found = np.argwhere(x != 0)[:size]
    out[: len(found)] = found
    return out


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def make(*shape: int) -> np.ndarray:
        values = draw(rng, shape, dtype, 1, 5)
        return np.asarray(np.where(rng.random(shape) < 0.5, values, 0), dtype.numpy)

    return [
        Sample((make(9),), {"size": 3}),
        Sample((make(9),), {"size": 12}),
        Sample((make(3, 4),), {"size": 8, "fill_value": 7}),
        Sample((make(2, 3, 4),), {"size": 9}),
        Sample((make(5),), {"size": 0}),
        Sample((make(),), {"size": 2}),
        Sample((make(0, 3),), {"size": 2}),
        Sample((np.zeros((2, 2), dtype.numpy),), {"size": 3, "fill_value": 0}),
    ]


@composite(
    "nonzero_static",
    kind="index",
    infer=lambda spec, size, fill_value: Inferred((None,), (((size, spec.ndim), d.int64),)),
    prepare=_inputs,
    out=True,
    differentiable=(),
    reference=_reference,
    samples=_samples,
    errors=lambda: [
        ErrorInput((np.zeros(2, np.float32),), {"size": -1}, RuntimeError, "non-negative integer")
    ],
)
def nonzero_static(input: Any, *, size: int, fill_value: int = -1) -> Any:
    """The places of the first ``size`` elements that are not zero: (size, ndim).

    As ``nonzero``, but it need not wait for the device: the shape does not depend on the data.

    Args:
        size: the number of rows.
        fill_value: what rows hold for which there is no element.

    Raises:
        RuntimeError: a negative ``size``.
    """
    shape = tuple(input.shape)
    if not shape or not size or not input.numel():
        return full((size, len(shape)), fill_value, dtype=d.int64, device=input.device)
    hit = input.reshape(-1).ne(0)
    row = hit.cumsum(0) - 1
    row = where(hit & row.lt(size), row, size)
    board = full((size + 1,), 0, dtype=d.int64, device=input.device)
    board = board.scatter(0, row, arange(input.numel(), device=input.device))
    places = stack(_coordinates(board.narrow(0, 0, size), shape), 1)
    is_there = arange(size, device=input.device) < hit.sum()
    return places.masked_fill(is_there.logical_not().unsqueeze(1), fill_value)
