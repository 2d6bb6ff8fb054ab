"""Reading and writing by several indices at once, ``x[i, j]``, which stand side by side or apart.

The operators ``index`` and ``index_put`` take one index that counts through the indexed dims; these
take the indices themselves, so that a kernel brings them together as it goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.dispatch import call
from dovetail.ops.families import broadcast_shapes, composite, draw
from dovetail.ops.indexed.indexing import index, index_put
from dovetail.ops.indexed.wrapping import WRAPPED_INDEX
from dovetail.ops.schema import REGISTRY, Facts, Inferred, OpDef, Sample
from dovetail.spec import Spec

__all__ = ["INDEX_SEVERAL", "INDEX_SEVERAL_PUT", "MOST", "begins_at", "selected_shape"]

MOST = 3
"""Indices that these operators take."""


def begins_at(positions: Sequence[int]) -> int:
    """Where the dims of the indices stand in the result: first, unless they are side by side."""
    first = positions[0]
    is_block = tuple(positions) == tuple(range(first, first + len(positions)))
    return first if is_block else 0


def selected_shape(
    shape: Sequence[int], wide: Sequence[int], positions: Sequence[int]
) -> tuple[int, ...]:
    """The shape of what indices that broadcast to ``wide`` select of ``shape``."""
    rest = [n for i, n in enumerate(shape) if i not in positions]
    at = begins_at(positions)
    return (*rest[:at], *wide, *rest[at:])


def _shape(input: Spec, indices: Sequence[Facts], positions: Sequence[int]) -> tuple[int, ...]:
    wide = broadcast_shapes(*[tuple(i.shape) for i in indices if isinstance(i, Spec)])
    return selected_shape(tuple(input.shape), wide, positions)


def _infer(
    input: Spec, first: Spec, second: Spec, third: Facts, positions: Any, dims: Any
) -> Inferred:
    shape = _shape(input, (first, second, third), positions)
    return Inferred((None,) * 4, ((shape, input.dtype),))


def _together(wrap: OpDef, input: Any, given: Sequence[Any], positions: Any, dims: Any) -> Any:
    """``input`` with the indexed dims side by side, the one index of them, where they start."""
    shape, flat, before = tuple(input.shape), None, 1
    indices = [i for i in given if i is not None]
    for at, position, dim in zip(indices, positions, dims, strict=True):
        n = shape[position]
        # What is outside must leave the number outside that all digits make.
        digit = call(wrap, (at,), (n, dim, -before * n))
        flat = digit if flat is None else flat * n + digit
        before *= n
    start = begins_at(positions)
    rest = [i for i in range(len(shape)) if i not in positions]
    return input.permute(*rest[:start], *positions, *rest[start:]), flat, start


def _numpy_index(positions: Sequence[int], indices: Sequence[np.ndarray]) -> tuple[Any, ...]:
    found: list[Any] = [slice(None)] * (max(positions) + 1)
    for position, at in zip(positions, indices, strict=True):
        found[position] = at
    return tuple(found)


def _reference(
    x: np.ndarray, first: Any, second: Any, third: Any, positions: Any, dims: Any
) -> Any:
    indices = [i for i in (first, second, third) if i is not None]
    return x[_numpy_index(positions, indices)]


_CASES: tuple[tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[int, ...]], ...] = (
    ((5, 3), ((4,), (4,)), (0, 1)),
    ((5, 3), ((4, 1), (2,)), (0, 1)),
    ((2, 5, 3), ((4,), (4,)), (1, 2)),
    ((2, 5, 3), ((4,), (1,)), (0, 2)),
    ((2, 5, 3, 4), ((2, 2), (2, 2)), (0, 1)),
    ((2, 5, 3), ((4,), (3, 1), (3, 4)), (0, 1, 2)),
    ((3, 4), ((0,), (0,)), (0, 1)),
)


def _draw_case(
    rng: np.random.Generator, dtype: d.dtype, shape: Any, wide: Any, positions: Any
) -> tuple[Any, ...]:
    sizes = [shape[p] for p in positions]
    indices = [rng.integers(-n, n, where) for n, where in zip(sizes, wide, strict=True)]
    return (draw(rng, shape, dtype, -5, 5), *indices, *[None] * (MOST - len(indices)))


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [Sample((*_draw_case(rng, dtype, *c), c[2], c[2])) for c in _CASES]


def _gradient(
    g: Any, first: Any, second: Any, third: Any, specs: Any, positions: Any, dims: Any
) -> Any:
    shape = tuple(specs[0].shape)
    return _backward(g, first, second, third, positions, dims, shape)


@composite(
    "index_several",
    inputs=("input", "first", "second", "third"),
    infer=_infer,
    gradient={"input": _gradient},
    reference=_reference,
    samples=_samples,
    method=False,
    public=False,
    named="index",
    node_name=lambda *_, **__: "index",
)
def index_several(
    input: Any, first: Any, second: Any, third: Any, positions: Any, dims: Any
) -> Any:
    """``input[i, j]``, or of three indices, which broadcast and may count from the end.

    Args:
        input: with something in it.
        first, second, third: int64; ``third`` may be None.
        positions: the dim that each of them is of, in order.
        dims: what these are called where an index is out of range.
    """
    given = first, second, third
    view, flat, start = _together(WRAPPED_INDEX, input, given, positions, dims)
    return index(view, flat, start, len(positions))


def _backward_infer(
    g: Spec, first: Spec, second: Spec, third: Facts, positions: Any, dims: Any, shape: Any
) -> Inferred:
    return Inferred((None,) * 4, ((shape, g.dtype),))


def _backward_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for shape, wide, positions in _CASES:
        x, *indices = _draw_case(rng, dtype, shape, wide, positions)
        g = draw(rng, selected_shape(shape, np.broadcast_shapes(*wide), positions), dtype, -5, 5)
        found.append(Sample((g, *indices, positions, positions, x.shape)))
    return found


def _backward_reference(
    g: np.ndarray, first: Any, second: Any, third: Any, positions: Any, dims: Any, shape: Any
) -> np.ndarray:
    out = np.zeros(shape, g.dtype)
    indices = [i for i in (first, second, third) if i is not None]
    np.add.at(out, _numpy_index(positions, indices), g)
    return out


@composite(
    "index_several_backward",
    inputs=("g", "first", "second", "third"),
    infer=_backward_infer,
    gradient={
        "g": lambda g, first, second, third, positions, dims: index_several(
            g, first, second, third, positions, dims
        )
    },
    reference=_backward_reference,
    samples=_backward_samples,
    method=False,
    public=False,
    named="index",
    node_name=lambda *_, **__: "index_put",
)
def index_several_backward(
    g: Any, first: Any, second: Any, third: Any, positions: Any, dims: Any, shape: Any
) -> Any:
    """Zeros of ``shape`` with ``g`` added where ``index_several`` read."""
    nothing = g.new_zeros(shape)
    return _put(WRAPPED_INDEX, nothing, g, (first, second, third), positions, dims, True)


def _put(
    wrap: OpDef, input: Any, values: Any, given: Any, positions: Any, dims: Any, accumulate: bool
) -> Any:
    view, flat, start = _together(wrap, input, given, positions, dims)
    made = index_put(view, flat, values, start, len(positions), accumulate)
    rest = [i for i in range(input.ndim) if i not in positions]
    order = [*rest[:start], *positions, *rest[start:]]
    return made.permute(*[order.index(i) for i in range(input.ndim)]).contiguous()


def _put_infer(
    input: Spec, values: Facts, first: Spec, second: Spec, third: Facts, positions: Any, dims: Any,
    accumulate: bool,
) -> Inferred:  # fmt: skip
    return Inferred((None, input.dtype, None, None, None), ((tuple(input.shape), input.dtype),))


def _put_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for shape, wide, positions in _CASES:
        x, *indices = _draw_case(rng, dtype, shape, wide, positions)
        whole = selected_shape(shape, np.broadcast_shapes(*wide), positions)
        for values in (draw(rng, whole, dtype, -5, 5), draw(rng, whole[-1:], dtype, -5, 5)):
            found.append(Sample((x, values, *indices, positions, positions, True)))
        # Which of two values written to one place stays is not defined.
        one = draw(rng, (), dtype, -5, 5)
        found.append(Sample((x, one, *indices, positions, positions, False), name="one value"))
        found.append(Sample((x, 2, *indices, positions, positions, False), name="a number"))
    x, at = draw(rng, (4, 3, 2), dtype, -5, 5), np.array([3, -4, 1])
    values = draw(rng, (3, 2), dtype, -5, 5)
    args = (x, values, at, np.array([0, 2, -1]), None, (0, 1), (0, 1), False)
    return [*found, Sample(args, name="each once")]


def _put_reference(
    x: np.ndarray, values: Any, first: Any, second: Any, third: Any, positions: Any, dims: Any,
    accumulate: bool,
) -> np.ndarray:  # fmt: skip
    out = np.array(x)
    where = _numpy_index(positions, [i for i in (first, second, third) if i is not None])
    if accumulate:
        np.add.at(out, where, values)
    else:
        out[where] = values
    return out


_PUT_AT = WRAPPED_INDEX.part_of("index_put")


@composite(
    "index_several_put",
    inputs=("input", "values", "first", "second", "third"),
    infer=_put_infer,
    reference=_put_reference,
    samples=_put_samples,
    method=False,
    public=False,
    named="index_put",
)
def index_several_put(
    input: Any, values: Any, first: Any, second: Any, third: Any, positions: Any, dims: Any,
    accumulate: bool,
) -> Any:  # fmt: skip
    """``input`` with ``values`` written over (or added to) what ``index_several`` reads.

    A kernel may be given ``input``'s own array as its output; then only those are written.

    Args:
        values: broadcast to what is read; or a number.
        accumulate: add, so that an element named twice gets both; otherwise either may stay.
    """
    return _put(_PUT_AT, input, values, (first, second, third), positions, dims, accumulate)


_backward: Any = index_several_backward
INDEX_SEVERAL, INDEX_SEVERAL_PUT = REGISTRY["index_several"], REGISTRY["index_several_put"]
