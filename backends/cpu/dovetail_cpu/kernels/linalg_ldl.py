"""LDL of symmetric and Hermitian matrices, LAPACK's ``sytrf`` and ``hetrf``, which NumPy has not.

Source: J. Bunch and L. Kaufman, "Some stable methods for calculating inertia and solving symmetric
linear systems" (1977); LAPACK's ``sytf2`` for what lies where.
"""

from __future__ import annotations

import numpy as np

__all__ = ["ldl_factor", "ldl_solve"]

_ALPHA = (1 + 17**0.5) / 8


def _size(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(x.real) + np.abs(x.imag))


def _turned(x: np.ndarray, hermitian: bool) -> np.ndarray:
    return np.asarray(x.conj() if hermitian else x)


def ldl_factor(
    input: np.ndarray, LD: np.ndarray, pivots: np.ndarray, info: np.ndarray, *, hermitian: bool
) -> None:
    """Matrix by matrix, of the lower triangle."""
    for at in np.ndindex(*input.shape[:-2]):
        a = np.tril(input[at])
        if hermitian:
            np.fill_diagonal(a, a.diagonal().real)
        info[at] = _factor(a, pivots[at], hermitian)
        LD[at] = a


def _choose(a: np.ndarray, k: int) -> tuple[int, int]:
    """(the row to exchange with, how many rows the block has) at step k."""
    n = len(a)
    if k == n - 1:
        return k, 1
    here = float(_size(a[k, k]))
    column = _size(a[k + 1 :, k])
    r = k + 1 + int(np.argmax(column))
    largest = float(column[r - k - 1])
    if max(here, largest) == 0 or here >= _ALPHA * largest:
        return k, 1
    others = float(_size(a[r, k:r]).max())
    if r < n - 1:
        others = max(others, float(_size(a[r + 1 :, r]).max()))
    if here >= _ALPHA * largest * (largest / others):
        return k, 1
    return (r, 1) if float(_size(a[r, r])) >= _ALPHA * others else (r, 2)


def _exchange(a: np.ndarray, here: int, there: int, hermitian: bool) -> None:
    """Rows and columns ``here < there`` of the triangle that is left."""
    a[there + 1 :, [here, there]] = a[there + 1 :, [there, here]]
    held = a[here + 1 : there, here].copy()
    a[here + 1 : there, here] = _turned(a[there, here + 1 : there], hermitian)
    a[there, here + 1 : there] = _turned(held, hermitian)
    a[there, here] = _turned(a[there, here], hermitian)
    a[here, here], a[there, there] = a[there, there], a[here, here]


def _factor(a: np.ndarray, pivots: np.ndarray, hermitian: bool) -> int:
    n, k, info = len(a), 0, 0
    while k < n:
        there, count = _choose(a, k)
        here, stop = k + count - 1, k + count
        if there != here:
            _exchange(a, here, there, hermitian)
            if count == 2:
                a[[here, there], k] = a[[there, here], k]
        pivots[k:stop] = there + 1 if count == 1 else -(there + 1)
        block = a[k:stop, k:stop]
        whole = block + _turned(np.tril(block, -1), hermitian).T
        if not whole.any():
            info = info or k + 1
        elif stop < n:
            rest = a[stop:, k:stop].copy()
            factor = rest / whole[0, 0] if count == 1 else rest @ np.linalg.inv(whole)
            a[stop:, stop:] -= np.tril(factor @ _turned(rest, hermitian).T)
            a[stop:, k:stop] = factor
            if hermitian:
                np.fill_diagonal(a[stop:, stop:], a[stop:, stop:].diagonal().real)
        k = stop
    return info


def ldl_solve(
    LD: np.ndarray, pivots: np.ndarray, B: np.ndarray, X: np.ndarray, *, hermitian: bool
) -> None:
    """Matrix by matrix: down through the exchanges and L, D, and back."""
    np.copyto(X, B)
    for at in np.ndindex(*LD.shape[:-2]):
        _solve(LD[at], pivots[at], X[at], hermitian)


def _solve(a: np.ndarray, pivots: np.ndarray, x: np.ndarray, hermitian: bool) -> None:
    n = len(a)
    steps, k = [], 0
    while k < n:
        count = 1 if pivots[k] > 0 else 2
        steps.append((k, k + count, k + count - 1, abs(int(pivots[k])) - 1))
        k += count
    for k, stop, here, there in steps:
        x[[here, there]] = x[[there, here]]
        x[stop:] -= a[stop:, k:stop] @ x[k:stop]
        block = a[k:stop, k:stop]
        whole = np.tril(block) + _turned(np.tril(block, -1), hermitian).T
        x[k:stop] = x[k:stop] / whole[0, 0] if stop - k == 1 else np.linalg.solve(whole, x[k:stop])
    for k, stop, here, there in reversed(steps):
        x[k:stop] -= _turned(a[stop:, k:stop], hermitian).T @ x[stop:]
        x[[here, there]] = x[[there, here]]
