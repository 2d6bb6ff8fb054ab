"""Factorizations by LAPACK, as NumPy wraps it for batches of matrices.

A matrix that LAPACK cannot factorize makes NumPy raise for the whole batch; only then are the
matrices taken one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.backend import KernelTable
from dovetail.errors import LinAlgError
from dovetail_cpu.kernels.linalg_ldl import ldl_factor, ldl_solve
from dovetail_cpu.kernels.linalg_lu import det, lu_factor, permutation, slogdet, solve_triangular

__all__ = ["enter"]

_KINDS = (d.float32, d.float64, d.complex64, d.complex128)


def _adjoint(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -2, -1).conj()


def cholesky(input: np.ndarray, L: np.ndarray, info: np.ndarray, *, upper: bool) -> None:
    """The factor of each matrix; where there is none, the part that there is."""
    a = _adjoint(input) if upper else input
    info[...] = 0
    try:
        made = np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        made = np.full(a.shape, np.nan, a.dtype)
    if np.isnan(made).any():  # of NaN, NumPy makes a factor of NaN
        for at in np.ndindex(*a.shape[:-2]):
            made[at], info[at] = _one_cholesky(a[at])
    np.copyto(L, _adjoint(made) if upper else made)


def _one_cholesky(a: np.ndarray) -> tuple[np.ndarray, int]:
    """The factor of the largest leading part that has one; the order of the first that has not."""
    n = len(a)
    good, bad = 0, n + 1
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            if not np.isfinite(np.linalg.cholesky(a[:middle, :middle])).all():
                bad = middle
                continue
            good = middle
        except np.linalg.LinAlgError:
            bad = middle
    made = np.tril(a)
    made[:good, :good] = np.linalg.cholesky(a[:good, :good])
    return made, 0 if good == n else good + 1


def qr(input: np.ndarray, Q: np.ndarray, R: np.ndarray, *, mode: str) -> None:
    """Q and R; R's diagonal is real, as LAPACK makes it."""
    if mode == "r":
        np.copyto(R, np.linalg.qr(input, "r"))
        return
    q, r = np.linalg.qr(input, mode)  # type: ignore[call-overload]
    np.copyto(Q, q)
    np.copyto(R, r)


def geqrf(input: np.ndarray, a: np.ndarray, tau: np.ndarray) -> None:
    """What LAPACK's ``geqrf`` leaves behind."""
    if not input.size:
        tau[...] = 0
        return
    packed, factors = np.linalg.qr(input, "raw")
    np.copyto(a, np.swapaxes(packed, -2, -1))
    np.copyto(tau, factors)


def _svd(input: np.ndarray, **options: bool) -> Any:
    """NumPy's, with PyTorch's error of a matrix that LAPACK gives up on."""
    try:
        return np.linalg.svd(input, **options)
    except np.linalg.LinAlgError as error:
        bad = np.flatnonzero(~np.isfinite(input).all((-2, -1)))
        where = f"(Batch element {bad[0]}): " if len(bad) and input.ndim > 2 else ""
        why = " because the input matrix contained non-finite values" if len(bad) else ""
        raise LinAlgError(f"linalg.svd: {where}The algorithm failed to converge{why}.") from error


def svd(
    input: np.ndarray, U: np.ndarray, S: np.ndarray, Vh: np.ndarray, *, full_matrices: bool
) -> None:
    """Singular values and vectors."""
    u, s, vh = _svd(input, full_matrices=full_matrices)
    np.copyto(U, u)
    np.copyto(S, s)
    np.copyto(Vh, vh)


def svdvals(input: np.ndarray, S: np.ndarray) -> None:
    """Singular values alone."""
    np.copyto(S, _svd(input, compute_uv=False))


def eigh(input: np.ndarray, values: np.ndarray, vectors: np.ndarray, *, UPLO: str) -> None:
    """Eigenvalues and eigenvectors of Hermitian matrices."""
    w, v = np.linalg.eigh(input, UPLO)  # type: ignore[arg-type]
    np.copyto(values, w)
    np.copyto(vectors, v)


def eigvalsh(input: np.ndarray, values: np.ndarray, *, UPLO: str) -> None:
    """Eigenvalues of Hermitian matrices."""
    np.copyto(values, np.linalg.eigvalsh(input, UPLO))  # type: ignore[arg-type]


def eig(input: np.ndarray, values: np.ndarray, vectors: np.ndarray) -> None:
    """Eigenvalues and eigenvectors of any square matrices."""
    w, v = np.linalg.eig(input)
    np.copyto(values, w)
    np.copyto(vectors, v)


def eigvals(input: np.ndarray, values: np.ndarray) -> None:
    """Eigenvalues of any square matrices."""
    np.copyto(values, np.linalg.eigvals(input))


def solve(A: np.ndarray, B: np.ndarray, X: np.ndarray, info: np.ndarray) -> None:
    """Solutions; NaN where a matrix is singular."""
    try:
        np.copyto(X, np.linalg.solve(A, B))
        info[...] = 0
    except np.linalg.LinAlgError:
        _one_by_one(lambda a, b: np.linalg.solve(a, b), A, X, info, B)


def inv(input: np.ndarray, inverse: np.ndarray, info: np.ndarray) -> None:
    """Inverses; NaN where a matrix is singular."""
    try:
        np.copyto(inverse, np.linalg.inv(input))
        info[...] = 0
    except np.linalg.LinAlgError:
        _one_by_one(np.linalg.inv, input, inverse, info)


def _one_by_one(
    function: Any, A: np.ndarray, out: np.ndarray, info: np.ndarray, *more: np.ndarray
) -> None:
    packed, pivots = np.empty_like(A), np.empty(A.shape[:-1], np.int32)
    lu_factor(A, packed, pivots, info)
    for at in np.ndindex(*A.shape[:-2]):
        out[at] = np.nan
        if not info[at]:
            try:
                out[at] = function(A[at], *[x[at] for x in more])
            except np.linalg.LinAlgError:  # LAPACK rounded to an exact zero where we did not
                info[at] = A.shape[-1]


def enter(table: KernelTable) -> None:
    """Put this file's kernels into the table."""
    for name, kernel in (
        ("linalg_cholesky_ex", cholesky),
        ("linalg_qr", qr),
        ("linalg_geqrf", geqrf),
        ("linalg_svd", svd),
        ("linalg_svdvals", svdvals),
        ("linalg_eigh", eigh),
        ("linalg_eigvalsh", eigvalsh),
        ("linalg_eig", eig),
        ("linalg_eigvals", eigvals),
        ("linalg_solve_ex", solve),
        ("linalg_inv_ex", inv),
        ("linalg_lu_factor_ex", lu_factor),
        ("linalg_solve_triangular", solve_triangular),
        ("det", det),
        ("slogdet", slogdet),
        ("linalg_ldl_factor_ex", ldl_factor),
        ("linalg_ldl_solve", ldl_solve),
    ):
        table.add(name, kernel, dtypes=_KINDS, layout="strided")
    table.add("linalg_lu_permutation", permutation, layout="strided")
