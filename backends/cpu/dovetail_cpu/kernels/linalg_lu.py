"""LU with partial pivoting and triangular systems, in blocks, vectorised over the batch.

NumPy wraps neither of LAPACK's ``getrf`` and ``trtrs``. The first is called where it can be found;
else panels are factorized column by column and the rest is matrix products.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail_cpu.lapack import getrf

__all__ = ["blocked", "det", "lu_factor", "permutation", "slogdet", "solve_triangular"]

_PANEL = 32
"""Columns that are factorized one by one before the rest is updated by a product."""


def _size(x: np.ndarray) -> np.ndarray:
    """``|re| + |im|``, by which LAPACK chooses pivots."""
    if x.dtype.kind == "c":
        return np.abs(x.real) + np.abs(x.imag)
    return np.abs(x)


def _factors(input: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """L and U packed (B, M, N), pivots (B, K) and info (B)."""
    m, n = input.shape[-2:]
    count = math.prod(input.shape[:-2])
    routine = getrf(input.dtype.name)
    if routine is not None and input.size:
        columns = np.array(np.swapaxes(input, -2, -1), order="C").reshape(count, n, m)
        return (np.swapaxes(columns, -2, -1), *routine(columns))
    made = np.array(input, order="C").reshape(count, m, n)
    return (made, *blocked(made))


def lu_factor(input: np.ndarray, LU: np.ndarray, pivots: np.ndarray, info: np.ndarray) -> None:
    """(*, M, N): L and U packed, the exchanges of rows, the first zero on U's diagonal."""
    made, exchanges, first_zero = _factors(input)
    np.copyto(LU, made.reshape(LU.shape))
    np.copyto(pivots, exchanges.reshape(pivots.shape), casting="same_kind")
    np.copyto(info, first_zero.reshape(info.shape), casting="same_kind")


def _signs(pivots: np.ndarray) -> Any:
    """1 or -1 per matrix, by whether an even number of rows was exchanged."""
    moved = pivots != np.arange(1, pivots.shape[1] + 1)
    return 1 - 2 * (moved.sum(1) & 1)


def det(input: np.ndarray, out: np.ndarray) -> None:
    """Products of U's diagonals; NumPy's own goes by logarithms, which rounds more."""
    made, pivots, _ = _factors(input)
    with np.errstate(all="ignore"):
        found = made.diagonal(0, 1, 2).prod(1) * _signs(pivots).astype(input.dtype)
    np.copyto(out, found.reshape(out.shape))


def slogdet(input: np.ndarray, sign: np.ndarray, size: np.ndarray) -> None:
    """Signs (phases) and logarithms of determinants."""
    made, pivots, _ = _factors(input)
    diagonal = made.diagonal(0, 1, 2)
    lengths = np.abs(diagonal)
    units = diagonal / np.where(lengths == 0, 1, lengths)
    found = units.prod(1) * _signs(pivots).astype(input.dtype)
    np.copyto(sign, found.reshape(sign.shape))
    np.copyto(size, np.log(lengths).sum(1).reshape(size.shape))


def blocked(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factorize (B, M, N) in place without LAPACK; pivots (B, K) and info (B)."""
    count, m, n = a.shape
    k = min(m, n)
    exchanges, first_zero = np.zeros((count, k), np.int32), np.zeros(count, np.int32)
    for start in range(0, k if count else 0, _PANEL):
        stop = min(start + _PANEL, k)
        _panel(a, start, stop, exchanges, first_zero)
        if stop < n:
            top = a[:, start:stop, stop:]
            top[...] = _unit_lower(a[:, start:stop, start:stop], top)
            if stop < m:
                a[:, stop:, stop:] -= a[:, stop:, start:stop] @ top
    return exchanges, first_zero


def _panel(
    a: np.ndarray, start: int, stop: int, exchanges: np.ndarray, first_zero: np.ndarray
) -> None:
    """Columns start to stop, the exchanges made in whole rows."""
    each = np.arange(len(a))
    for j in range(start, stop):
        column = _size(a[:, j:, j])
        p = j + np.argmax(np.where(np.isnan(column), np.inf, column), axis=1)
        exchanges[:, j] = p + 1
        if np.any(p != j):
            rows = a[each, p].copy()
            a[each, p] = a[:, j]
            a[:, j] = rows
        head = a[:, j, j]
        zero = head == 0
        if zero.any():
            first_zero[(first_zero == 0) & zero] = j + 1
            head = np.where(zero, 1, head)
        if j + 1 < a.shape[1]:
            below = a[:, j + 1 :, j]
            below /= head[:, None]
            if j + 1 < stop:
                a[:, j + 1 :, j + 1 : stop] -= below[:, :, None] * a[:, None, j, j + 1 : stop]


def _unit_lower(L: np.ndarray, B: np.ndarray) -> np.ndarray:
    """L's strict lower triangle with ones on the diagonal; small."""
    made = B.copy()
    for i in range(1, L.shape[-1]):
        made[..., i, :] -= (L[..., i, None, :i] @ made[..., :i, :])[..., 0, :]
    return made


def permutation(pivots: np.ndarray, order: np.ndarray, *, size: int) -> None:
    """The order in which the exchanges leave ``size`` rows."""
    count = math.prod(pivots.shape[:-1])
    rows = np.ascontiguousarray(pivots).reshape(count, pivots.shape[-1]).astype(np.int64) - 1
    made = np.tile(np.arange(size), (len(rows), 1))
    each = np.arange(len(rows))
    for i in range(rows.shape[1]):
        there = rows[:, i]
        held = made[each, there]
        made[each, there] = made[:, i]
        made[:, i] = held
    np.copyto(order, made.reshape(order.shape))


def solve_triangular(
    A: np.ndarray, B: np.ndarray, X: np.ndarray, *, upper: bool, left: bool, unitriangular: bool
) -> None:
    """A X = B, or X A = B; blocks of the diagonal one row at a time, the rest by products."""
    if not left:  # X A = B is A^T X^T = B^T
        A, B, upper = np.swapaxes(A, -2, -1), np.swapaxes(B, -2, -1), not upper
        X = np.swapaxes(X, -2, -1)
    n = A.shape[-1]
    made = np.array(B, order="C")
    starts = range(0, n, _PANEL)
    for start in reversed(starts) if upper else starts:
        stop = min(start + _PANEL, n)
        block = made[..., start:stop, :]
        _small(A[..., start:stop, start:stop], block, upper, unitriangular)
        if upper and start:
            made[..., :start, :] -= A[..., :start, start:stop] @ block
        elif not upper and stop < n:
            made[..., stop:, :] -= A[..., stop:, start:stop] @ block
    np.copyto(X, made)


def _small(A: np.ndarray, B: np.ndarray, upper: bool, unitriangular: bool) -> None:
    """Substitution in place, row by row."""
    n = A.shape[-1]
    for i in reversed(range(n)) if upper else range(n):
        known = slice(i + 1, n) if upper else slice(0, i)
        row = B[..., i, :]
        if n > 1 and known.start != known.stop:
            row -= (A[..., i, None, known] @ B[..., known, :])[..., 0, :]
        if not unitriangular:
            row /= A[..., i, i, None]
