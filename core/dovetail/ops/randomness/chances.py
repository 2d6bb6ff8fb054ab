"""What uniform numbers choose by chances: the ends of ``bernoulli`` and ``multinomial``.

Chances are looked at here, or by a device's kernel, which tells of wrong ones where values are next
asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.index_checks import true_anywhere
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.spec import Spec

__all__ = ["exponential"]

_NO_CHANCE = (
    "Expected p_in >= 0 && p_in <= 1 to be true, but got false. (bernoulli: every element of p "
    "must be a probability)"
)
_NO_WEIGHT = "probability tensor contains either `inf`, `nan` or element < 0"
_NOTHING = "invalid multinomial distribution (sum of probabilities <= 0)"

_REAL = (d.float32, d.float64)


def exponential(u: Any) -> Any:
    """Exponential numbers of rate 1 from uniform ones, never 0: ``max(-log(1 - u), eps / 2)``."""
    return -(-u).log1p().clamp_max(-d.finfo(u._spec.dtype).eps / 2)


def _check(x: Any, flags: Any, sentence: str) -> None:
    if x._spec.device.type != "meta" and true_anywhere(flags):
        raise RuntimeError(sentence)


def _check_weights(weights: Any) -> None:
    _check(weights, (weights.ge(0) & weights.lt(float("inf"))).logical_not(), _NO_WEIGHT)
    _check(weights, weights.sum(-1).eq(0), _NOTHING)


def _chosen_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((draw(rng, shape, dtype, 0, 1), draw(rng, shape, d.float32, 0, 1)), {"kind": kind})
        for shape, kind in (((7,), dtype), ((3, 5), d.int64), ((), dtype), ((0, 3), dtype))
    ]


@composite(
    "bernoulli_of",
    inputs=("chances", "uniform"),
    infer=lambda chances, uniform, kind: Inferred((None, None), ((tuple(uniform.shape), kind),)),
    accepts=d.FLOATING,
    differentiable=(),
    method=False,
    public=False,
    reference=lambda chances, uniform, **_: (uniform < chances).astype(np.float64),
    samples=_chosen_samples,
    tolerance=Tolerance(0),
)
def bernoulli_of(chances: Any, uniform: Any, *, kind: Any) -> Any:
    """1 where a uniform number, float32, is below the chance, else 0.

    Raises:
        RuntimeError: what is no chance.
    """
    _check(chances, (chances.ge(0) & chances.le(1)).logical_not(), _NO_CHANCE)
    return uniform.lt(chances).to(kind)


def _weights(rng: np.random.Generator, dtype: d.dtype, replaces: bool) -> list[Sample]:
    made = []
    for shape, count in (((5,), 3), ((4, 33), 2), ((2, 7), 7), ((1,), 1)):
        weights = draw(rng, shape, dtype, 0.1, 3)
        if shape[-1] > 2:
            weights[..., 1] = 0
        drawn = (*shape[:-1], count) if replaces else shape
        uniform = draw(rng, drawn, dtype, 0, 0.99)
        given = (np.cumsum(weights, -1).astype(dtype.numpy),) if replaces else ()
        options = {} if replaces else {"count": count}
        made.append(Sample((weights, *given, uniform), options))
    return made


def _ordered_reference(weights: Any, uniform: Any, *, count: int) -> Any:
    keys = weights / np.maximum(-np.log1p(-uniform), 1e-30)
    return np.argsort(-keys, axis=-1, kind="stable")[..., :count]


@composite(
    "multinomial_ordered",
    inputs=("weights", "uniform"),
    infer=lambda weights, uniform, count: Inferred(
        (None, None), (((*weights.shape[:-1], count), d.int64),)
    ),
    accepts=_REAL,
    differentiable=(),
    method=False,
    public=False,
    reference=_ordered_reference,
    samples=lambda rng, dtype: _weights(rng, dtype, replaces=False),
    tolerance=Tolerance(0),
)
def multinomial_ordered(weights: Any, uniform: Any, *, count: int) -> Any:
    """The first ``count`` of each row by weight over exponential number, all different.

    Raises:
        RuntimeError: weights that are none, or a row of zeros.
    """
    _check_weights(weights)
    return (weights / exponential(uniform)).topk(count, -1)[1]


def _infer_reached(weights: Spec, edges: Spec, uniform: Spec) -> Inferred:
    return Inferred((None,) * 3, ((tuple(uniform.shape), d.int64),))


def _reached_reference(weights: Any, edges: Any, uniform: Any) -> Any:
    goal = uniform * edges[..., -1:]
    return (edges[..., None, :] <= goal[..., None]).sum(-1)


@composite(
    "multinomial_reached",
    inputs=("weights", "edges", "uniform"),
    infer=_infer_reached,
    accepts=_REAL,
    differentiable=(),
    method=False,
    public=False,
    reference=_reached_reference,
    samples=lambda rng, dtype: _weights(rng, dtype, replaces=True),
    tolerance=Tolerance(0),
)
def multinomial_reached(weights: Any, edges: Any, uniform: Any) -> Any:
    """For each uniform number, how many of the running sums ``edges`` it has reached.

    Raises:
        RuntimeError: weights that are none, or a row of zeros.
    """
    from dovetail.ops import searchsorted

    _check_weights(weights)
    goal = uniform * edges.narrow(-1, edges.shape[-1] - 1, 1)
    return searchsorted(edges, goal, right=True)
