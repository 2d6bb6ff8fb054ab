"""Triangular systems: linalg.solve_triangular, and the older triangular_solve on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import return_types
from dovetail.dispatch import call
from dovetail.ops.expose import publish
from dovetail.ops.families import broadcast_shapes, draw
from dovetail.ops.linear_algebra.matrices import (
    FACTORED,
    apart,
    apart_reference,
    broadcast_batches,
    call_laid,
    linalg,
    need_matrix,
    need_same_dtype,
    need_square,
)
from dovetail.ops.linear_algebra.operands import conj_transpose
from dovetail.ops.schema import Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["SOLVE_TRIANGULAR", "check_equation", "solve_triangular", "systems"]


def check_equation(name: str, a: Spec, b: Spec, left: bool) -> None:
    """Raise RuntimeError where the sizes of a system do not fit."""
    if a.shape[-1] != b.shape[-2 if left else -1]:
        form = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {form} "
            f"({a.shape[-2]}x{a.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})"
        )


def _infer(input: Spec, other: Spec, upper: bool, left: bool, unitriangular: bool) -> Inferred:
    return Inferred((None, None), ((tuple(other.shape), other.dtype),))


def solve_triangular(
    A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    """The system without checks; leading dims broadcast."""
    A, B = broadcast_batches(A, B)
    return call(SOLVE_TRIANGULAR, (A, B), (upper, left, unitriangular))


def _other_gradient(g: Any, input: Any, upper: bool, left: bool, unitriangular: bool) -> Any:
    return solve_triangular(
        conj_transpose(input), g, upper=not upper, left=left, unitriangular=unitriangular
    )


def _input_gradient(
    g: Any, input: Any, out: Any, upper: bool, left: bool, unitriangular: bool
) -> Any:
    # With A X = B: dX = -A^-1 dA X, so the gradient of A is -A^-H G X^H, of its triangle alone.
    inner = _other_gradient(g, input, upper, left, unitriangular)
    made = inner @ conj_transpose(out) if left else conj_transpose(out) @ inner
    first = int(unitriangular)
    return -made.triu(first) if upper else -made.tril(-first)


def _settled(
    A: Any, B: Any, upper: bool = False, left: bool = True, unitriangular: bool = False
) -> Any:
    """``solve_triangular`` of A with larger numbers on its diagonal.

    Args:
        A: (*, N, N), small numbers.
        B: (*, N, K), or (*, K, N) with ``left`` False.
    """
    made = A / A.shape[-1] if unitriangular else apart(A)
    return call_laid(SOLVE_TRIANGULAR, made, A, (upper, left, unitriangular), B)


def _reference(
    A: np.ndarray,
    B: np.ndarray,
    upper: bool = False,
    left: bool = True,
    unitriangular: bool = False,
) -> Any:
    A = A / A.shape[-1] if unitriangular else apart_reference(A)
    if unitriangular:
        A = A - A * np.eye(A.shape[-1]) + np.eye(A.shape[-1])
    A = np.triu(A) if upper else np.tril(A)
    return np.linalg.inv(A) @ B if left else B @ np.linalg.inv(A)


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases = [
        ((3, 3), (3, 2), upper, left, unit)
        for upper in (False, True) for left in (True, False) for unit in (False, True)
    ]  # fmt: skip
    cases += [
        ((2, 4, 4), (2, 4, 3), True, True, False), ((0, 0), (0, 2), False, True, False),
        ((2, 3, 3), (2, 3, 0), True, True, False), ((1, 1), (1, 1), True, False, False),
        ((70, 70), (70, 2), False, True, False), ((70, 70), (70, 2), True, False, False),
    ]  # fmt: skip
    return [
        Sample((draw(rng, a, dtype, -1, 1), draw(rng, _fit(a, b, left), dtype, -1, 1), *rest[:1],
                left, *rest[1:]))
        for a, b, upper, left, unit in cases
        for rest in ((upper, unit),)
    ]  # fmt: skip


def _fit(a: tuple[int, ...], b: tuple[int, ...], left: bool) -> tuple[int, ...]:
    return b if left else (*b[:-2], b[-1], a[-1])


SOLVE_TRIANGULAR = OpDef(
    "linalg_solve_triangular",
    kind="contract",
    inputs=("A", "B"),
    attributes=("upper", "left", "unitriangular"),
    infer=_infer,
    gradient={
        "A": lambda g, A, out, upper, left, unitriangular: _input_gradient(
            g, A, out, upper, left, unitriangular
        ),
        "B": lambda g, A, upper, left, unitriangular: _other_gradient(
            g, A, upper, left, unitriangular
        ),
    },
    accepts=FACTORED,
    reference=_reference,
    samples=_samples,
    tolerance=Tolerance(8, length=lambda A, *_: A.shape[-1]),
    method=False,
    public=False,
    function=_settled,
)
"""``linalg_solve_triangular(A, B, out)``: A (*, N, N), only the triangle named by ``upper`` is read
(without its diagonal where ``unitriangular``); A X = B, or X A = B with ``left`` False. A zero on
the diagonal gives infinities and NaN, no error. The leading dims are equal."""


@linalg("solve_triangular")
def _solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """The solution of a triangular system, A X = B or X A = B.

    Args:
        A: (*, N, N); only its upper or lower triangle is read.
        B: (*, N, K), or (*, K, N) with ``left`` False; leading dims broadcast.
        upper: which triangle.
        left: A X = B, else X A = B.
        unitriangular: the diagonal is taken to be 1 and not read.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    name = "linalg.solve_triangular"
    need_same_dtype(name, A, B)
    need_square(name, A)
    need_matrix(name, B, "B")
    check_equation(name, A._spec, B._spec, left)
    broadcast_shapes(tuple(A._spec.shape[:-2]), tuple(B._spec.shape[:-2]))
    return solve_triangular(A, B, upper=upper, left=left, unitriangular=unitriangular)


@publish(out=True)
def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> Any:
    """The solution of ``A X = input`` and a copy of A, as (solution, cloned_coefficient).

    PyTorch's older form; ``linalg.solve_triangular`` has the arguments in the other order.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    for x in (input, A):
        if x._spec.ndim < 2:
            raise RuntimeError(
                f"torch.triangular_solve: Expected b and A to have at least 2 dimensions, but "
                f"they have {input._spec.ndim} and {A._spec.ndim} dimensions instead"
            )
    systems("triangular_solve", input, A)
    turned = A.transpose(-2, -1) if transpose else A
    made = solve_triangular(turned, input, upper=upper != transpose, unitriangular=unitriangular)
    copied = A.expand(*made._spec.shape[:-2], *A._spec.shape[-2:]).clone()
    return return_types.triangular_solve(made, copied)


def systems(name: str, b: Tensor, A: Tensor) -> None:
    """Raise RuntimeError where older functions' operands do not fit, in their words."""
    a, s = A._spec, b._spec
    if a.shape[-1] != a.shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {a.shape[-2]} by "
            f"{a.shape[-1]} matrices"
        )
    if a.shape[-1] != s.shape[-2]:
        raise RuntimeError(
            f"Incompatible matrix sizes for {name}: each A matrix is {a.shape[-1]} by "
            f"{a.shape[-1]} but each b matrix is {s.shape[-2]} by {s.shape[-1]}"
        )
    need_same_dtype(name, b, A, ("b", "A"))
    broadcast_shapes(tuple(a.shape[:-2]), tuple(s.shape[:-2]))
