"""Second derivatives: the gradient of the gradient against differences of differences.

With ``G(x, v)`` the gradient of ``Re sum(conj(v) f(x))`` and random ``u``, backward of
``Re sum(conj(u) G)`` must give its slopes with respect to the inputs, and ``df/dx u`` for ``v``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.ops.schema import OpDef
from dovetail_conformance.calls import host, quietly
from dovetail_conformance.derivatives import (
    Problem,
    Slope,
    differentiable_operators,
    inner,
    mixed_slope,
    slope,
)
from dovetail_conformance.kept import kept
from dovetail_conformance.layouts import place
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.slopes import (
    CONSTANT,
    Expected,
    allowed_error,
    chosen,
    differentiated,
    expected_of,
    placed,
)
from dovetail_conformance.target import Target

__all__ = ["cases"]

MOST_SAMPLES = 3
MOST_ELEMENTS = 3
MOST_SIZE = 130


def cases(target: Target) -> Iterator[Case]:
    """Every operator with a gradient, in the widest dtype of the device."""
    dtype = target.widest()
    for op in differentiable_operators():
        if dtype in op.accepts and _samples(op):
            yield Case(3, "double", op.name, dtype.name, "", functools.partial(_double, op, dtype))


def _samples(op: OpDef) -> list[int]:
    """Numbers of the smallest of the chosen samples."""
    sizes = []
    constant = CONSTANT.get(op.name, ())
    for i, (_, sample) in enumerate(chosen(op)):
        problem = Problem(op, sample)
        size = sum(x.size for x in problem.leaves)
        varies = any(name not in constant for name in problem.names)
        if varies and 0 < size <= MOST_SIZE:
            sizes.append((size, i))
    return sorted(i for _, i in sorted(sizes)[-MOST_SAMPLES:])


@dataclass(frozen=True)
class Second:
    """The slopes of the gradient's slope along ``us``.

    Attributes:
        us: per leaf, the direction.
        slopes: (leaf, name, direction, slope or None where there is none).
        tangents: per differentiated output, ``df/dx u`` element by element, NaN where there is no
            derivative.
    """

    us: tuple[np.ndarray, ...]
    slopes: tuple[tuple[int, str, np.ndarray, Slope | None], ...]
    tangents: tuple[np.ndarray, ...]


@functools.lru_cache(maxsize=16)
@kept
def _second(name: str, index: int, positions: tuple[int, ...], wanted: tuple[int, ...]) -> Second:
    expected = expected_of(name, index, False, "mixed", positions)
    with quietly():
        return _slopes_of(expected, positions, wanted)


def _slopes_of(expected: Expected, positions: tuple[int, ...], wanted: tuple[int, ...]) -> Second:
    problem = expected.problem
    rng = np.random.default_rng(13)
    us = tuple(
        rng.uniform(0.25, 1, x.shape) * rng.choice([-1, 1], x.shape) * (i in wanted)
        for i, x in enumerate(problem.leaves)
    )
    us = tuple(np.where(np.isfinite(x), u, 0) for u, x in zip(us, problem.leaves, strict=True))
    us = tuple(u.astype(np.float32).astype(np.float64) for u in us)
    moves = _Moves(problem, problem.loss(positions, expected.vectors), us)
    slopes = []
    for leaf in wanted:
        for what, e in problem.directions(leaf, rng, MOST_ELEMENTS):
            along = functools.partial(moves.loss_at, leaf, e)
            is_finite = np.isfinite(problem.leaves[leaf][e != 0]).all()
            slopes.append((leaf, what, e, mixed_slope(along) if is_finite else None))
    return Second(us, tuple(slopes), tuple(_tangent(problem, j, us) for j in positions))


class _Moves:
    """A loss where all leaves are moved along ``us`` and one of them along a direction besides.

    What is moved along ``us`` alone is the same for every direction.
    """

    def __init__(self, problem: Problem, loss: Any, us: Sequence[np.ndarray]) -> None:
        self.problem = problem
        self.loss = loss
        self.us = us
        self._moved: dict[float, list[np.ndarray]] = {}
        self._losses: dict[float, float] = {}

    def loss_at(self, leaf: int, e: np.ndarray, s: float, t: float) -> float:
        """The loss at ``s`` along ``us`` and ``t`` along ``e``."""
        if s not in self._moved:
            self._moved[s] = [x + s * u for x, u in zip(self.problem.leaves, self.us, strict=True)]
        if t:
            moved = list(self._moved[s])
            moved[leaf] = moved[leaf] + t * e
            return float(self.loss(moved))
        if s not in self._losses:
            self._losses[s] = float(self.loss(self._moved[s]))
        return self._losses[s]


def _tangent(problem: Problem, position: int, us: Sequence[np.ndarray]) -> np.ndarray:
    start = problem.value(problem.leaves)[position]
    steps: dict[float, list[float]] = {}

    def at(t: float, place: int) -> float:
        if t not in steps:
            moved = [x + t * u for x, u in zip(problem.leaves, us, strict=True)]
            steps[t] = (problem.value(moved)[position] - start).real.reshape(-1).tolist()
        return steps[t][place]

    made = np.full(start.size, math.nan)
    for place_ in range(start.size):
        found = slope(lambda t, p=place_: at(t, p))  # type: ignore[misc]
        made[place_] = math.nan if found is None else found.value
    return made.reshape(start.shape)


def _double(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    for index in _samples(op):
        name, sample = chosen(op)[index]
        shapes = [list(x.shape) for x in Problem(op, sample).leaves]
        with trial.attempt(layout="mixed", sample=name, shape=shapes):
            _ask(op, dtype, index, trial)


def _ask(op: OpDef, dtype: d.dtype, index: int, trial: Trial) -> None:
    problem = Problem(op, chosen(op)[index][1])
    what = f"{op.name}, second derivative, {dtype}, shapes {problem.shapes}"
    there = placed(problem, dtype, "mixed", trial.device)
    assert op.function is not None
    outs = {
        j: o
        for j, o in differentiated(op, op.function(*there.args, **there.kwargs)).items()
        if o.requires_grad and not o.dtype.is_complex
    }
    if not outs:
        return
    expected = expected_of(op.name, index, False, "mixed", tuple(outs))
    vectors = [
        place(v.astype(dtype.numpy), "mixed", trial.device)[0].requires_grad_()
        for v in expected.vectors
    ]
    constant = CONSTANT.get(op.name, ())
    wanted = tuple(i for i, n in enumerate(problem.names) if n not in constant)
    first = dt.autograd.grad(
        list(outs.values()), [there.leaves[i] for i in wanted], vectors, create_graph=True,
        allow_unused=True,
    )  # fmt: skip
    second = _second(op.name, index, tuple(outs), wanted)
    total = None
    for i, g in zip(wanted, first, strict=True):
        if g is not None and g.requires_grad:
            u = dt.tensor(second.us[i].astype(dtype.numpy), device=trial.device)
            part = (g * u).sum() if np.all(second.us[i]) else (g[u.ne(0)] * u[u.ne(0)]).sum()
            total = part if total is None else total + part
    sought = [*(there.leaves[i] for i in wanted), *vectors]
    found: Sequence[Any] = [None] * len(sought)
    if total is not None:
        found = dt.autograd.grad(total, sought, allow_unused=True)
    grads = dict(zip(wanted, found, strict=False))
    _judge(trial, op, dtype, problem, second, grads, what)
    _judge_tangents(trial, op, dtype, problem, second, found[len(wanted) :], what)


def _judge(
    trial: Trial, op: OpDef, dtype: d.dtype, problem: Problem, second: Second,
    grads: dict[int, Any], what: str,
) -> None:  # fmt: skip
    sizes = [abs(s.value) for _, n, _, s in second.slopes if s and n[:3] != "all"]
    largest = max(1.0, *sizes) if sizes else 1.0
    for leaf, name, e, found in second.slopes:
        if found is None:
            continue
        size = max(largest, abs(found.value))
        g = None if grads[leaf] is None else host(grads[leaf]).astype(np.float64)
        came = 0.0 if g is None else inner(g[e != 0], e[e != 0])
        rounding = allowed_error(op, dtype, size, found, e, problem.sample.args)
        allowed = rounding + 1e-6 * size * math.sqrt(np.count_nonzero(e))
        ratio = abs(came - found.value) / allowed if math.isfinite(came) else math.inf
        if ratio > 1:
            raise Mismatch(
                f"{what}: by {problem.names[leaf]}, {name}, must be {found.value:.7g} (differences "
                f"of the reference), is {came:.7g}; it is off by {ratio:.3g} tolerances",
                "double",
                min(ratio, 1e30),
            )
        trial.saw_ratio(ratio)


def _judge_tangents(
    trial: Trial, op: OpDef, dtype: d.dtype, problem: Problem, second: Second, grads: Sequence[Any],
    what: str,
) -> None:  # fmt: skip
    for tangent, g in zip(second.tangents, grads, strict=True):
        smooth = np.isfinite(tangent)
        came = np.zeros(tangent.shape) if g is None else host(g).astype(np.float64)
        size = float(np.abs(tangent[smooth]).max(initial=0)) or 1.0
        one = Slope(0.0, 1e-9 * size)
        allowed = allowed_error(op, dtype, size, one, np.ones(1), problem.sample.args)
        with np.errstate(all="ignore"):
            off = np.where(smooth, np.abs(came - tangent), 0) / allowed
        off = np.where(np.isnan(off), math.inf, off)
        if off.size and off.max() > 1:
            at = tuple(int(i) for i in np.unravel_index(int(off.argmax()), off.shape))
            raise Mismatch(
                f"{what}: by the incoming gradient, element {list(at)} must be {tangent[at]:.7g} "
                f"(the reference's slope), is {came[at]:.7g}; it is off by {off.max():.3g} "
                "tolerances",
                "double",
                min(float(off.max()), 1e30),
            )
