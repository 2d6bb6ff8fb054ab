"""Random cases: operators, dtypes, layouts and shapes drawn from a seed that the report prints."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.schema import OpDef, Sample
from dovetail_conformance.calls import operators, samples_of
from dovetail_conformance.checks.sizes import sized
from dovetail_conformance.checks.values import ask, level_of
from dovetail_conformance.columns import columns_of
from dovetail_conformance.layouts import LAYOUTS
from dovetail_conformance.model import Case, Trial
from dovetail_conformance.target import Target

__all__ = ["fuzz_cases"]

_LENGTHS = (0, 1, 1, 2, 3, 4, 5, 8, 13, 17, 33)


def fuzz_cases(target: Target, count: int, seed: int) -> Iterator[Case]:
    """``count`` cases, the same for the same seed and device."""
    known = [op for op in operators() if op.kind != "random"]
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        op = known[rng.integers(len(known))]
        kinds = [k for k in target.dtypes if k in op.accepts]
        if not kinds:
            continue
        dtype = kinds[rng.integers(len(kinds))]
        layout = str(rng.choice(LAYOUTS))
        run = functools.partial(_fuzz, op, dtype, layout, (seed, i))
        yield Case(level_of(op), "fuzz", op.name, dtype.name, f"{seed}-{i} {layout}", run)


def _fuzz(op: OpDef, dtype: d.dtype, layout: str, seed: Any, trial: Trial) -> None:
    rng = np.random.default_rng(seed)
    for name, sample in _samples(op, dtype, rng):
        ask(trial, op, sample, layout, name)


def _samples(op: OpDef, dtype: d.dtype, rng: np.random.Generator) -> Iterator[tuple[str, Sample]]:
    elementwise = op.kind in ("elementwise", "compare", "select")
    columns = columns_of(op, dtype)[:1] if elementwise else ()
    if columns:
        shape = tuple(int(n) for n in rng.choice(_LENGTHS, rng.integers(0, 5)))
        arrays = [_broadcasting(c, shape, rng) for c in columns[0].arrays]
        yield "random shape", columns[0].sample(arrays)
        return
    for i, sample in enumerate(samples_of(op, dtype, int(rng.integers(2**31)))):
        yield sample.name or str(i), sample
    if op.kind in ("reduce", "scan", "order"):
        n = int(rng.integers(1, 300))
        yield from ((f"size {n}", s) for s in sized(op, dtype, n))


def _broadcasting(column: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Values of one input in a shape that broadcasts to ``shape``."""
    mine = [1 if rng.random() < 0.25 else n for n in shape]
    lead = int(rng.integers(0, len(mine) + 1)) if rng.random() < 0.3 else 0
    picked = mine[lead:]
    count = int(np.prod(picked, dtype=int))
    return column[rng.integers(0, len(column), count)].reshape(picked)
