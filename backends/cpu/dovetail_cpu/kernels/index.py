"""Elements and rows by index, through flat places wherever the memory is dense.

NumPy's fancy indexing with several index arrays is some times slower than ``take`` and assignment with
one flat index, and so is ``add.at`` on anything but one dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dovetail.backend import KernelTable

__all__ = ["enter"]

Kernel = Callable[..., None]

_KEPT = 1 << 16
"""The most elements of an offset grid that a specialised kernel keeps between calls."""

_WIDE = 256
"""Rows of at least so many elements are added one by one: faster than element by element."""


def _nothing(*_: Any) -> None:
    pass


# --------------------------------------------------------------- flat places


def _grid(shape: tuple[int, ...], strides: tuple[int, ...], dim: int) -> np.ndarray:
    """What the dims other than ``dim`` add to a flat place: size 1 along ``dim``."""
    total = np.zeros((1,) * len(shape), np.int64)
    for i, (n, step) in enumerate(zip(shape, strides, strict=True)):
        if i != dim and n > 1:
            place = [1] * len(shape)
            place[i] = n
            total = total + (np.arange(n) * step).reshape(place)
    return total


_BLOCK = 1 << 15
"""So many places are worked out at a time: few enough to stay in the cache."""


def _along_first(part: np.ndarray, first: int, last: int) -> np.ndarray:
    """What broadcasts along dim 0 as it is; of anything else, the same part of dim 0."""
    return part if part.shape[0] == 1 else part[first:last]


def _blocks(
    where: tuple[int, ...], strides: tuple[int, ...], dim: int
) -> Callable[[np.ndarray], Iterator[tuple[slice, np.ndarray]]]:
    """From an index of shape ``where`` along ``dim`` to places in memory with these strides.

    The function returned goes through the index in parts of dim 0.
    """
    step = strides[dim]
    total = math.prod(where)
    others = total // where[dim]
    kept = _grid(where, strides, dim) if others <= _KEPT else None
    rows = max(1, _BLOCK * where[0] // total)

    def blocks(index: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        grid = _grid(where, strides, dim) if kept is None else kept
        for first in range(0, where[0], rows):
            part = slice(first, first + rows)
            places = index[part] * step if step != 1 else index[part]
            if others > 1:
                places = places + _along_first(grid, first, first + rows)
            yield part, places

    return blocks


def _fancy(index: np.ndarray, dim: int) -> tuple[Any, ...]:
    """NumPy's own index for arrays that are not dense."""
    grid = np.indices(index.shape, sparse=True)
    return (*grid[:dim], index, *grid[dim + 1 :])


def _rows_only(spec: Any, dim: int) -> bool:
    """Whether an index names the same rows everywhere: expanded along every other dim."""
    return all(
        s == 0 or n == 1
        for i, (n, s) in enumerate(zip(spec.shape, spec.strides, strict=True))
        if i != dim
    )


def _vector(index: np.ndarray, dim: int) -> np.ndarray:
    return index[tuple(slice(None) if i == dim else 0 for i in range(index.ndim))]


# -------------------------------------------------------------------- gather


