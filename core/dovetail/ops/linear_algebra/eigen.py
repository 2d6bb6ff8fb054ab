"""Eigenvalues and eigenvectors: of symmetric (Hermitian) matrices eigh, of any eig."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import return_types
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.ops.linear_algebra.matrices import (
    FACTORED,
    apart,
    apart_reference,
    call_laid,
    has_data,
    linalg,
    matrices,
    need_floating,
    need_square,
)
from dovetail.ops.linear_algebra.operands import conj_transpose
from dovetail.ops.linear_algebra.svd import check_phase, gaps, turned, turned_reference
from dovetail.ops.schema import Inferred, OpDef, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["EIG", "EIGH", "eigh_parts", "hermitian_values"]

# --------------------------------------------------------------------- eigh


def _eigh_infer(spec: Spec, UPLO: str) -> Inferred:
    shape = tuple(spec.shape)
    return Inferred((None,), ((shape[:-1], spec.dtype.to_real()), (shape, spec.dtype)))


def _eigh_gradient(g: Any, out0: Any, out1: Any) -> Any:
    # M. Giles, "An extended collection of matrix derivative results" (2008), 3.1; for complex
    # matrices C. Boeddeker et al., "On the computation of complex-valued gradients" (2017), 4.6.
    values, vectors = g
    back = conj_transpose(out1)
    if vectors is None:
        return (out1 * values.unsqueeze(-2)) @ back
    inner = back @ vectors
    # Vectors move within the unitary matrices, whose tangents are skew.
    inner = (inner - conj_transpose(inner)) / 2
    check_phase("linalg_eigh_backward", inner, None, "eigenvectors")
    made = inner / gaps(out0)
    if values is not None:
        made = made + values.diag_embed()
    return out1 @ made @ back


def eigh_parts(A: Any, UPLO: str = "L") -> Any:
    """(eigenvalues, eigenvectors) without checks."""
    return call(EIGH, (A,), (UPLO,))


def _hermitian(input: Any) -> Any:
    made = apart(input)
    return made + conj_transpose(made)


def _eigh_settled(input: Any, UPLO: str = "L") -> Any:
    """Eigenvalues and eigenvectors of ``x + x^H``, the phases of the vectors fixed."""
    values, vectors = call_laid(EIGH, _hermitian(input), input, (UPLO,))
    return values, vectors * turned(vectors)


def _eigh_reference(x: np.ndarray, UPLO: str = "L") -> Any:
    """By Jacobi's rotations (G. Golub and C. Van Loan, "Matrix computations", 8.5)."""
    x = apart_reference(x)
    a = np.array(x + np.swapaxes(x, -2, -1).conj())
    n = a.shape[-1]
    v = np.broadcast_to(np.eye(n), a.shape).astype(a.dtype)
    for _ in range(12):
        for p in range(n):
            for q in range(p + 1, n):
                off = a[..., p, q]
                size = np.abs(off)
                phase = np.where(size == 0, 1, off / np.where(size == 0, 1, size))
                angle = 0.5 * np.arctan2(2 * size, (a[..., q, q] - a[..., p, p]).real)
                c, s = np.cos(angle), np.sin(angle)
                turn = np.broadcast_to(np.eye(n), a.shape).astype(a.dtype)
                turn[..., p, p], turn[..., q, q] = c, c
                turn[..., p, q], turn[..., q, p] = s * phase, -s * phase.conj()
                a = np.swapaxes(turn, -2, -1).conj() @ a @ turn
                v = v @ turn
    values = np.diagonal(a, 0, -2, -1).real
    order = np.argsort(values, -1)
    v = np.take_along_axis(v, order[..., None, :], -1)
    return np.take_along_axis(values, order, -1), v * turned_reference(v)


_EIGH_SAMPLES = matrices(
    (3, 3), (2, 4, 4), (1, 1), (0, 0), (2, 0, 0), attributes=(("L",), ("U",))
)  # fmt: skip

