"""The two operators behind advanced indexing: read rows, and write (or add to) rows.

An index expression with masks and integer arrays is worked out in ``dovetail.indexing`` down to one
int64 tensor that counts through ``count`` adjacent dims of the input, from ``dim`` on, as if they
were one. Where its values are in host memory, whoever made it has checked that they are in range;
elsewhere the device does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.backend.sentences import ALONG
from dovetail.dispatch import call
from dovetail.factories import full
from dovetail.ops.families import broadcast_shapes, composite, draw
from dovetail.ops.indexed.wrapping import WRAPPED_INDEX, wrapped_index
from dovetail.ops.schema import REGISTRY, Facts, Inferred, Sample
from dovetail.spec import Spec

__all__ = [
    "INDEX", "INDEX_PUT", "INDEX_PUT_WRAPPED", "INDEX_WRAPPED", "index", "index_put",
    "index_put_wrapped", "index_wrapped",
]  # fmt: skip


def _selected_shape(input: Spec, index: Spec, dim: int, count: int) -> tuple[int, ...]:
    return (*input.shape[:dim], *index.shape, *input.shape[dim + count :])


def _index_infer(input: Spec, index: Spec, dim: int, count: int) -> Inferred:
    return Inferred((None, None), ((_selected_shape(input, index, dim, count), input.dtype),))


def _index_put_infer(
    input: Spec, index: Spec, values: Facts, dim: int, count: int, accumulate: bool
) -> Inferred:
    shape = _selected_shape(input, index, dim, count)
    if isinstance(values, Spec):
        try:
            fits = broadcast_shapes(shape, tuple(values.shape)) == shape
        except RuntimeError:
            fits = False
        if not fits:
            raise RuntimeError(
                f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast "
                f"to indexing result of shape {list(shape)}"
            )
    return Inferred((None, None, input.dtype), ((tuple(input.shape), input.dtype),))


def _rows(x: Any, dim: int, count: int) -> Any:
    """``x`` as (before, the indexed dims as one, after)."""
    shape = tuple(x.shape)
    before, after = math.prod(shape[:dim]), math.prod(shape[dim + count :])
    return x.reshape(before, math.prod(shape[dim : dim + count]), after)


def _spread(index: Any, rows: Any) -> Any:
    """A flat index repeated over whole rows, as ``scatter`` wants it."""
    return index.reshape(1, index.numel(), 1).expand(rows.shape[0], index.numel(), rows.shape[2])


def _index_gradient(g: Any, index: Any, specs: Any, dim: int, count: int) -> Any:
    nothing = g.new_zeros(tuple(specs[0].shape))
    return index_put(nothing, index, g, dim, count, True)


def _index_reference(x: np.ndarray, index: np.ndarray, dim: int, count: int) -> np.ndarray:
    shape = x.shape
    return x.reshape(*shape[:dim], -1, *shape[dim + count :]).take(index, axis=dim)


def _index_put_reference(
    x: np.ndarray, index: np.ndarray, values: Any, dim: int, count: int, accumulate: bool
) -> np.ndarray:
    out = np.array(x)
    rows = np.moveaxis(out.reshape(*x.shape[:dim], -1, *x.shape[dim + count :]), dim, 0)
    shape = (*x.shape[:dim], *index.shape, *x.shape[dim + count :])
    wide = np.moveaxis(
        np.broadcast_to(values, shape), range(dim, dim + index.ndim), range(index.ndim)
    )
    if accumulate:
        np.add.at(rows, index, wide)
    else:
        rows[index] = wide
    return out


_CASES: tuple[tuple[tuple[int, ...], tuple[int, ...], int, int], ...] = (
    ((5, 3), (4,), 0, 1),
    ((5, 3), (3,), 0, 1),
    ((2, 5, 3), (2, 2), 1, 1),
    ((2, 3, 4, 2), (6,), 1, 2),
    ((3, 4), (), 0, 2),
    ((3, 4), (0,), 1, 1),
)


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for shape, index_shape, dim, count in _CASES:
        rows = math.prod(shape[dim : dim + count])
        index = rng.integers(0, rows, index_shape)
        found.append(Sample((draw(rng, shape, dtype, -5, 5), index, dim, count)))
    return found


def _put_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for shape, index_shape, dim, count in _CASES:
        rows = math.prod(shape[dim : dim + count])
        wide = (*shape[:dim], *index_shape, *shape[dim + count :])
        for accumulate in (False, True):
            # Which of two values written to one place stays is not defined.
            index = rng.permutation(rows)[: math.prod(index_shape)].reshape(index_shape)
            if accumulate:
                index = rng.integers(0, rows, index_shape)
            values = draw(rng, wide, dtype, -5, 5)
            args = (draw(rng, shape, dtype, -5, 5), index, values, dim, count, accumulate)
            found.append(Sample(args))
    return found


_READ = REGISTRY["index_select"].part_of("index", ALONG)
_WRITES = tuple(REGISTRY[name].part_of("index_put", ALONG) for name in ("scatter", "scatter_add"))


@composite(
    "index",
    inputs=("input", "index"),
    infer=_index_infer,
    gradient={"input": _index_gradient},
    reference=_index_reference,
    samples=_samples,
    method=False,
    public=False,
)
def index(input: Any, index: Any, dim: int, count: int) -> Any:
    """The rows of ``input`` that ``index`` names.

    Args:
        input: ``(*before, *indexed, *after)``.
        index: int64, any shape; counts through ``count`` dims of ``input`` from ``dim`` on.

    Returns:
        ``(*before, *index.shape, *after)``.
    """
    rows = _rows(input, dim, count)
    shape = _selected_shape(input._spec, index._spec, dim, count)
    return call(_READ, (rows, index.reshape(-1)), (1,)).reshape(shape)


def _wrapped_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for shape, index_shape, dim, count in _CASES:
        if count == 1:
            index = rng.integers(-shape[dim], shape[dim], index_shape)
            found.append(Sample((draw(rng, shape, dtype, -5, 5), index, dim, dim)))
    return found


def _wrapped_gradient(g: Any, index: Any, specs: Any, position: int, dim: int) -> Any:
    size = specs[0].shape[position]
    return _index_gradient(
        g, wrapped_index(index, size=size, dim=dim, outside=0), specs, position, 1
    )


@composite(
    "index_wrapped",
    inputs=("input", "index"),
    infer=lambda input, index, position, dim: _index_infer(input, index, position, 1),
    gradient={"input": _wrapped_gradient},
    reference=lambda x, index, position, dim: x.take(index, axis=position),
    samples=_wrapped_samples,
    method=False,
    public=False,
    named="index",
    node_name=lambda *_, **__: "index",
)
def index_wrapped(input: Any, index: Any, position: int, dim: int) -> Any:
    """``index`` by one dim, of numbers that may count from its end.

    Args:
        input: ``(*before, size, *after)``, with something in it.
        index: int64, any shape, in [-size, size).
        position: the dim.
        dim: what that is called where an index is out of range.
    """
    size = input.shape[position]
    return _index(input, wrapped_index(index, size=size, dim=dim, outside=0), position, 1)


@composite(
    "index_put",
    inputs=("input", "index", "values"),
    infer=_index_put_infer,
    gradient={
        "input": lambda g, index, dim, count, accumulate: (
            g if accumulate else index_put(g, index, 0, dim, count, False)
        ),
        "values": lambda g, index, dim, count: _index(g, index, dim, count),
    },
    reference=_index_put_reference,
    samples=_put_samples,
    method=False,
    public=False,
)
def index_put(input: Any, index: Any, values: Any, dim: int, count: int, accumulate: bool) -> Any:
    """``input`` with ``values`` written over (or added to) the rows that ``index`` names.

    A kernel may be given ``input``'s own array as its output; then only the rows are written.

    Args:
        input: ``(*before, *indexed, *after)``.
        index: int64, any shape; counts through ``count`` dims of ``input`` from ``dim`` on.
        values: broadcast to ``(*before, *index.shape, *after)``; or a number.
        accumulate: add, so that a row named twice gets both; otherwise either may stay.
    """
    if not hasattr(values, "_spec"):
        values = full((), values, dtype=input.dtype, device=input.device)
    rows = _rows(input, dim, count)
    shape = _selected_shape(input._spec, index._spec, dim, count)
    wide = values.expand(shape).reshape(rows.shape[0], index.numel(), rows.shape[2])
    return call(_WRITES[accumulate], (rows, _spread(index, rows), wide), (1,)).reshape(input.shape)


_PUT_AT = WRAPPED_INDEX.part_of("index_put")


def _put_wrapped_infer(
    input: Spec, index: Spec, values: Facts, position: int, dim: int, accumulate: bool
) -> Inferred:
    return _index_put_infer(input, index, values, position, 1, accumulate)


def _put_wrapped_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for sample in _put_samples(rng, dtype):
        x, index, values, dim, count, accumulate = sample.args
        if count == 1 and index.ndim == 1:
            index = np.where(index % 2, index, index - x.shape[dim])
            found.append(Sample((x, index, values, dim, dim, accumulate)))
            if index.size:
                found.append(Sample((x, index, values[..., -1:], dim, dim, accumulate)))
                one = draw(rng, (), dtype, -5, 5)
                found.append(Sample((x, index, one, dim, dim, accumulate), name="one value"))
                found.append(Sample((x, index, 2, dim, dim, accumulate), name="a number"))
    return found


@composite(
    "index_put_wrapped",
    inputs=("input", "index", "values"),
    infer=_put_wrapped_infer,
    reference=lambda x, index, values, position, dim, accumulate: _index_put_reference(
        x, index, values, position, 1, accumulate
    ),
    samples=_put_wrapped_samples,
    method=False,
    public=False,
    named="index_put",
)
def index_put_wrapped(
    input: Any, index: Any, values: Any, position: int, dim: int, accumulate: bool
) -> Any:
    """``index_put`` by one dim, of numbers that may count from its end.

    Args:
        input: ``(*before, size, *after)``, with something in it.
        index: int64, a vector in [-size, size).
        values: broadcast to ``(*before, index.numel, *after)``; or a number.
        position: the dim.
        dim: what that is called where an index is out of range.
        accumulate: as for ``index_put``.
    """
    at = call(_PUT_AT, (index,), (input.shape[position], dim, 0))
    return index_put(input, at, values, position, 1, accumulate)


_index: Any = index  # the gradients above have a parameter of that name
INDEX, INDEX_PUT = REGISTRY["index"], REGISTRY["index_put"]
INDEX_WRAPPED, INDEX_PUT_WRAPPED = REGISTRY["index_wrapped"], REGISTRY["index_put_wrapped"]
