"""Greatest common divisors and least common multiples."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.ops.families import PAIRS, draw, elementwise
from dovetail.ops.pointwise.approximations import where
from dovetail.ops.schema import Sample

__all__: list[str] = []

_STEPS = {1: 13, 2: 24, 4: 47, 8: 93}
"""Divisions that Euclid's algorithm takes at most, by the dtype's bytes: for neighbours among
Fibonacci's numbers (G. Lamé, 1844)."""


def _gcd(input: Any, other: Any) -> Any:
    """Euclid's algorithm on the numbers as they are: their signs are dropped at the end, for the
    smallest integer has no absolute value."""
    a, b = input, other
    for _ in range(_STEPS[input._spec.dtype.itemsize]):
        ended = b.eq(0)
        a, b = where(ended, a, b), where(ended, b, a.remainder(where(ended, 1, b)))
    return a.abs()


def _lcm(input: Any, other: Any) -> Any:
    divisor = _gcd(input, other)
    return (input // where(divisor.eq(0), 1, divisor) * other).abs()


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    most = 11 if dtype.itemsize == 1 else 30  # a multiple that does not fit has no right sign
    made = [
        Sample((draw(rng, a, dtype, -most, most), draw(rng, b, dtype, -most, most)))
        for a, b in PAIRS
    ]
    a, b = np.array([0, 0, 5, 12, 89, 55, 7]), np.array([0, 5, 0, 18, 55, 89, 7])
    return [*made, Sample((a.astype(dtype.numpy), b.astype(dtype.numpy)), name="zeros and far")]


for _name, _decompose, _reference, _doc in (
    ("gcd", _gcd, np.gcd, "The greatest common divisor, not negative; of 0 and 0 it is 0."),
    ("lcm", _lcm, np.lcm, "The least common multiple, not negative; of 0 and anything it is 0."),
):
    elementwise(
        _name,
        inputs=("input", "other"),
        tensors_only=True,
        accepts=d.INTEGRAL,
        decompose=_decompose,
        reference=_reference,
        samples=_samples,
        ulp=0,
        doc=_doc,
    )