EIGH = OpDef(
    "linalg_eigh",
    kind="contract",
    attributes=("UPLO",),
    outputs=2,
    infer=_eigh_infer,
    gradient={"input": _eigh_gradient},
    differentiable=(0, 1),
    accepts=FACTORED,
    reference=_eigh_reference,
    samples=_EIGH_SAMPLES,
    tolerance=Tolerance(24, length=lambda x, *_: x.shape[-1]),
    method=False,
    public=False,
    function=_eigh_settled,
)
"""``linalg_eigh(input, eigenvalues, eigenvectors, *, UPLO)``: input (*, N, N), of which the
triangle ``L`` or ``U`` is read; eigenvalues (*, N) real and ascending, eigenvectors in columns, of
norm 1."""

EIGVALSH = OpDef(
    "linalg_eigvalsh",
    attributes=("UPLO",),
    infer=lambda spec, UPLO: Inferred((None,), (_eigh_infer(spec, UPLO).outs[0],)),
    decompose=lambda input, UPLO: eigh_parts(input, UPLO)[0],
    accepts=FACTORED,
    reference=lambda x, UPLO="L": _eigh_reference(x, UPLO)[0],
    samples=_EIGH_SAMPLES,
    tolerance=Tolerance(16, length=lambda x, *_: x.shape[-1]),
    method=False,
    public=False,
    function=lambda input, UPLO="L": call_laid(EIGVALSH, _hermitian(input), input, (UPLO,)),
)
"""``linalg_eigvalsh(input, eigenvalues, *, UPLO)``: the eigenvalues alone."""