def gather(facts: Any) -> Kernel:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0."""
    source, index = facts.inputs
    dim = facts.attributes["dim"]
    if not index.numel:
        return _nothing
    if source.ndim <= 1:
        return lambda input, index, out: _take(input.reshape(-1), index, 0, out)
    if _rows_only(index, dim) and index.ndim > 1 and not _smaller(index, source, dim):
        return lambda input, index, out: _take(input, _vector(index, dim), dim, out)
    if not source.is_contiguous:
        return lambda input, index, out: np.copyto(out, input[_fancy(index, dim)])
    blocks = _blocks(tuple(index.shape), source.strides, dim)

    def run(input: np.ndarray, index: np.ndarray, out: np.ndarray) -> None:
        flat = input.reshape(-1)
        for part, places in blocks(index):
            flat.take(places, 0, out[part], "clip")

    return run


def _smaller(index: Any, other: Any, dim: int) -> bool:
    pairs = zip(index.shape, other.shape, strict=True)
    return any(n < m and i != dim for i, (n, m) in enumerate(pairs))


def _take(input: np.ndarray, index: np.ndarray, dim: int, out: np.ndarray) -> None:
    # "clip" keeps NumPy from buffering the output; the index has been checked.
    if input.flags.c_contiguous:
        input.take(index, dim, out, "clip")
    else:
        out[...] = input[(slice(None),) * dim + (index,)]


# ------------------------------------------------------- scatter, scatter_add


def scatter(facts: Any) -> Kernel:
    """``out[index[i][j]][j] = src[i][j]`` for dim 0, over a copy of ``input``."""
    put = _scatter_into(facts, _assign)

    def run(input: np.ndarray, index: np.ndarray, src: np.ndarray, out: np.ndarray) -> None:
        if input is not out:
            np.copyto(out, input)
        put(out, index, src)

    return run


def scatter_add(facts: Any) -> Kernel:
    """``out[index[i][j]][j] += src[i][j]`` for dim 0, over a copy of ``input``."""
    put = _scatter_into(facts, _add_flat)

    def run(input: np.ndarray, index: np.ndarray, src: np.ndarray, out: np.ndarray) -> None:
        if input is not out:
            np.copyto(out, input)
        put(out, index, src)

    return _summed_wide(run, out=3) if facts.outputs[0].dtype.itemsize == 2 else run


def _summed_wide(run: Kernel, out: int) -> Kernel:
    """Half precision is summed in float32 and rounded once; integers of that size need not be."""

    def wide(*arrays: np.ndarray) -> None:
        target = arrays[out]
        if not _is_half(target):
            run(*arrays)
            return
        first, index, *rest = [x if x.dtype.kind in "iu" else x.astype(np.float32) for x in arrays]
        total = rest[-1]
        run(first, index, *rest)
        target[...] = total

    return wide


def gather_backward(facts: Any) -> Kernel:
    """``scatter_add`` into zeros."""
    g, index = facts.inputs
    put = _scatter(index, facts.outputs[0], facts.attributes["dim"], _add_flat)

    def run(g: np.ndarray, index: np.ndarray, out: np.ndarray) -> None:
        out.fill(0)
        put(out, index, g)

    return _summed_wide(run, out=2) if facts.outputs[0].dtype.itemsize == 2 else run


def _scatter_into(facts: Any, write: Callable[..., None]) -> Kernel:
    return _scatter(facts.inputs[1], facts.outputs[0], facts.attributes["dim"], write)


def _scatter(index: Any, target: Any, dim: int, write: Callable[..., None]) -> Kernel:
    if not index.numel:
        return _nothing
    where = tuple(index.shape)
    if target.ndim <= 1:

        def run_flat(out: np.ndarray, index: np.ndarray, src: np.ndarray) -> None:
            values = np.atleast_1d(src)[: index.size] if src.ndim else src
            write(out.reshape(-1) if not out.ndim else out, index.reshape(-1), values)

        return run_flat
    if write is _add_flat and _rows_only(index, dim) and not _smaller(index, target, dim):
        return lambda out, index, src: add_rows(out, dim, _vector(index, dim), _cut(src, where))
    if not target.is_contiguous:
        at = np.add.at if write is _add_flat else _assign
        return lambda out, index, src: at(out, _fancy(index, dim), _cut(src, where))
    blocks = _blocks(where, target.strides, dim)

    def run(out: np.ndarray, index: np.ndarray, src: np.ndarray) -> None:
        flat, src = out.reshape(-1), _cut(src, where)
        for part, places in blocks(index):
            write(flat, places, src[part] if src.ndim else src)

    return run


def _cut(src: np.ndarray, where: tuple[int, ...]) -> np.ndarray:
    if not src.ndim or src.shape == where:
        return src
    return src[tuple(slice(0, n) for n in where)]


def _assign(out: np.ndarray, places: Any, src: np.ndarray) -> None:
    out[places] = src


def _add_flat(out: np.ndarray, places: np.ndarray, src: np.ndarray) -> None:
    """Add to places of a one-dimensional array, some of them more than once."""
    np.add.at(out, places.reshape(-1), np.broadcast_to(src, places.shape).reshape(-1))


def _is_half(array: np.ndarray) -> bool:
    return array.dtype.itemsize == 2 and array.dtype.kind not in "iu"


_EXTREMES = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def scatter_reduce(facts: Any) -> Kernel:
    """Products, largest or smallest values of what is scattered to one place."""
    target, index = facts.outputs[0], facts.inputs[1]
    dim, include_self = facts.attributes["dim"], facts.attributes["include_self"]
    ufunc = _EXTREMES[facts.attributes["reduce"]]
    kind = target.dtype.numpy
    if ufunc is np.multiply:
        start: Any = 1
    elif target.dtype.category < 2:
        low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
        start = low if ufunc is np.maximum else high
    else:
        start = -np.inf if ufunc is np.maximum else np.inf

    def at(out: np.ndarray, places: Any, src: np.ndarray) -> None:
        if not include_self:
            out[places] = start
        ufunc.at(out, places, src)

    def run(input: np.ndarray, index: np.ndarray, src: np.ndarray, out: np.ndarray) -> None:
        np.copyto(out, input)
        if not index.size:
            return
        flat, places = np.atleast_1d(out), np.atleast_1d(index)
        at(flat, _fancy(places, dim), _cut(np.atleast_1d(src), places.shape))

    return run


# ---------------------------------------------------------------------- rows


def add_rows(out: np.ndarray, dim: int, index: np.ndarray, source: np.ndarray) -> None:
    """``out[index[k]] += source[k]`` along ``dim``; an index named twice gets both."""
    if not source.size:
        return
    if _is_half(out):
        wide = out.astype(np.float32)
        add_rows(wide, dim, index, source.astype(np.float32))
        out[...] = wide
        return
    if not out.ndim:
        out += source.sum(dtype=out.dtype)
        return
    width = source.size // len(index)
    if width >= _WIDE or not out.flags.c_contiguous:
        rows = np.moveaxis(out, dim, 0)
        for i, row in zip(index.tolist(), np.moveaxis(source, dim, 0), strict=True):
            target = rows[i : i + 1]
            np.add(target, row, target)
        return
    strides = tuple(s // out.itemsize for s in out.strides)
    place = [1] * out.ndim
    place[dim] = -1
    along, grid = (index * strides[dim]).reshape(place), _grid(source.shape, strides, dim)
    flat, rows = out.reshape(-1), max(1, _BLOCK * len(source) // source.size)
    for first in range(0, len(source), rows):
        last = first + rows
        places = _along_first(along, first, last) + _along_first(grid, first, last)
        _add_flat(flat, places, source[first:last])


def index_select(facts: Any) -> Kernel:
    """Rows along a dim."""
    dim = facts.attributes["dim"]
    if not facts.inputs[0].ndim:
        return lambda input, index, out: np.copyto(out, input)
    return lambda input, index, out: _take(input, index.reshape(-1), dim, out)


def index_select_backward(
    g: np.ndarray, index: np.ndarray, out: np.ndarray, *, dim: int, shape: Any
) -> None:
    """``add_rows`` into zeros."""
    out.fill(0)
    add_rows(out, dim, index.reshape(-1), g)


def index_add(
    input: np.ndarray, index: np.ndarray, source: np.ndarray, out: np.ndarray, *,
    dim: int, alpha: Any,
) -> None:  # fmt: skip
    """``add_rows`` over a copy of ``input``."""
    if input is not out:
        np.copyto(out, input)
    if alpha != 1:
        source = source * out.dtype.type(alpha)
    add_rows(out, dim, index.reshape(-1), source)


def index_write(
    input: np.ndarray, index: np.ndarray, source: np.ndarray, out: np.ndarray, *, dim: int
) -> None:
    """``out[index[k]] = source[k]`` along ``dim``, over a copy of ``input``."""
    if input is not out:
        np.copyto(out, input)
    if not out.ndim:
        if index.size:
            out[...] = source
        return
    out[(slice(None),) * dim + (index.reshape(-1),)] = source


# ----------------------------------------------------------------- embedding


def embedding(
    weight: np.ndarray, indices: np.ndarray, out: np.ndarray, *,
    padding_idx: int, scale_grad_by_freq: bool,
) -> None:  # fmt: skip
    """Rows of a table."""
    _take(weight, indices, 0, out)


def embedding_backward(
    g: np.ndarray, indices: np.ndarray, out: np.ndarray, *,
    rows: int, padding_idx: int, scale_grad_by_freq: bool,
) -> None:  # fmt: skip
    """The gradients of the rows that were read, added up."""
    out.fill(0)
    if not indices.size:
        return
    flat, values = indices.reshape(-1), g.reshape(indices.size, -1)
    if padding_idx >= 0:
        keep = np.flatnonzero(flat != padding_idx)
        if keep.size < flat.size:
            flat, values = flat[keep], values[keep]
    if scale_grad_by_freq and flat.size:
        counts = np.bincount(flat, minlength=rows)
        values = values.astype(np.float32) if values.itemsize == 2 else values
        values = values / counts[flat].astype(values.dtype)[:, None]
    if flat.size:
        add_rows(out, 0, flat, values)


def one_hot(input: np.ndarray, out: np.ndarray, *, num_classes: int) -> None:
    """1 at the class, 0 elsewhere."""
    out.fill(0)
    if input.size:
        out.reshape(-1)[np.arange(input.size) * num_classes + input.reshape(-1)] = 1


# ---------------------------------------------------- index, index_put, nonzero


def index(facts: Any) -> Kernel:
    """Rows of ``count`` dims that count as one."""
    spec = facts.inputs[0]
    dim, count = facts.attributes["dim"], facts.attributes["count"]
    named = tuple(spec.shape[dim : dim + count])
    joined = (*spec.shape[:dim], math.prod(named), *spec.shape[dim + count :])
    whole = (slice(None),) * dim
    if spec.is_contiguous:
        return lambda input, index, out: _take(input.reshape(joined), index, dim, out)
    if count == 1:
        return lambda input, index, out: np.copyto(out, input[(*whole, index)])
    return lambda input, index, out: np.copyto(
        out, input[(*whole, *np.unravel_index(index, named))]
    )


def index_put(facts: Any) -> Kernel:
    """``values`` written over, or added to, rows of ``count`` dims that count as one."""
    spec, where = facts.inputs[:2]
    dim, count, accumulate = (facts.attributes[n] for n in ("dim", "count", "accumulate"))
    named = tuple(spec.shape[dim : dim + count])
    before, after = tuple(spec.shape[:dim]), tuple(spec.shape[dim + count :])
    joined = (*before, math.prod(named), *after)
    wide = (*before, *where.shape, *after)
    rows = (*before, where.numel, *after)
    whole = (slice(None),) * dim

    def write(out: np.ndarray, index: np.ndarray, values: np.ndarray) -> None:
        if count == 1:
            out[(*whole, index)] = values
        elif out.flags.c_contiguous:
            out.reshape(joined)[(*whole, index)] = values
        else:
            out[(*whole, *np.unravel_index(index, named))] = values

    def add(out: np.ndarray, index: np.ndarray, values: np.ndarray) -> None:
        spread = np.broadcast_to(values, wide).reshape(rows)
        if count == 1 or out.flags.c_contiguous:
            add_rows(out if count == 1 else out.reshape(joined), dim, index.reshape(-1), spread)
        else:
            dense = np.ascontiguousarray(out)
            add_rows(dense.reshape(joined), dim, index.reshape(-1), spread)
            out[...] = dense

    put = add if accumulate else write

    def run(input: np.ndarray, index: np.ndarray, values: np.ndarray, out: np.ndarray) -> None:
        if input is not out:
            np.copyto(out, input)
        if index.size:
            put(out, index, values)

    return run


def nonzero(input: np.ndarray, out: np.ndarray, *, count: int) -> None:
    """The places of elements that are not zero, in row-major order."""
    if not count or not input.ndim:
        return
    flat = np.flatnonzero(input if input.dtype.kind == "b" else input != 0)
    if input.ndim == 1:
        out[:, 0] = flat
        return
    for i, places in enumerate(np.unravel_index(flat, input.shape)):
        out[:, i] = places


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.update(
        {
            "gather": gather, "scatter": scatter, "scatter_add": scatter_add,
            "gather_backward": gather_backward, "index": index, "index_put": index_put,
            "index_select": index_select, "scatter_reduce": scatter_reduce,
        },
        specialize=True,
    )  # fmt: skip
    table.update(
        {
            "index_select_backward": index_select_backward, "index_add": index_add,
            "index_copy": index_write, "index_fill": index_write, "embedding": embedding,
            "embedding_backward": embedding_backward, "one_hot": one_hot, "nonzero": nonzero,
        }
    )  # fmt: skip
