"""Derivatives of a record's reference by differences: no autograd and no backend takes part.

``L(x) = Re sum(conj(v) * f(x))`` is what backward with the incoming gradient ``v`` differentiates;
its gradient is ``dL/dx``, for complex ``x = a + ib`` it is ``dL/da + i dL/db`` (PyTorch's
convention). ``Re sum(conj(gradient) * u)`` must then be the slope of ``L`` along ``u``.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.schema import REGISTRY, OpDef, Sample
from dovetail_conformance.calls import computes_in_floats, outputs, wide

__all__ = ["Problem", "Slope", "differentiable_operators", "inner", "mixed_slope", "slope"]

Arrays = tuple[np.ndarray, ...]
STEPS = (1e-3, 2e-4, 4e-5, 8e-6)
"""Steps tried until two in a row agree."""

MIXED_STEPS = (8e-3, 3e-3, 1e-3, 3e-4)
"""The same for second derivatives, whose rounding error grows with the square of the step."""


def differentiable_operators() -> list[OpDef]:
    """The records with a function of floats, samples and a reference, by name.

    Those that a backend may override behind a public function are among them.
    """
    return [
        op
        for _, op in sorted(REGISTRY.items())
        if op.function is not None
        and op.samples is not None
        and op.reference is not None
        and op.differentiable
        and op.kind not in ("random", "compare")
        and (d.float32 in op.accepts or d.complex64 in op.accepts)
    ]


def inner(a: np.ndarray, b: np.ndarray) -> float:
    """``Re sum(conj(a) * b)``."""
    return float(np.vdot(a, b).real)


@dataclass(frozen=True)
class Slope:
    """A derivative by differences.

    Attributes:
        value: the derivative.
        error: how far the differences of two steps are apart.
    """

    value: float
    error: float


def slope(function: Callable[[float], float]) -> Slope | None:
    """The derivative at 0 of a function that is 0 there; None at a kink, a jump or an edge.

    Each step takes four points, so that the error falls with its fourth power. At a kink the second
    difference does not fall with the step.
    """
    best: Slope | None = None
    before: tuple[float, float] | None = None
    for h in STEPS:
        up, down, up2, down2 = function(h), function(-h), function(2 * h), function(-2 * h)
        if not all(map(math.isfinite, (up, down, up2, down2))):
            before = None
            continue
        value = (8 * (up - down) - (up2 - down2)) / (12 * h)
        bend = abs(up + down) / h
        if before is not None:
            found = Slope(value, abs(value - before[0]))
            size = max(1.0, abs(value))
            if bend <= max(1e-7 * size, 0.5 * before[1]) and found.error <= 1e-4 * size:
                if found.error <= 1e-10 * size:
                    return found
                if best is None or found.error < best.error:
                    best = found
        before = value, bend
    return best


def mixed_slope(function: Callable[[float, float], float]) -> Slope | None:
    """``d2/ds dt`` at (0, 0); None where the first derivative has a kink or a jump.

    The differences of two steps must agree, and the slope in ``s`` must be smooth in ``t``.
    """
    best: Slope | None = None
    before: tuple[float, float] | None = None
    for h in MIXED_STEPS:
        weights = ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0))
        along = {
            j: sum(w * function(i * h, j * h) for i, w in weights) / (12 * h)
            for j in (0, 1, -1, 2, -2)
        }
        if not all(map(math.isfinite, along.values())):
            before = None
            continue
        value = sum(w * along[j] for j, w in weights) / (12 * h)
        bend = abs(along[1] - 2 * along[0] + along[-1]) / h
        if before is not None:
            size = max(1.0, abs(value))
            found = Slope(value, abs(value - before[0]))
            if bend <= max(1e-4 * size, 0.5 * before[1]) and found.error <= 1e-3 * size:
                if found.error <= 1e-8 * size:
                    return found
                if best is None or found.error < best.error:
                    best = found
        before = value, bend
    return best


class Problem:
    """One sample of an operator as a function of its floating-point arrays.

    Args:
        op: the operator.
        sample: how it is called.
        expanded: the arrays repeat their first row (see ``layouts``): the leaf is that row.

    Attributes:
        leaves: what each array's leaf holds, in the order of the arguments (positional first).
            They cannot be written to.
        shapes: the shape in which the operator sees each.
        names: the parameter that each belongs to.
    """

    def __init__(self, op: OpDef, sample: Sample, expanded: bool = False) -> None:
        self.op = op
        self.sample = sample
        self.leaves: list[np.ndarray] = []
        self.shapes: list[tuple[int, ...]] = []
        self.names: list[str] = []
        for name, value in _named(op, sample):
            for array in floats_in(value):
                self.names.append(name)
                self.shapes.append(array.shape)
                self.leaves.append(_first(array) if expanded else array)
                self.leaves[-1].flags.writeable = False

    def given(self, name: str) -> Any:
        """What the call gives for a parameter; None where it gives nothing."""
        return dict(_named(self.op, self.sample)).get(name)

    def arguments(self, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call's arguments with these in the places of the floating-point arrays."""
        args, kwargs = self._places
        return _filled(args, arrays), {k: _filled(v, arrays) for k, v in kwargs.items()}

    @functools.cached_property
    def _places(self) -> tuple[Any, dict[str, Any]]:
        """The arguments with a :class:`_Place` for each floating-point array."""
        numbers = itertools.count()
        kwargs = self.sample.kwargs
        args = _replaced(tuple(self.sample.args), numbers)
        return args, {k: _replaced(v, numbers) for k, v in kwargs.items()}

    @functools.cached_property
    def _for_reference(self) -> tuple[Any, dict[str, Any]]:
        """The same as ``calls.reference`` passes them on."""
        args, kwargs = self._places
        if computes_in_floats(self.op, d.float64):
            args = tuple(
                a if isinstance(a, _Place) or np.iscomplexobj(a) else np.asarray(a, float)
                for a in args
            )
        return args, {k: v for k, v in kwargs.items() if not isinstance(v, d.dtype)}

    def value(self, leaves: Sequence[np.ndarray]) -> Arrays:
        """The reference's outputs, in float64 or complex128; to be called :func:`quietly`."""
        assert self.op.reference is not None
        seen = [
            x if x.shape == shape else np.array(np.broadcast_to(x, shape), order="C")
            for x, shape in zip(leaves, self.shapes, strict=True)
        ]
        args, kwargs = self._for_reference
        made = self.op.reference(
            *_filled(args, seen), **{k: _filled(v, seen) for k, v in kwargs.items()}
        )
        return tuple(map(np.asarray, outputs(made)))

    def loss(
        self, positions: Sequence[int], vectors: Sequence[np.ndarray]
    ) -> Callable[[Sequence[np.ndarray]], float]:
        """``L`` less its value at the leaves; an output that stays as it is counts nothing.

        It is to be called :func:`quietly`, as this is.
        """
        start = self.value(self.leaves)
        weighted = [(j, start[j], wide(v)) for j, v in zip(positions, vectors, strict=True)]

        def loss(leaves: Sequence[np.ndarray]) -> float:
            made = self.value(leaves)
            total = 0.0
            for j, before, v in weighted:
                change = made[j] - before
                part = inner(v, change)
                if not math.isfinite(part):
                    same = (made[j] == before) | (np.isnan(made[j]) & np.isnan(before))
                    part = inner(v, np.where(same, 0, change))
                total += part
            return total

        return loss

    def moved(self, leaf: int, direction: np.ndarray, t: float) -> list[np.ndarray]:
        """The leaves with one of them ``t`` along a direction."""
        return [x + t * direction if i == leaf else x for i, x in enumerate(self.leaves)]

    def directions(
        self, leaf: int, rng: np.random.Generator, most: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        """(name, direction): single elements (the first, the last and some others), then all."""
        x = self.leaves[leaf]
        if not x.size:
            return
        wide: Any = np.complex128 if x.dtype.kind == "c" else np.float64
        places = range(x.size)
        if x.size > most:
            others = rng.choice(np.arange(1, x.size - 1), most - 2, replace=False)
            places = (0, *sorted(int(i) for i in others), x.size - 1)  # type: ignore[assignment]
        units = (1, 1j) if x.dtype.kind == "c" else (1,)
        for place, unit in itertools.product(places, units):
            one = np.zeros(x.size, wide)
            one[place] = unit
            at = [int(i) for i in np.unravel_index(place, x.shape)]
            yield (
                f"element {at}" + (" (imaginary part)" if unit == 1j else ""),
                one.reshape(x.shape),
            )
        if x.size > 1:
            whole = rng.standard_normal(x.shape).astype(wide)
            if x.dtype.kind == "c":
                whole += 1j * rng.standard_normal(x.shape)
            yield "all elements together", whole


def _named(op: OpDef, sample: Sample) -> Iterator[tuple[str, Any]]:
    """(parameter, value) in the order of :func:`floats_in`."""
    assert op.function is not None
    parameters = list(inspect.signature(op.function).parameters)
    for i, value in enumerate(sample.args):
        yield parameters[min(i, len(parameters) - 1)], value
    yield from sample.kwargs.items()


def _first(array: np.ndarray) -> np.ndarray:
    """The row that the layout ``expanded`` repeats."""
    dims = [i for i, n in enumerate(array.shape) if n > 1]
    return np.take(array, [0], dims[0]) if dims and array.size else array


def _is_float(value: Any) -> bool:
    if not isinstance(value, np.ndarray):
        return False
    return value.dtype.kind in "fc"


def floats_in(value: Any) -> Iterator[np.ndarray]:
    """The floating-point arrays in nested arguments, as float64 or complex128."""
    if _is_float(value):
        yield value.astype(np.complex128 if value.dtype.kind == "c" else np.float64)
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from floats_in(v)
    elif isinstance(value, dict):
        for v in value.values():
            yield from floats_in(v)


@dataclass(frozen=True)
class _Place:
    """Where a call takes a floating-point array: its number among them."""

    number: int


def _replaced(value: Any, numbers: Iterator[int]) -> Any:
    if _is_float(value):
        return _Place(next(numbers))
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(v, numbers) for v in value)
    return value


def _filled(value: Any, arrays: Sequence[Any]) -> Any:
    if isinstance(value, _Place):
        return arrays[value.number]
    if isinstance(value, (list, tuple)):
        return type(value)(_filled(v, arrays) for v in value)
    return value