def hermitian_values(A: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of a Hermitian matrix without checks."""
    return call(EIGVALSH, (A,), (UPLO,))


def _triangle(A: Tensor, UPLO: str) -> str:
    need_square("linalg.eigh", A)
    upper = str(UPLO).upper()
    if upper not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return upper


@linalg()
def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """``A = V diag(w) V^H`` of a symmetric (Hermitian) matrix, as (eigenvalues, eigenvectors).

    Args:
        A: (*, N, N).
        UPLO: ``L`` or ``U``, the triangle that is read.

    Raises:
        RuntimeError: not square matrices of floats.
    """
    return return_types.linalg_eigh(*eigh_parts(A, _triangle(A, UPLO)))


@linalg()
def eigvalsh(A: Tensor, UPLO: str = "L") -> Any:
    """The eigenvalues of a symmetric (Hermitian) matrix in ascending order: (*, N, N) -> (*, N).

    Raises:
        RuntimeError: not square matrices of floats.
    """
    return hermitian_values(A, _triangle(A, UPLO))


# ---------------------------------------------------------------------- eig


def _eig_infer(spec: Spec) -> Inferred:
    shape, kind = tuple(spec.shape), spec.dtype.to_complex()
    return Inferred((None,), ((shape[:-1], kind), (shape, kind)))


def _eig_gradient(g: Any, out0: Any, out1: Any, specs: Any) -> Any:
    # C. Boeddeker et al. (2017), 4.6, with the vectors' norm 1 taken into account.
    values, vectors = g
    back = conj_transpose(out1)
    if vectors is None:
        made = values.unsqueeze(-1) * back
    else:
        inner = back @ vectors
        check_phase("linalg_eig_backward", inner, None, "eigenvectors")
        along = inner.diagonal(0, -2, -1).real
        middle = (inner - (back @ out1) * along.unsqueeze(-2)) / gaps(out0).conj()
        if values is not None:
            middle = middle + values.diag_embed()
        made = middle @ back
    from dovetail.ops.linear_algebra.solve import solve_parts

    found = solve_parts(back, made)
    return found if specs[0].dtype.is_complex else found.real


def _in_order(values: Any, vectors: Any) -> Any:
    """Eigenvalues by a mix of their parts that leaves no two equal, the vectors' phases fixed."""
    key = values.real + 0.61803 * values.imag
    order = key.detach().argsort(-1)
    index = order.unsqueeze(-2).expand(vectors.shape)
    vectors = vectors.gather(-1, index)
    return values.gather(-1, order), vectors * turned(vectors)


def _eig_settled(input: Any) -> Any:
    """Eigenvalues and eigenvectors in a fixed order, the phases of the vectors fixed."""
    return _in_order(*call_laid(EIG, apart(input), input, ()))


def _eig_reference(x: np.ndarray) -> Any:
    """By the unshifted definition: roots of the polynomial of the Hessenberg form, then inverses.

    The eigenvalues are polished as Rayleigh quotients of inverse iteration.
    """
    x = apart_reference(x).astype(np.complex128)
    n = x.shape[-1]
    values = np.zeros(x.shape[:-1], np.complex128)
    vectors = np.zeros(x.shape, np.complex128)
    for at in np.ndindex(*x.shape[:-2]):
        roots = np.roots(np.poly(x[at])) if n else np.zeros(0)
        for j, root in enumerate(roots):
            v = np.full(n, 1.0 + 0.25j) + 0.1 * np.arange(n)
            for _ in range(4):
                v = np.linalg.solve(x[at] - (root + 1e-9) * np.eye(n), v)
                v = v / np.linalg.norm(v)
                root = v.conj() @ x[at] @ v
            values[at][j], vectors[at][:, j] = root, v
    order = np.argsort(values.real + 0.61803 * values.imag, -1)
    vectors = np.take_along_axis(vectors, order[..., None, :], -1)
    return np.take_along_axis(values, order, -1), vectors * turned_reference(vectors)


_EIG_SAMPLES = matrices((3, 3), (2, 4, 4), (1, 1), (0, 0), (2, 0, 0))

EIG = OpDef(
    "linalg_eig",
    kind="contract",
    outputs=2,
    infer=_eig_infer,
    gradient={"input": _eig_gradient},
    differentiable=(0, 1),
    accepts=FACTORED,
    reference=_eig_reference,
    samples=_EIG_SAMPLES,
    tolerance=Tolerance(64, length=lambda x: x.shape[-1]),
    method=False,
    public=False,
    function=_eig_settled,
)
"""``linalg_eig(input, eigenvalues, eigenvectors)``: input (*, N, N); eigenvalues (*, N) and
eigenvectors (*, N, N) complex, the vectors in columns, of norm 1."""

EIGVALS = OpDef(
    "linalg_eigvals",
    infer=lambda spec: Inferred((None,), (_eig_infer(spec).outs[0],)),
    decompose=lambda input: call(EIG, (input,))[0],
    accepts=FACTORED,
    reference=lambda x: _eig_reference(x)[0],
    samples=_EIG_SAMPLES,
    tolerance=Tolerance(64, length=lambda x: x.shape[-1]),
    method=False,
    public=False,
    function=lambda input: _sorted(call_laid(EIGVALS, apart(input), input, ())),
)
"""``linalg_eigvals(input, eigenvalues)``: the eigenvalues alone."""


def _sorted(values: Any) -> Any:
    order = (values.real + 0.61803 * values.imag).detach().argsort(-1)
    return values.gather(-1, order)


def _check(name: str, A: Tensor) -> None:
    need_square(name, A)
    kind = A._spec.dtype
    if kind.category < 2:
        need_floating(name, A)
    if kind not in FACTORED:
        raise Unsupported(f"\"linalg_eig\" not implemented for '{type_name(kind)}'")
    if not has_data(A) or not A._spec.numel:
        return
    if not bool(A.detach().isfinite().all()):
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")


@linalg()
def eig(A: Tensor) -> Any:
    """``A = V diag(w) V^-1``, complex, as (eigenvalues, eigenvectors), in no order.

    Args:
        A: (*, N, N).

    Raises:
        RuntimeError: not square matrices of floats, or infinities or NaN among them.
    """
    _check("linalg.eig", A)
    return return_types.linalg_eig(*call(EIG, (A,)))


@linalg()
def eigvals(A: Tensor) -> Any:
    """The eigenvalues of square matrices, complex, in no order: (*, N, N) -> (*, N).

    Raises:
        RuntimeError: as ``eig``.
    """
    _check("linalg.eigvals", A)
    return call(EIGVALS, (A,))
