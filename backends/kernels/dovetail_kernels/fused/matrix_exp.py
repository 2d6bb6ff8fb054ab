"""matrix_exp of small matrices in one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import bfloat16, complex64, complex128, float16, float32, float64
from dovetail_kernels.folds import accumulated
from dovetail_kernels.lanes import Beside, planned

__all__ = ["enter"]

DEGREES = {float32: (7, 3.925724783138660), float64: (13, 5.371920351148152)}
"""Per real dtype the degree of Padé's approximation and the largest 1-norm for it (N. Higham, "The
scaling and squaring method for the matrix exponential revisited", 2005)."""

BASE, EACH = 1.3e6, 27
"""Nanoseconds that the core's steps take for a call, and for an element; measured with PoCL."""


def enter(table: KernelTable) -> None:
    """Enter it."""
    kinds = (float32, float64, complex64, complex128, float16, bfloat16)
    table.add(
        "matrix_exp", _specialised, dtypes=kinds, layout="contiguous", specialize=True, when=_fits
    )


def _fits(facts: Any) -> bool:
    """Of one element it is exp."""
    is_one = facts.inputs[0].shape[-1] == 1
    return not is_one and _kernel(facts).is_worth_it(facts, BASE, EACH)


def _kernel(facts: Any) -> Beside:
    n = facts.inputs[0].shape[-1]
    kind = accumulated(facts.inputs[0].dtype).to_real()
    degree, limit = DEGREES[kind]
    numbers = (np.int32(degree), kind.numpy.type(limit))
    return Beside("matrix_exp", n, n, ((n, n),) * 6, 1, 13 * n**3, (1, 0), numbers)


def _specialised(facts: Any) -> Callable[..., None]:
    return planned(facts, _kernel(facts))
