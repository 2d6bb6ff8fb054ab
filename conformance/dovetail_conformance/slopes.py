"""What gradients are asked about: samples, the slopes that must come, and leaves on a device."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.ops.schema import REGISTRY, OpDef, Sample
from dovetail_conformance.calls import Refused, on_meta, outputs, quietly, samples_of
from dovetail_conformance.compare import EPS
from dovetail_conformance.derivatives import Problem, Slope, slope
from dovetail_conformance.kept import kept
from dovetail_conformance.layouts import place, place_all

__all__ = [
    "CONSTANT",
    "NOT_OF_EQUALS",
    "NO_COMPLEX_GRADIENT",
    "Expected",
    "Placed",
    "allowed_error",
    "chosen",
    "differentiated",
    "expected_of",
    "placed",
]

MOST_SAMPLES = 8
MOST_ELEMENTS = 6
MOST_SIZE = 400

CONSTANT: dict[str, tuple[str, ...]] = {
    "nll_loss": ("weight",),
    "cross_entropy": ("weight",),
    "igamma": ("input",),
    "igammac": ("input",),
    "zeta": ("input",),
    "fake_quantize_per_tensor_affine": ("input", "scale"),
    "fake_quantize_per_channel_affine": ("input", "scale", "zero_point"),
    "fake_quantize_backward": ("input", "scale", "zero_point"),
}
"""Parameters that are constants, or have no derivative, as PyTorch has it; ``kinks`` asks about the
gradient that is passed straight through a staircase."""

NO_COMPLEX_GRADIENT = ("nan_to_num", "silu")
"""Operators of complex numbers that PyTorch does not differentiate there either."""

WITH_CONVENTION: dict[str, tuple[str, ...]] = {"embedding": ("padding_idx", "scale_grad_by_freq")}
"""Parameters that change the gradient and not the value; ``kinks`` asks about them."""

NOT_OF_EQUALS = ("std", "std_mean", "mode", "sort", "slogdet", "linalg_lu_factor_ex")
"""Asked of different numbers only: the deviation of equal ones, which of them is the mode and
which comes first have no derivative (``kinks`` asks what is given for one), nor have the logarithm
of a determinant and its factors where rows are equal."""


@functools.lru_cache(maxsize=512)
def _chosen(name: str, is_complex: bool) -> tuple[tuple[Any, Sample], ...]:
    op = REGISTRY[name]
    dtype = d.complex64 if is_complex else d.float32
    found = []
    has_empty = False
    for i, sample in enumerate(samples_of(op, dtype)):
        sample = _apart(sample) if name in NOT_OF_EQUALS else sample
        problem = Problem(op, sample)
        if any(x.dtype.kind == "c" for x in problem.leaves) and not is_complex:
            continue
        if any(problem.given(k) for k in WITH_CONVENTION.get(name, ())):
            continue
        size = sum(x.size for x in problem.leaves)
        if not size and has_empty:  # one says all that nothing can say
            continue
        if size <= MOST_SIZE and _is_taken(op, sample):
            has_empty = has_empty or not size
            found.append((sample.name or i, sample))
    if len(found) > MOST_SAMPLES:
        places = np.linspace(0, len(found) - 1, MOST_SAMPLES).round().astype(int)
        found = [found[i] for i in places]
    return tuple(found)


def _apart(sample: Sample) -> Sample:
    """The sample with equal elements moved apart."""
    x = sample.args[0]
    steps = np.arange(x.size).reshape(x.shape) / 32
    return sample._replace(args=((x + steps).astype(x.dtype), *sample.args[1:]))


def chosen(op: OpDef, is_complex: bool = False) -> tuple[tuple[Any, Sample], ...]:
    """(name, sample) of a few small samples that the core takes, in single precision."""
    return _chosen(op.name, is_complex)


def _is_taken(op: OpDef, sample: Sample) -> bool:
    try:
        ghosts = on_meta(op, sample.args, sample.kwargs)
    except Refused:
        return False
    return ghosts is None or any(
        isinstance(g, dt.Tensor) and g.dtype.category >= 2
        for j, g in enumerate(ghosts)
        if j in op.differentiable
    )


# What must come


@dataclass(frozen=True)
class Expected:
    """The slopes that a gradient must have.

    Attributes:
        problem: the operator of this sample.
        vectors: per output that is differentiated, the gradient that comes in.
        slopes: (leaf, name, direction, slope or None where there is no derivative).
    """

    problem: Problem
    vectors: tuple[np.ndarray, ...]
    slopes: tuple[tuple[int, str, np.ndarray, Slope | None], ...]

    def largest(self) -> float:
        """The largest slope along an element, or incoming gradient."""
        sizes = [float(np.abs(v).max(initial=0)) for v in self.vectors]
        sizes += [abs(s.value) for _, name, _, s in self.slopes if s and name[:3] != "all"]
        return max(sizes, default=0.0) or 1.0


@functools.lru_cache(maxsize=64)
def expected_of(
    name: str, index: int, is_complex: bool, layout: str, positions: tuple[int, ...]
) -> Expected:
    """For the sample number ``index`` of :func:`chosen`, differentiated at output ``positions``."""
    problem = _problem(name, index, is_complex, layout)
    with quietly():
        found = _vectors_and_slopes(name, index, is_complex, layout, positions)
    return Expected(problem, *found)


def _problem(name: str, index: int, is_complex: bool, layout: str) -> Problem:
    op = REGISTRY[name]
    return Problem(op, chosen(op, is_complex)[index][1], layout == "expanded")


@kept
def _vectors_and_slopes(
    name: str, index: int, is_complex: bool, layout: str, positions: tuple[int, ...]
) -> tuple[Any, Any]:
    problem = _problem(name, index, is_complex, layout)
    rng = np.random.default_rng(11)
    values = problem.value(problem.leaves)
    vectors = tuple(_cotangent(rng, values[j], layout) for j in positions)
    loss = problem.loss(positions, vectors)
    # The gradient of an infinite output reaches every input that it is made of, and differences
    # do not show it; an elementwise operator's reaches the element that made it alone.
    finite = (np.isfinite(values[j]).all() for j in positions)
    is_clear = problem.op.kind == "elementwise" or all(finite)
    slopes = []
    for leaf in range(len(problem.leaves)):
        for what, u in problem.directions(leaf, rng, MOST_ELEMENTS):
            along = functools.partial(_along, problem, loss, leaf, u)
            is_finite = is_clear and np.isfinite(problem.leaves[leaf][u != 0]).all()
            slopes.append((leaf, what, u, slope(along) if is_finite else None))
    return vectors, tuple(slopes)


def _along(problem: Problem, loss: Any, leaf: int, u: np.ndarray, t: float) -> float:
    return float(loss(problem.moved(leaf, u, t)))


def _cotangent(rng: np.random.Generator, like: np.ndarray, layout: str) -> np.ndarray:
    if layout == "expanded" and like.dtype.kind != "c":
        return np.ones(like.shape)  # what sum() sends back
    v = rng.uniform(0.25, 1, like.shape) * rng.choice([-1, 1], like.shape)
    if like.dtype.kind == "c":
        v = v + 1j * rng.uniform(-1, 1, like.shape)
    return np.asarray(v).astype(np.complex64 if like.dtype.kind == "c" else np.float32)


def allowed_error(
    op: OpDef, dtype: d.dtype, size: float, found: Slope, direction: np.ndarray, values: Any
) -> float:
    """How far a slope may be off: rounding of the device, and of the differences."""
    units = max(16 * op.tolerance.ulp, 64.0)
    terms = op.tolerance.terms(op.kind, values)
    rounding = units * EPS[dtype.name] * math.sqrt(terms)
    return (rounding + 1e-9) * size * math.sqrt(np.count_nonzero(direction)) + 10 * found.error


@dataclass
class Placed:
    """A problem on a device: leaves that require gradients, and the arguments made of them."""

    leaves: list[Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def placed(
    problem: Problem, dtype: d.dtype, layout: str, device: str, only: int | None = None
) -> Placed:
    """Put a problem's arrays on a device; with ``only``, one leaf alone requires a gradient."""
    leaves, seen = [], []
    for i, (values, shape) in enumerate(zip(problem.leaves, problem.shapes, strict=True)):
        kind = dtype if values.dtype.kind == "c" or not dtype.is_complex else _real(dtype)
        way = "offset" if layout == "expanded" else layout
        leaf, _ = place(np.asarray(values).astype(kind.numpy), way, device)
        is_constant = problem.names[i] in CONSTANT.get(problem.op.name, ())
        if (only is None or only == i) and not is_constant:
            leaf.requires_grad_()
        leaves.append(leaf)
        seen.append(leaf.expand(*shape) if tuple(leaf.shape) != shape else leaf)
    args, kwargs = problem.arguments(seen)
    args, _ = place_all(args, "contiguous", device)
    kwargs = {k: place_all(v, "contiguous", device)[0] for k, v in kwargs.items()}
    return Placed(leaves, args, kwargs)


def _real(dtype: d.dtype) -> d.dtype:
    return d.float64 if dtype is d.complex128 else d.float32


def differentiated(op: OpDef, result: Any) -> dict[int, Any]:
    """The outputs that a gradient flows through, by position."""
    return {
        j: x
        for j, x in enumerate(outputs(result))
        if j in op.differentiable and isinstance(x, dt.Tensor) and x.dtype.category >= 2
    }
