"""LU with exchanges of rows, and what comes of it: determinants, solutions, inverses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.backend import KernelTable
from dovetail_kernels.factors.matrices import FACTORED, Operand, chunked, fits, launched

__all__ = ["enter"]

LANES = "lu_lanes"
"""The file for tiny matrices."""

OF_RIGHT, INVERSE, ADJUGATE = range(3)
"""What ``solve`` solves for."""

CHUNK = 128
"""Columns of the right side that a work item of the host's cores takes."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name, make, when in (
        ("linalg_lu_factor_ex", _factors, _is_small),
        ("det", _determinant, _is_small),
        ("slogdet", _determinant, _is_small),
        ("linalg_solve_ex", _solution, _is_small_system),
        ("linalg_inv_ex", _inverse, _has_room_twice),
        ("det_adjugate", _adjugate, _has_room_twice),
    ):
        table.add(name, make, dtypes=FACTORED, when=when, specialize=True)


def _is_small(facts: Any) -> bool:
    return fits(facts, *facts.inputs[0].shape[-2:])


def _is_small_system(facts: Any) -> bool:
    """A matrix, and a column beside it."""
    n = facts.inputs[0].shape[-1]
    return fits(facts, n, n, 1)


def _has_room_twice(facts: Any) -> bool:
    n = facts.inputs[0].shape[-1]
    return fits(facts, n, n, n)


def _factors(facts: Any) -> Callable[..., None]:
    (source,), (out, pivots, info) = facts.inputs, facts.outputs
    operands = (Operand(out, 2), Operand(pivots, 1), Operand(info, 0), Operand(source, 2))
    rows, columns = source.shape[-2:]
    queue = launched(
        facts, "lu", "lu_factor", operands, rows, columns, kept=(columns, 0), lanes=LANES
    )
    return lambda input, out, pivots, info: queue(out, pivots, info, input)


def _determinant(facts: Any) -> Callable[..., None]:
    (source,), has_logs = facts.inputs, len(facts.outputs) > 1
    operands = (Operand(facts.outputs[0], 0), Operand(facts.outputs[-1], 0), Operand(source, 2))
    n = source.shape[-1]
    queue = launched(
        facts, "lu", "determinant", operands, n, n, [has_logs], kept=(n, 0), lanes=LANES
    )
    if has_logs:
        return lambda input, sign, logs: queue(sign, logs, input)
    return lambda input, out: queue(out, out, input)


def _solved(facts: Any, a: Any, b: Any, kind: int = OF_RIGHT) -> Callable[..., None]:
    (out, *infos), (n, columns) = facts.outputs, facts.outputs[0].shape[-2:]
    chunk, chunks = chunked(facts, n, n, columns, max(n, CHUNK))
    info = Operand(infos[0], 0) if infos else Operand(out, 2)
    operands = (Operand(out, 2), info, Operand(a, 2), Operand(b, 2))
    return launched(
        facts, "lu", "solve", operands, n, columns, [kind, chunk, chunks],
        kept=(n, chunk), chunks=chunks, lanes=LANES,
    )  # fmt: skip


def _solution(facts: Any) -> Callable[..., None]:
    queue = _solved(facts, *facts.inputs)
    return lambda a, b, out, info: queue(out, info, a, b)


def _inverse(facts: Any) -> Callable[..., None]:
    (source,) = facts.inputs
    queue = _solved(facts, source, source, INVERSE)
    return lambda a, out, info: queue(out, info, a, a)


def _adjugate(facts: Any) -> Callable[..., None]:
    (source,) = facts.inputs
    queue = _solved(facts, source, source, ADJUGATE)
    return lambda a, out: queue(out, out, a, a)
