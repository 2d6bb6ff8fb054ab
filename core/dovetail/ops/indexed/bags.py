"""Rows of a table summed bag by bag, where bags are of any length, and the table's gradient."""

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

__all__: list[str] = []


def _bags_of(indices: Any, starts: Any) -> Any:
    """(N): the bag of each index."""
    places = dovetail.arange(indices._spec.numel, device=indices.device)
    return ops.searchsorted(starts, places, right=True) - 1


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
    total = rows.new_zeros((starts.shape[0] - 1, weight.shape[1]))
    total = total.index_add(0, _bags_of(indices, starts), rows)
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
    share = call(INDEX_SELECT, (share, _bags_of(indices, starts)), (0,))
    return call(EMBEDDING_BACKWARD, (share, indices), (rows, -1, False))
