"""Indices that may count from the end, brought into range where they are: on the device."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import ops
from dovetail.ops.families import composite
from dovetail.ops.schema import REGISTRY, Inferred, Sample

__all__ = ["WRAPPED_INDEX", "wrapped_index"]


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    every = {"dim": None, "outside": 0}
    return [
        Sample((rng.integers(-5, 5, shape),), {"size": 5, **every, **more})
        for shape, more in (((7,), {"dim": 0}), ((2, 3), {"outside": -10}), ((), {}), ((0,), {}))
    ]


@composite(
    "wrapped_index",
    inputs=("index",),
    infer=lambda index, **_: Inferred((None,), ((tuple(index.shape), d.int64),)),
    accepts=(d.int64,),
    differentiable=(),
    reference=lambda x, *, size, dim, outside: np.where(x < 0, x + size, x),
    samples=_samples,
    method=False,
    public=False,
    named="index",
)
def wrapped_index(index: Any, *, size: int, dim: int | None, outside: int) -> Any:
    """``index`` with ``size`` added to what is negative; what is out of range stays so.

    A kernel may report that, as the one that is given the result would: it knows the number that
    the user gave.

    Args:
        index: int64, any shape.
        size: of what is indexed.
        dim: where that is, for the sentence; None: it counts through all elements.
        outside: what stands for an index out of range, where several are brought together and the
            next digit could hide it; 0: any number that is out of range.
    """
    wrapped = ops.where(index < 0, index + size, index)
    if not outside:
        return wrapped
    return ops.where((wrapped >= 0) & (wrapped < size), wrapped, outside)


WRAPPED_INDEX = REGISTRY["wrapped_index"]
