"""Whole rows by index: read, added to, written over; embedding tables and one-hot vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.conversion import as_float32, convert
from dovetail_cpu.kernels.places import (
    BLOCK,
    add_flat,
    along_first,
    at,
    grid_of,
    is_half,
    take,
)

__all__ = ["add_rows", "enter"]

Kernel = Callable[..., None]

_WIDE = 256
"""Rows of at least so many elements are added one by one: faster than element by element."""


def add_rows(out: np.ndarray, dim: int, index: np.ndarray, source: np.ndarray) -> None:
    """``out[index[k]] += source[k]`` along ``dim``; an index named twice gets both."""
    if not source.size:
        return
    if is_half(out):
        wide = as_float32(out)
        add_rows(wide, dim, index, as_float32(source))
        convert(wide, out)
        return
    if not out.ndim:
        out += source.sum(dtype=out.dtype)
        return
    width = source.size // len(index)
    if width >= _WIDE or not out.flags.c_contiguous:
        targets = np.moveaxis(out, dim, 0)
        for i, row in zip(index.tolist(), np.moveaxis(source, dim, 0), strict=True):
            target = targets[i : i + 1]
            np.add(target, row, target)
        return
    strides = tuple(s // out.itemsize for s in out.strides)
    place = [1] * out.ndim
    place[dim] = -1
    along, grid = (index * strides[dim]).reshape(place), grid_of(source.shape, strides, dim)
    flat, step = out.reshape(-1), max(1, BLOCK * len(source) // source.size)
    for first in range(0, len(source), step):
        last = first + step
        places = along_first(along, first, last) + along_first(grid, first, last)
        add_flat(flat, places, source[first:last])


def index_select(facts: Any) -> Kernel:
    """Rows along a dim."""
    dim = facts.attributes["dim"]
    if not facts.inputs[0].ndim:
        return lambda input, index, out: np.copyto(out, input)
    return lambda input, index, out: take(input, index.reshape(-1), dim, out)


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
    out[at((slice(None),) * dim, index.reshape(-1))] = source


def embedding(
    weight: np.ndarray, indices: np.ndarray, out: np.ndarray, *,
    padding_idx: int, scale_grad_by_freq: bool,
) -> None:  # fmt: skip
    """Rows of a table."""
    take(weight, indices, 0, out)


_GATHERED = 1 << 17
"""So many elements of a table are gathered at a time: few enough to be summed in a core's cache."""


def embedding_sum(
    weight: np.ndarray, indices: np.ndarray, out: np.ndarray, *,
    divisor: float, scale_grad_by_freq: bool,
) -> None:  # fmt: skip
    """Rows of a table, summed bag by bag by a product with ones: BLAS is the quickest sum of rows
    that lie in a cache."""
    if not out.size:
        return
    (bags, length), width = indices.shape, weight.shape[1]
    step = max(1, _GATHERED // max(length * width, 1))
    ones = np.ones((1, length), weight.dtype)
    rows = np.empty((min(step, bags) * length, width), weight.dtype)
    for first in range(0, bags, step):
        part = indices[first : first + step]
        found = rows[: part.size]
        take(weight, part.reshape(-1), 0, found)
        np.matmul(ones, found.reshape(len(part), length, width), out[first : first + step, None])
    if divisor != 1:
        np.true_divide(out, divisor, out)


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
        values = as_float32(values) if values.itemsize == 2 else values
        values = values / counts[flat].astype(values.dtype)[:, None]
    if flat.size:
        add_rows(out, 0, flat, values)


def bag_largest(
    weight: np.ndarray, indices: np.ndarray, starts: np.ndarray, out: np.ndarray, *,
    padding_idx: int,
) -> None:  # fmt: skip
    """Which row of a table has the largest element of each bag, the first of equal ones."""
    out.fill(-1)
    bags = np.repeat(np.arange(len(out)), np.diff(starts))
    used = indices[: len(bags)]
    if padding_idx >= 0:
        keep = np.flatnonzero(used != padding_idx)
        bags, used = bags[keep], used[keep]
    if not used.size or not out.size:
        return
    begins = np.flatnonzero(np.diff(bags, prepend=-1))
    rows = weight[used]
    most = np.maximum.reduceat(rows, begins, 0)
    is_most = rows == np.repeat(most, np.diff(begins, append=len(used)), 0)
    is_most |= rows != rows  # NaN is the largest
    place = np.where(is_most, np.arange(len(used))[:, None], len(used))
    out[bags[begins]] = used[np.minimum.reduceat(place, begins, 0)]


def one_hot(input: np.ndarray, out: np.ndarray, *, num_classes: int) -> None:
    """1 at the class, 0 elsewhere."""
    out.fill(0)
    if input.size:
        out.reshape(-1)[np.arange(input.size) * num_classes + input.reshape(-1)] = 1


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.add("index_select", index_select, specialize=True)
    table.update(
        {
            "index_select_backward": index_select_backward, "index_add": index_add,
            "index_copy": index_write, "index_fill": index_write, "embedding": embedding,
            "embedding_backward": embedding_backward, "one_hot": one_hot,
        }
    )  # fmt: skip
    table.add("embedding_sum", embedding_sum, dtypes=(float32, float64))
    table.add("bag_largest", bag_largest, dtypes=(float32, float64))
