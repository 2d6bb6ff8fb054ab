"""``renorm``: slices whose norm is too large are scaled down."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.ops.reduction.statistics import WIDE
from dovetail.ops.reduction.vector_norm import vector_norm
from dovetail.ops.schema import ErrorInput, Inferred, Sample, Tolerance
from dovetail.tensor import check_dim

__all__: list[str] = []

_TINY = 1e-7


def _inputs(input: Any, p: Any, dim: int, maxnorm: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    spec = need_tensor("renorm", "input", 1, input)._spec
    for label, value in (("p", p), ("maxnorm", maxnorm)):
        if isinstance(value, complex):
            raise RuntimeError(f"renorm: {label} must be real-valued")
    if not p > 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if not maxnorm >= 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if spec.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {spec.ndim} dimensions")
    return (input,), (float(p), check_dim(dim, spec.ndim), float(maxnorm))


def _reference(x: np.ndarray, p: float, dim: int, maxnorm: float) -> np.ndarray:
    out = np.array(x)
    for part in np.moveaxis(out, dim, 0):
        size = np.linalg.norm(part.reshape(-1), p) if part.size else 0
        if size > maxnorm:
            part *= maxnorm / (size + _TINY)
    return out


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def make(*shape: int) -> np.ndarray:
        return draw(rng, shape, dtype, -5, 5)

    rows = make(4, 3)
    rows[1] = 0
    rows[2] = 0.125
    return [
        Sample((rows, 2, 0, 3.0)),
        Sample((make(3, 4), 1, 1, 9.0)),
        Sample((make(2, 3, 4), 3, -1, 6)),
        Sample((make(3, 4), 1.5, -2, 0)),
        Sample((make(3, 4), math.inf, 0, 4.0)),
        Sample((make(2, 3), 0.5, 0, 20.0)),
        Sample((make(0, 3), 2, 0, 1.0)),
        Sample((make(2, 0), 2, 0, 1.0)),
    ]


def _errors() -> list[ErrorInput]:
    x = np.ones((2, 3), np.float32)
    return [
        ErrorInput((x, -1, 0, 1), {}, RuntimeError, "non-positive-norm not supported"),
        ErrorInput((x, 0, 0, 1), {}, RuntimeError, "non-positive-norm not supported"),
        ErrorInput((x, 1j, 0, 1), {}, RuntimeError, "p must be real-valued"),
        ErrorInput((x, 2, 0, -1), {}, RuntimeError, "expected maxnorm to be >= 0"),
        ErrorInput((x[0], 2, 0, 1), {}, RuntimeError, "at least 2 dimensions, got 1"),
        ErrorInput((x, 2, 2, 1), {}, IndexError, "Dimension out of range"),
    ]


@composite(
    "renorm",
    infer=lambda spec, p, dim, maxnorm: Inferred((None,), ((tuple(spec.shape), spec.dtype),)),
    prepare=_inputs,
    inplace=True,
    out=True,
    compute=d.float32,
    accepts=WIDE,
    reference=_reference,
    samples=_samples,
    errors=_errors,
    tolerance=Tolerance(8),
)
def renorm(input: Any, p: Any, dim: int, maxnorm: Any) -> Any:
    """``input`` with every slice along ``dim`` whose p-norm is above ``maxnorm`` scaled down to it.

    Raises:
        RuntimeError: fewer than 2 dims, or a ``p`` or ``maxnorm`` that is not positive.
        IndexError: the dim is out of range.
    """
    from dovetail.ops import where

    norm = vector_norm(input, p, tuple(i for i in range(input.ndim) if i != dim), True)
    return input * where(norm > maxnorm, maxnorm / (norm + _TINY), 1.0)
