"""Elements by index, through flat places wherever the memory is dense.

NumPy's fancy indexing with several index arrays takes several times as long as ``take`` and
assignment with one flat index, and so does ``add.at`` on anything but one dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_cpu.kernels.conversion import as_float32, convert
from dovetail_cpu.kernels.places import add_flat, at, blocks_of, fancy, is_half, take
from dovetail_cpu.kernels.rows import add_rows

__all__ = ["enter"]

Kernel = Callable[..., None]


def _nothing(*_: Any) -> None:
    pass


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
        return lambda input, index, out: take(input.reshape(-1), index, 0, out)
    if _rows_only(index, dim) and index.ndim > 1 and not _smaller(index, source, dim):
        return lambda input, index, out: take(input, _vector(index, dim), dim, out)
    if not source.is_contiguous:
        return lambda input, index, out: np.copyto(out, input[fancy(index, dim)])
    blocks = blocks_of(tuple(index.shape), source.strides, dim)

    def run(input: np.ndarray, index: np.ndarray, out: np.ndarray) -> None:
        flat = input.reshape(-1)
        for part, places in blocks(index):
            flat.take(places, 0, out[part], "clip")

    return run


def _smaller(index: Any, other: Any, dim: int) -> bool:
    pairs = zip(index.shape, other.shape, strict=True)
    return any(n < m and i != dim for i, (n, m) in enumerate(pairs))


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
    put = _scatter_into(facts, add_flat)

    def run(input: np.ndarray, index: np.ndarray, src: np.ndarray, out: np.ndarray) -> None:
        if input is not out:
            np.copyto(out, input)
        put(out, index, src)

    return _summed_wide(run, out=3) if facts.outputs[0].dtype.itemsize == 2 else run


def _summed_wide(run: Kernel, out: int) -> Kernel:
    """Half precision is summed in float32 and rounded once; integers of that size need not be."""

    def wide(*arrays: np.ndarray) -> None:
        target = arrays[out]
        if not is_half(target):
            run(*arrays)
            return
        first, index, *rest = [x if x.dtype.kind in "iu" else as_float32(x) for x in arrays]
        total = rest[-1]
        run(first, index, *rest)
        convert(total, target)

    return wide


def gather_backward(facts: Any) -> Kernel:
    """``scatter_add`` into zeros."""
    index = facts.inputs[1]
    put = _scatter(index, facts.outputs[0], facts.attributes["dim"], add_flat)

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
    if write is add_flat and _rows_only(index, dim) and not _smaller(index, target, dim):
        return lambda out, index, src: add_rows(out, dim, _vector(index, dim), _cut(src, where))
    if not target.is_contiguous:
        at = np.add.at if write is add_flat else _assign
        return lambda out, index, src: at(out, fancy(index, dim), _cut(src, where))
    blocks = blocks_of(where, target.strides, dim)

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


_EXTREMES = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def scatter_reduce(facts: Any) -> Kernel:
    """Products, largest or smallest values of what is scattered to one place."""
    target = facts.outputs[0]
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
        at(flat, fancy(places, dim), _cut(np.atleast_1d(src), places.shape))

    return run


# ---------------------------------------------------- index, index_put, nonzero


def index(facts: Any) -> Kernel:
    """Rows of ``count`` dims that count as one."""
    spec = facts.inputs[0]
    dim, count = facts.attributes["dim"], facts.attributes["count"]
    named = tuple(spec.shape[dim : dim + count])
    joined = (*spec.shape[:dim], math.prod(named), *spec.shape[dim + count :])
    whole = (slice(None),) * dim
    if spec.is_contiguous:
        return lambda input, index, out: take(input.reshape(joined), index, dim, out)
    if count == 1:
        return lambda input, index, out: np.copyto(out, input[at(whole, index)])
    return lambda input, index, out: np.copyto(
        out, input[at(whole, *np.unravel_index(index, named))]
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
            out[at(whole, index)] = values
        elif out.flags.c_contiguous:
            out.reshape(joined)[at(whole, index)] = values
        else:
            out[at(whole, *np.unravel_index(index, named))] = values

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
            "gather": gather, "gather_backward": gather_backward, "scatter": scatter,
            "scatter_add": scatter_add, "scatter_reduce": scatter_reduce, "index": index,
        },
        specialize=True,
    )  # fmt: skip
    table.add("index_put", index_put, specialize=True, in_place=True)
    table.add("nonzero", nonzero)
