"""LU with exchanges of rows and what comes of it: determinants, solutions, inverses; triangular
systems, which are the end of that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.backend import KernelTable
from dovetail_kernels.device import device_of
from dovetail_kernels.factors.matrices import FACTORED, Operand, fits, launched, room_of

__all__ = ["enter"]

CHUNK = 128
"""Columns of the right side that a work item of the host's cores takes."""

ANY, TRIANGLE, UPPER, UNIT, IDENTITY = 0, 2, 1, 4, 8
"""What a system's matrices are, as ``src/lu.cl`` has it."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name, make, when in (
        ("linalg_lu_factor_ex", _factors, _is_small),
        ("det", _determinant, _is_small),
        ("slogdet", _determinant, _is_small),
        ("linalg_solve_ex", _solution, _is_small_system),
        ("linalg_inv_ex", _inverse, _has_room_twice),
        ("linalg_solve_triangular", _triangular, _is_small_system),
    ):
        table.add(name, make, dtypes=FACTORED, when=when, specialize=True)


def _is_small(facts: Any) -> bool:
    return fits(facts, *facts.inputs[0].shape[-2:])


def _is_small_system(facts: Any) -> bool:
    """A matrix, and a column beside it."""
    n = facts.inputs[0].shape[-1]
    return fits(facts, n, n + 1)


def _has_room_twice(facts: Any) -> bool:
    n = facts.inputs[0].shape[-1]
    return fits(facts, n, 2 * n)


def _factors(facts: Any) -> Callable[..., None]:
    (source,), (out, pivots, info) = facts.inputs, facts.outputs
    operands = (Operand(out, 2), Operand(pivots, 1), Operand(info, 0), Operand(source, 2))
    queue = launched(facts, "lu", "lu_factor", operands, *source.shape[-2:], source.shape[-1])
    return lambda input, out, pivots, info: queue(out, pivots, info, input)


def _determinant(facts: Any) -> Callable[..., None]:
    (source,), has_logs = facts.inputs, len(facts.outputs) > 1
    operands = (
        Operand(facts.outputs[0], 0), Operand(facts.outputs[-1], 0), Operand(source, 2),
    )  # fmt: skip
    n = source.shape[-1]
    queue = launched(facts, "lu", "determinant", operands, n, n, n, [has_logs])
    if has_logs:
        return lambda input, sign, logs: queue(sign, logs, input)
    return lambda input, out: queue(out, out, input)


def _solved(facts: Any, a: Any, b: Any, out: Any, info: Any, kind: int, turned: bool = False) -> Any:
    n, columns = a.shape[-1], out.shape[-2 if turned else -1]
    device = device_of(out.device)
    if device.is_cpu:
        most = max(n, CHUNK)
    else:
        most = max(1, room_of(device, out.dtype) // max(n, 1) - n - 1)
    chunk = max(1, min(columns, most))
    chunks = max(1, -(-columns // chunk))
    operands = (Operand(out, 2), Operand(info, info.ndim - a.ndim + 2), Operand(a, 2), Operand(b, 2))
    return launched(
        facts, "lu", "solve", operands, n, columns, n + chunk, [kind, chunk, chunks],
        chunks=chunks, is_turned=turned,
    )


def _solution(facts: Any) -> Callable[..., None]:
    (a, b), (out, info) = facts.inputs, facts.outputs
    queue = _solved(facts, a, b, out, info, ANY)
    return lambda a, b, out, info: queue(out, info, a, b)


def _inverse(facts: Any) -> Callable[..., None]:
    (a,), (out, info) = facts.inputs, facts.outputs
    queue = _solved(facts, a, a, out, info, IDENTITY)
    return lambda a, out, info: queue(out, info, a, a)


def _triangular(facts: Any) -> Callable[..., None]:
    (a, b), (out,), options = facts.inputs, facts.outputs, facts.attributes
    is_left = options["left"]
    # X A = B is A^T X^T = B^T, whose triangle is the other one.
    is_upper = options["upper"] == is_left
    kind = TRIANGLE + is_upper * UPPER + options["unitriangular"] * UNIT
    queue = _solved(facts, a, b, out, out, kind, not is_left)
    return lambda a, b, out: queue(out, out, a, b)
