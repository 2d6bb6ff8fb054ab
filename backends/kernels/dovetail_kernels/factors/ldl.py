"""LDL factorizations and systems solved with them, a launch for a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.backend import KernelTable
from dovetail.dtypes import int32
from dovetail_kernels.factors.matrices import FACTORED, Operand, fits, launched

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name, make, when in (
        ("linalg_ldl_factor_ex", _factors, _is_small),
        ("linalg_ldl_solve", _solution, _is_small_system),
    ):
        table.add(name, make, dtypes=FACTORED, when=when, specialize=True)


def _is_small(facts: Any) -> bool:
    return fits(facts, *facts.inputs[0].shape[-2:])


def _is_small_system(facts: Any) -> bool:
    """The right side is what is kept, and the factors are read where they lie."""
    factors, pivots, right = facts.inputs
    return (
        pivots.dtype is int32
        and fits(facts, *factors.shape[-2:])
        and fits(facts, *right.shape[-2:])
    )


def _factors(facts: Any) -> Callable[..., None]:
    (source,), (out, pivots, info) = facts.inputs, facts.outputs
    operands = (Operand(out, 2), Operand(pivots, 1), Operand(info, 0), Operand(source, 2))
    n, flags = source.shape[-1], [facts.attributes["hermitian"]]
    queue = launched(facts, "ldl", "ldl_factor", operands, n, n, flags, kept=(n, 0))
    return lambda input, out, pivots, info: queue(out, pivots, info, input)


def _solution(facts: Any) -> Callable[..., None]:
    (factors, pivots, right), (out,) = facts.inputs, facts.outputs
    operands = (Operand(out, 2), Operand(factors, 2), Operand(pivots, 1), Operand(right, 2))
    (n, columns), flags = right.shape[-2:], [facts.attributes["hermitian"]]
    queue = launched(facts, "ldl", "ldl_solve", operands, n, columns, flags, kept=(columns, 0))
    return lambda factors, pivots, right, out: queue(out, factors, pivots, right)
