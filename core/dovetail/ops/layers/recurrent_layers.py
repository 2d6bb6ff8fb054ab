"""What the records of whole recurrent layers share: LSTM, GRU and plain cells over all steps.

Shapes: ``gates`` (T, N, G H), what the inputs of all steps add to the G gates; states (N, H);
``weight`` (G H, H), what the state adds. With ``reverse`` the last step comes first. One call in
place of a dozen per step: a backend keeps the loop in one kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.ops.families import draw, of_floats
from dovetail.ops.schema import Sample

__all__ = [
    "at",
    "given",
    "in_time",
    "recurrent_record",
    "samples_of",
    "sigmoid",
    "states_before",
    "step_order",
    "total",
    "weight_gradient",
]

_SIZES = ((3, 2, 2), (1, 3, 1), (4, 1, 3), (2, 0, 3), (5, 3, 4))
"""(T, N, H)."""


recurrent_record = of_floats(16)
"""A decorator: the function below is the decomposition of a record for floats alone."""


def samples_of(shapes: Callable[[int, int, int], Iterable[tuple[int, ...] | None]]) -> Any:
    """Samples of inputs whose shapes follow from (T, N, H), forwards and in reverse."""

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        return [
            Sample(
                tuple(s if s is None else draw(rng, s, dtype, -1, 1) for s in shapes(*size)),
                {"reverse": bool(number % 2)},
            )
            for number, size in enumerate(_SIZES)
        ]

    return samples


def step_order(count: int, reverse: bool) -> range:
    """Places of the steps in the order in which they are made."""
    return range(count - 1, -1, -1) if reverse else range(count)


def in_time(made: list[Any], reverse: bool) -> Any:
    """What each step made, from the first place to the last: (T, N, *)."""
    return ops.stack(made[::-1] if reverse else made)


def states_before(start: Any, states: Any, reverse: bool) -> Any:
    """The state that each step began with: (T, N, H)."""
    if reverse:
        return ops.cat([states[1:], start.unsqueeze(0)])
    return ops.cat([start.unsqueeze(0), states[:-1]])


def weight_gradient(of_gates: Any, before: Any) -> Any:
    """The weight's gradient: one product over the steps of all sequences."""
    return ops.matmul(of_gates.flatten(0, 1).t(), before.flatten(0, 1))


def total(*parts: Any) -> Any:
    """The sum of those that are there; None where none is."""
    there = [part for part in parts if part is not None]
    return sum(there[1:], there[0]) if there else None


def at(parts: Any, t: int) -> Any:
    """One step of what may be absent."""
    return None if parts is None else parts[t]


def given(g: Any, like: Any) -> Any:
    """The gradients of several outputs, the first never None."""
    first, *others = g
    return (like.new_zeros(like.shape) if first is None else first, *others)


def sigmoid(x: Any) -> Any:
    """Of an array, for references."""
    return 1 / (1 + np.exp(-x))
