"""Cholesky's factorization, a launch for a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.backend import KernelTable
from dovetail_kernels.factors.matrices import FACTORED, Operand, fits, launched

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add(
        "linalg_cholesky_ex", _factor, dtypes=FACTORED, specialize=True,
        when=lambda facts: fits(facts, *facts.inputs[0].shape[-2:]),
    )  # fmt: skip


def _factor(facts: Any) -> Callable[..., None]:
    (source,), (out, info), is_upper = facts.inputs, facts.outputs, facts.attributes["upper"]
    n = source.shape[-1]
    operands = (Operand(out, 2), Operand(info, 0), Operand(source, 2))
    # The lower triangle is the upper one of the transposed matrix, conjugated.
    queue = launched(
        facts,
        "cholesky",
        "cholesky",
        operands,
        n,
        n,
        [is_upper],
        kept=(n, 0),
        is_turned=not is_upper,
    )
    return lambda input, out, info: queue(out, info, input)
