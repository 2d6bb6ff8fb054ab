"""Bags of rows of a table, of any length: bounds, sums and their gradient, largest elements."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import dovetail
import dovetail.dtypes as d
from dovetail import ops
from dovetail.backend.sentences import IN_SELF
from dovetail.dispatch import call
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.embedding import EMBEDDING_BACKWARD, OF_BAGS
from dovetail.ops.indexed.index_checks import check_bounds
from dovetail.ops.indexed.rows import INDEX_SELECT
from dovetail.ops.schema import Inferred, Sample, Tolerance

__all__ = ["bags_of", "summed"]


def bags_of(indices: Any, starts: Any) -> Any:
    """The bag of each index.

    Args:
        indices: (N).
        starts: (B + 1) of int64, where bags begin, from 0 on, and where the last one ends.

    Returns:
        (N) of int64; B of what is behind the last bag.
    """
    places = dovetail.arange(indices._spec.numel, device=indices.device)
    return ops.searchsorted(starts, places, right=True) - 1


def summed(rows: Any, bags: Any, count: int) -> Any:
    """(count, *): ``rows`` (N, *) added up by ``bags`` (N), which :func:`bags_of` found."""
    # What is behind the last bag makes one more, which is left away.
    total = rows.new_zeros((count + 1, *rows.shape[1:]))
    return total.index_add(0, bags, rows)[:-1]


# ------------------------------------------------------------- where bags begin


def _bounds_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases = (([0, 3, 3, 7], 9), ([0, 0, 9], 9), ([0], 4), ([0, 0], 0))
    return [
        Sample((np.array(offsets), length, has_last))
        for offsets, length in cases
        for has_last in (False, True)
    ]


@composite(
    "bag_bounds",
    inputs=("offsets",),
    kind="index",
    infer=lambda offsets, length, has_last: Inferred(
        (None,), (((offsets.shape[0] + (not has_last),), d.int64),)
    ),
    accepts=(d.int64,),
    differentiable=(),
    method=False,
    public=False,
    named="embedding_bag",
    reference=lambda offsets, length, has_last: offsets if has_last else np.append(offsets, length),
    samples=_bounds_samples,
)
def bag_bounds(offsets: Any, length: int, has_last: bool) -> Any:
    """Where bags of ``length`` indices begin, and the last one ends: (B + 1) of int64.

    ``offsets`` is the same, without the end unless ``has_last``. It must begin with 0, not fall and
    not pass ``length``. Nobody waits to see that: an override reports it, and here the result is
    brought to that form, so that whoever reads by it stays inside of the indices.
    """
    first, end = offsets.new_zeros((1,)), offsets.new_full((0 if has_last else 1,), length)
    return ops.cat((first, offsets[1:], end)).clamp(0, length).cummax(0)[0]


# ------------------------------------------------------------------------- sums


def _counted(made: Any, starts: Any) -> Any:
    counts = (starts[1:] - starts[:-1]).clamp(min=1)
    return made / counts.to(made.dtype).unsqueeze(1)


def _sum_reference(weight: Any, indices: Any, starts: Any, is_mean: bool = False) -> Any:
    made = [
        weight[indices[a:b]].sum(0) / (max(b - a, 1) if is_mean else 1)
        for a, b in itertools.pairwise(starts)
    ]
    return np.stack(made)


def _backward_reference(g: Any, indices: Any, starts: Any, rows: int, is_mean: bool = False) -> Any:
    made = np.zeros((rows, g.shape[1]))
    for i, (a, b) in enumerate(itertools.pairwise(starts)):
        np.add.at(made, indices[a:b], g[i] / (b - a if is_mean else 1))
    return made


_STARTS = (np.array([0, 3, 3, 7]), np.array([0, 0, 1, 9]), np.array([0, 5]))


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((
            draw(rng, (5, 6), dtype, -5, 5), np.asarray(rng.integers(0, 5, starts[-1])), starts,
            is_mean,
        ))
        for starts in _STARTS
        for is_mean in (False, True)
    ]  # fmt: skip


def _backward_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((
            draw(rng, (len(starts) - 1, 6), dtype, -5, 5),
            np.asarray(rng.integers(0, 5, starts[-1])), starts, 5, is_mean,
        ))
        for starts in _STARTS
        for is_mean in (False, True)
    ]  # fmt: skip


def _gradient(g: Any, indices: Any, starts: Any, specs: Any, is_mean: bool) -> Any:
    return ops.bag_sum_backward(g, indices, starts, specs[0].shape[0], is_mean)


@composite(
    "bag_sum",
    inputs=("weight", "indices", "starts"),
    kind="index",
    infer=lambda weight, indices, starts, **_: Inferred(
        (None, d.int64, d.int64), (((starts.shape[0] - 1, weight.shape[1]), weight.dtype),)
    ),
    gradient={"weight": _gradient},
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    named="embedding_bag",
    reference=_sum_reference,
    samples=_samples,
    tolerance=Tolerance(length=lambda weight, indices, *_: indices.shape[0], against="inputs"),
)
def bag_sum(weight: Any, indices: Any, starts: Any, is_mean: bool = False) -> Any:
    """Rows of ``weight`` (V, D) by ``indices`` (N), summed for each of the bags that begin and end
    at ``starts`` (B + 1), which do not fall: (B, D). ``is_mean``: divided by how many there are."""
    check_bounds(indices, weight.shape[0], IN_SELF)
    rows = call(OF_BAGS, (weight, indices), (-1, False))
    total = summed(rows, bags_of(indices, starts), starts.shape[0] - 1)
    return _counted(total, starts) if is_mean else total


def _second(g: Any, indices: Any, starts: Any, rows: int, is_mean: bool) -> Any:
    return ops.bag_sum(g, indices, starts, is_mean)


@composite(
    "bag_sum_backward",
    inputs=("g", "indices", "starts"),
    kind="index",
    infer=lambda g, indices, starts, rows, is_mean: Inferred(
        (None, d.int64, d.int64), (((rows, g.shape[1]), g.dtype),)
    ),
    gradient={"g": _second},
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    named="embedding_bag",
    reference=_backward_reference,
    samples=_backward_samples,
    tolerance=Tolerance(length=lambda g, indices, *_: indices.shape[0], against="inputs"),
)
def bag_sum_backward(g: Any, indices: Any, starts: Any, rows: int, is_mean: bool = False) -> Any:
    """The gradient of a table of ``rows`` rows, given that of :func:`bag_sum`."""
    share = _counted(g, starts) if is_mean else g
    share = ops.cat((share, share.new_zeros((1, share.shape[1]))))
    share = call(INDEX_SELECT, (share, bags_of(indices, starts)), (0,))
    return call(EMBEDDING_BACKWARD, (share, indices), (rows, -1, False))


# ------------------------------------------------------------- largest elements


def _largest_inputs(
    weight: Any, indices: Any, starts: Any, padding_idx: int = -1
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    check_bounds(indices, weight._spec.shape[0], IN_SELF)
    return (weight, indices, starts), (padding_idx,)


def _largest_reference(weight: Any, indices: Any, starts: Any, padding_idx: int = -1) -> Any:
    made = np.full((len(starts) - 1, weight.shape[1]), -1)
    for i, (a, b) in enumerate(itertools.pairwise(starts)):
        bag = indices[a:b][indices[a:b] != padding_idx]
        if bag.size:
            made[i] = bag[weight[bag].argmax(0)]
    return made


def _largest_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    # Few values, so that there are ties.
    return [
        Sample((
            draw(rng, (5, 6), dtype, 0, 3).round(), np.asarray(rng.integers(0, 5, starts[-1])),
            starts, padding_idx,
        ))
        for starts in _STARTS
        for padding_idx in (-1, 2)
    ]  # fmt: skip


@composite(
    "bag_largest",
    inputs=("weight", "indices", "starts"),
    kind="index",
    infer=lambda weight, indices, starts, **_: Inferred(
        (None, d.int64, d.int64), (((starts.shape[0] - 1, weight.shape[1]), d.int64),)
    ),
    prepare=_largest_inputs,
    accepts=d.FLOATING,
    differentiable=(),
    method=False,
    public=False,
    named="embedding_bag",
    reference=_largest_reference,
    samples=_largest_samples,
)
def bag_largest(weight: Any, indices: Any, starts: Any, padding_idx: int = -1) -> Any:
    """In which row of ``weight`` (V, D) the largest element of each bag is, in each column, the
    first of equal ones in the order of ``indices`` (N): (B, D) of int64; -1 of a bag without rows.
    NaN is the largest; indices of ``padding_idx`` count for nothing."""
    count, columns = starts.shape[0] - 1, weight.shape[1]
    if not indices._spec.numel or not columns or not count:
        return indices.new_full((count, columns), -1, dtype=d.int64)
    bags = bags_of(indices, starts)
    if padding_idx >= 0:
        bags = ops.where(indices == padding_idx, count, bags)
    # Sorted by element, then by bag: a bag's first is its largest.
    order = call(OF_BAGS, (weight, indices), (-1, False)).sort(dim=0, descending=True, stable=True)[
        1
    ]
    own = bags.unsqueeze(1).expand(order.shape).gather(0, order)
    order = order.gather(0, own.sort(dim=0, stable=True)[1])
    sizes = bags.new_zeros((count + 1,)).index_add(0, bags, bags.new_ones((1,)).expand(bags.shape))
    first = (sizes.cumsum(0) - sizes)[:-1].clamp(max=indices._spec.numel - 1)
    rows = indices.index_select(0, order.index_select(0, first).reshape(-1)).to(d.int64)
    return rows.reshape(count, columns).masked_fill((sizes[:-1] == 0).unsqueeze(1), -1)
