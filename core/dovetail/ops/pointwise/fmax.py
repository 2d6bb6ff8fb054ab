"""The larger and the smaller of two values, NaN counting as missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail.ops.families import elementwise, pairs
from dovetail.ops.pointwise.approximations import REAL, where

__all__: list[str] = []

inf, nan = math.inf, math.nan


def _define(name: str, base: str, comparison: str, reference: Any, doc: str) -> None:
    def decompose(input: Any, other: Any) -> Any:
        both = getattr(input, base)(other)
        if both._spec.dtype.category < 2:
            return both
        return where(input.isnan(), other, where(other.isnan(), input, both))

    def is_first(input: Any, other: Any) -> Any:
        """At ties, and where the other is NaN, the first is it (as PyTorch)."""
        return getattr(input, comparison)(other) | other.isnan()

    elementwise(
        name,
        inputs=("input", "other"),
        tensors_only=True,
        accepts=REAL,
        decompose=decompose,
        gradient={
            "input": lambda g, input, other: where(is_first(input, other), g, 0.0),
            "other": lambda g, input, other: where(is_first(input, other), 0.0, g),
        },
        reference=reference,
        samples=pairs(-5, 5),
        special=(0.0, 1.0, -1.0, inf, -inf, nan),
        ulp=0,
        inplace=False,
        doc=doc,
    )


_define("fmax", "maximum", "ge", np.fmax, "The larger value; the other one where one is NaN.")
_define("fmin", "minimum", "le", np.fmin, "The smaller value; the other one where one is NaN.")
