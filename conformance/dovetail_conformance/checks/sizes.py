"""Sizes around the blocks that kernels work in, and one of more than 2**16 elements.

The values come from the record's samples, repeated; what is asked is whether the edges are right.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.schema import REGISTRY, OpDef, Sample
from dovetail_conformance.calls import operators
from dovetail_conformance.checks.values import ask, level_of
from dovetail_conformance.columns import columns_of
from dovetail_conformance.model import Case, Trial
from dovetail_conformance.target import Target

__all__ = ["SIZES", "cases", "sized"]

SIZES = (1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 255, 257, 1000, 4097, 65539)
KINDS = (d.float32, d.int32, d.uint8, d.bfloat16)


def cases(target: Target) -> Iterator[Case]:
    """Elementwise operators, and the primitives that go over rows."""
    for op in operators():
        if op.kind not in ("elementwise", "compare", "select") and op.name not in _SIZED:
            continue
        for dtype in target.dtypes:
            if dtype in _kinds(op) and dtype in op.accepts and _has_sizes(op, dtype):
                run = functools.partial(_sizes, op, dtype)
                yield Case(level_of(op), "sizes", op.name, dtype.name, "", run)


def _kinds(op: OpDef) -> tuple[d.dtype, ...]:
    """The dtypes that sizes are asked of; complex64 where an operator takes nothing else."""
    return KINDS if any(k in op.accepts for k in KINDS) else (d.complex64,)


def _has_sizes(op: OpDef, dtype: d.dtype) -> bool:
    return op.name in _SIZED or bool(columns_of(op, dtype))


def _sizes(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    thorough = op.required and dtype in KINDS[:2]
    for n in SIZES:
        for sample in sized(op, dtype, n):
            ask(trial, op, sample, "contiguous", f"size {n}")
            if thorough and n < 5000:
                ask(trial, op, sample, "offset", f"size {n}")


def sized(op: OpDef, dtype: d.dtype, n: int) -> list[Sample]:
    """Samples of about ``n`` elements (or rows of ``n``)."""
    make = _SIZED.get(op.name)
    if make is not None:
        rng = np.random.default_rng(n)
        return make(rng, dtype, n)
    return [columns_of(op, dtype)[0].sized(n)]


def _draw(rng: np.random.Generator, dtype: d.dtype, *shape: int) -> np.ndarray:
    if dtype.category == 1:
        return rng.integers(0 if not dtype.is_signed else -4, 5, shape).astype(dtype.numpy)
    return rng.uniform(-2, 2, shape).astype(dtype.numpy)


def _rows(*args: Any, **kwargs: Any) -> Callable[..., list[Sample]]:
    """Long rows, and many short ones."""

    def make(rng: np.random.Generator, dtype: d.dtype, n: int) -> list[Sample]:
        return [
            Sample((_draw(rng, dtype, n), *args), kwargs),
            Sample((_draw(rng, dtype, 3, n), *args), kwargs),
            Sample((_draw(rng, dtype, n, 3), *args), kwargs),
        ]

    return make


def _truths(share: float) -> Callable[..., list[Sample]]:
    """Rows in which so large a share is true that both answers come."""

    def make(rng: np.random.Generator, dtype: d.dtype, n: int) -> list[Sample]:
        values = (rng.random((n, 5)) < share).astype(dtype.numpy)
        return [Sample((values, -1)), Sample((values.T.copy(), -1))]

    return make


def _whole(rng: np.random.Generator, dtype: d.dtype, n: int) -> list[Sample]:
    return [Sample((_draw(rng, dtype, n),)), Sample((_draw(rng, dtype, 3, n),))]


def _products(rng: np.random.Generator, dtype: d.dtype, n: int) -> list[Sample]:
    near_one = 1 + _draw(rng, dtype, n).astype(float) / 40 if dtype.category == 2 else None
    sign = rng.choice([-1, 1], n) if dtype.is_signed else rng.choice([1, 1], n)
    values = sign if near_one is None else sign * near_one
    return [Sample((values.astype(dtype.numpy), 0))]


def _matmul(rng: np.random.Generator, dtype: d.dtype, n: int) -> list[Sample]:
    if n > 300:
        return [
            Sample((_draw(rng, dtype, *many, 3, n), _draw(rng, dtype, *many, n, 2)))
            for many in ((), (2,))
            if n < 5000
        ]
    return [
        Sample((_draw(rng, dtype, n, 5), _draw(rng, dtype, 5, 3))),
        Sample((_draw(rng, dtype, 3, n), _draw(rng, dtype, n, 5))),
        Sample((_draw(rng, dtype, 2, 5), _draw(rng, dtype, 5, n))),
        Sample((_draw(rng, dtype, 2, n, 7), _draw(rng, dtype, 7, n))),
        Sample((_draw(rng, dtype, 2, 3, n), _draw(rng, dtype, 2, n, 2))),
    ]


def _gather(rng: np.random.Generator, dtype: d.dtype, n: int) -> list[Sample]:
    places = rng.integers(0, n, (3, n))
    return [
        Sample((_draw(rng, dtype, 3, n), 1, places)),
        Sample((_draw(rng, dtype, n), 0, rng.integers(0, n, n + 1))),
    ]


def _scatter(rng: np.random.Generator, dtype: d.dtype, n: int) -> list[Sample]:
    places = np.stack([rng.permutation(n) for _ in range(2)])
    return [Sample((_draw(rng, dtype, 2, n), 1, places, _draw(rng, dtype, 2, n)))]


def _scatter_add(rng: np.random.Generator, dtype: d.dtype, n: int) -> list[Sample]:
    if dtype is d.bfloat16 and n > 64:
        return []  # how often it rounds is the device's own business
    few = rng.integers(0, max(n // 4, 1), (2, n))  # many collide
    return [Sample((_draw(rng, dtype, 2, n), 1, few, _draw(rng, dtype, 2, n)))]


def _nonzero(rng: np.random.Generator, dtype: d.dtype, n: int) -> list[Sample]:
    values = _draw(rng, dtype, n)
    values[rng.random(n) < 0.5] = 0
    return [Sample((values,))]


_SIZED: dict[str, Callable[..., list[Sample]]] = {
    "sum": _rows(-1),
    "prod": _products,
    "amax": _rows(-1),
    "amin": _rows(-1),
    "argmax": _rows(-1),
    "argmin": _rows(-1),
    "cumsum": _rows(-1),
    "cumprod": _products,
    "sort": _whole,
    "matmul": _matmul,
    "gather": _gather,
    "scatter": _scatter,
    "scatter_add": _scatter_add,
    "nonzero": _nonzero,
    "all": _truths(0.9),
    "any": _truths(0.1),
    "count_nonzero": _truths(0.5),
    "softmax": _rows(-1),
    "log_softmax": _rows(-1),
    "mean": _rows(-1),
    "index_select": lambda rng, dtype, n: [
        Sample((_draw(rng, dtype, n, 3), 0, rng.integers(0, n, n)))
    ],
}
assert set(_SIZED) <= set(REGISTRY)
