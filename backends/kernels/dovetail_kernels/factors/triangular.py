"""Triangular systems, a launch for a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.backend import KernelTable
from dovetail_kernels.factors.matrices import FACTORED, Operand, chunked, fits, launched

__all__ = ["enter"]

CHUNK = 64
"""Columns of the right side that a work item of the host's cores takes."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    table.add(
        "linalg_solve_triangular", _solution, dtypes=FACTORED, specialize=True, when=_is_small
    )


def _is_small(facts: Any) -> bool:
    return fits(facts, *facts.inputs[0].shape[-2:])


def _solution(facts: Any) -> Callable[..., None]:
    (a, b), (out,), options = facts.inputs, facts.outputs, facts.attributes
    is_left = options["left"]
    n, columns = a.shape[-1], out.shape[-1 if is_left else -2]
    chunk, chunks = chunked(facts, n, 0, columns, CHUNK)
    # X A = B is A^T X^T = B^T, whose triangle is the other one.
    flags = [options["upper"] == is_left, options["unitriangular"], chunk, chunks]
    operands = (Operand(out, 2), Operand(a, 2), Operand(b, 2))
    queue = launched(
        facts, "triangular", "triangular", operands, n, columns, flags,
        kept=(chunk, 0), chunks=chunks, is_turned=not is_left,
    )  # fmt: skip
    return lambda a, b, out: queue(out, a, b)
