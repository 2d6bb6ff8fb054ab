"""Pseudo-inverses and least squares: pinv, lstsq, matrix_rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import return_types
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import publish
from dovetail.ops.families import draw
from dovetail.ops.linear_algebra.eigen import eigh_parts, hermitian_values
from dovetail.ops.linear_algebra.matrices import (
    FACTORED,
    apart,
    apart_reference,
    broadcast_batches,
    has_data,
    linalg,
    matrices,
    need_square,
)
from dovetail.ops.linear_algebra.operands import conj_transpose
from dovetail.ops.linear_algebra.qr import qr_parts
from dovetail.ops.linear_algebra.svd import singular_values, svd_parts
from dovetail.ops.linear_algebra.triangular import solve_triangular
from dovetail.ops.out import finish
from dovetail.ops.schema import Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["LSTSQ", "PINV", "pinv"]


def _tolerance(name: str, A: Any, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """(absolute, relative) tolerance: numbers, or tensors that broadcast with the batch."""
    for label, value in (("atol", atol), ("rtol", rtol)):
        if isinstance(value, Tensor) and value._spec.dtype.is_complex:
            raise RuntimeError(
                f"{name}: {label} tensor of complex type is not supported. Got "
                f"{type_name(value._spec.dtype)}"
            )
    eps = float(np.finfo(A.dtype.numpy).eps) * max(A.shape[-2:])
    if rtol is None:
        if isinstance(atol, Tensor):
            rtol = atol.gt(0).logical_not().to(A.dtype.to_real()) * eps
        else:
            rtol = 0.0 if atol is not None and atol > 0 else eps
    return 0.0 if atol is None else atol, rtol


def _limit(largest: Any, atol: Any, rtol: Any) -> Any:
    """What singular values must be larger than: ``max(atol, rtol * largest)``, as a tensor."""
    relative = largest * rtol
    if isinstance(atol, Tensor):
        return relative.maximum(atol)
    return relative.clamp(min=float(atol))


def _largest(values: Any) -> Any:
    """The largest of each row; 0 where there is none."""
    return values.amax(-1) if values.shape[-1] else values.sum(-1)


def _first(values: Any) -> Any:
    """The largest of singular values, which fall; 0 where there is none."""
    return values.select(-1, 0) if values.shape[-1] else values.sum(-1)


# --------------------------------------------------------------------- pinv


def _pinv(input: Any, limit: Any, hermitian: bool, atol: float = 0.0, rtol: float = 0.0) -> Any:
    from dovetail import ops

    if hermitian:
        values, vectors = eigh_parts(input)
        left, right = vectors, conj_transpose(vectors)
    else:
        u, values, right = svd_parts(input)
        left = u
    sizes = values.abs()
    if limit is None:
        limit = _limit(_largest(sizes), atol, rtol)
    keep = sizes.gt(limit.unsqueeze(-1))
    inverse = ops.where(keep, values.reciprocal(), 0.0)
    return (conj_transpose(right) * inverse.unsqueeze(-2)) @ conj_transpose(left)


def _pinv_gradient(g: Any, input: Any, out: Any) -> Any:
    # G. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares
    # problems whose variables separate" (1973).
    m, n = input.shape[-2:]
    turned, back = conj_transpose(out), conj_transpose(g)
    if m <= n:
        k = back @ out
        wide = k @ turned
        made = wide - (input @ out) @ wide + (turned @ out) @ (back - k @ input)
        return made - conj_transpose(out @ k)
    k = out @ back
    tall = turned @ k
    made = (back - input @ k) @ out @ turned + tall - (tall @ out) @ input
    return made - conj_transpose(k @ out)


def _pinv_infer(
    input: Spec, limit: Spec | None, hermitian: bool, atol: float, rtol: float
) -> Inferred:
    *batch, m, n = input.shape
    return Inferred((None, None), (((*batch, n, m), input.dtype),))


PINV = OpDef(
    "linalg_pinv",
    kind="composite",
    inputs=("input", "limit"),
    attributes=("hermitian", "atol", "rtol"),
    infer=_pinv_infer,
    decompose=_pinv,
    gradient={"input": _pinv_gradient},
    accepts=FACTORED,
    reference=lambda x: _pinv_reference(apart_reference(x)),
    samples=matrices((4, 3), (3, 3), (2, 2, 3), (1, 1), (0, 3), (3, 0), (2, 0, 3)),
    tolerance=Tolerance(32, length=lambda x, *_: max(x.shape[-2:])),
    method=False,
    public=False,
    function=lambda input: pinv(apart(input)),
)
"""``linalg_pinv(input, limit, out, *, hermitian, atol, rtol)``: values up to ``limit`` (*) count as
0; where that is None, up to ``max(atol, rtol * largest)``."""


def _pinv_reference(x: np.ndarray) -> Any:
    """By the normal equations of a matrix of full rank."""
    h = np.swapaxes(x, -2, -1).conj()
    return np.linalg.inv(h @ x) @ h if x.shape[-2] >= x.shape[-1] else h @ np.linalg.inv(x @ h)


@linalg()
def pinv(
    A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Any:
    """The pseudo-inverse of Moore and Penrose: (*, M, N) -> (*, N, M).

    Args:
        rcond: another name of rtol.
        hermitian: A is symmetric (Hermitian); its lower triangle is read.
        atol, rtol: singular values up to ``max(atol, rtol * largest)`` count as 0; numbers, or
            tensors that broadcast with the leading dims. Without them rtol is
            ``max(M, N) * eps``, or 0 if atol is given.

    Raises:
        RuntimeError: not matrices of float32, float64 or complex numbers.
    """
    spec = A._spec
    if spec.ndim < 2 or spec.dtype not in FACTORED:
        raise RuntimeError(
            f"linalg.pinv({type_name(spec.dtype)}{{{list(spec.shape)}}}): expected a tensor with 2 "
            "or more dimensions of float, double, cfloat or cdouble types"
        )
    if hermitian:
        need_square("linalg.eigh", A)
    atol, rtol = _tolerance("torch.linalg.pinv", A, atol, rcond if rtol is None else rtol)
    if not isinstance(atol, Tensor) and not isinstance(rtol, Tensor):
        return call(PINV, (A, None), (bool(hermitian), float(atol), float(rtol)))
    plain: Any = A.detach()
    values = hermitian_values(plain).abs() if hermitian else singular_values(plain)
    limit = _limit(_largest(values), atol, rtol)
    return call(PINV, (A, limit), (bool(hermitian), 0.0, 0.0))


@publish()
def pinverse(input: Tensor, rcond: float = 1e-15) -> Any:
    """See ``linalg.pinv``."""
    return pinv(input, rcond)


# -------------------------------------------------------------- matrix_rank


@linalg("matrix_rank")
def _matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Any:
    """How many singular values are not 0: (*, M, N) -> (*), int64.

    Args:
        tol: another name of atol, with rtol 0.
        hermitian: A is symmetric (Hermitian); its lower triangle is read.
        atol, rtol: as ``pinv`` has them.

    Raises:
        RuntimeError: not matrices of float32, float64 or complex numbers.
    """
    name = "torch.linalg.matrix_rank"
    if A._spec.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor input must have at least 2 dimensions.")
    if A._spec.dtype not in FACTORED:
        raise RuntimeError("This function doesn't handle types other than float and double")
    if hermitian:
        need_square("linalg.eigh", A)
    if tol is not None:
        atol, rtol = tol, 0.0
    atol, rtol = _tolerance(name, A, atol, rtol)
    plain: Any = A.detach()
    values = hermitian_values(plain).abs() if hermitian else singular_values(plain)
    largest = _largest(values) if hermitian else _first(values)
    limit = _limit(largest, atol, rtol)
    return values.gt(limit.unsqueeze(-1)).sum(-1)


# -------------------------------------------------------------------- lstsq


def _lstsq(input: Any, other: Any, limit: Any, by_qr: bool) -> Any:
    m, n = input.shape[-2:]
    if not by_qr:
        return _pinv(input, limit, False) @ other
    if m >= n:
        q, r = qr_parts(input)
        return solve_triangular(r, conj_transpose(q) @ other, upper=True)
    q, r = qr_parts(conj_transpose(input))
    return q @ solve_triangular(conj_transpose(r), other, upper=False)


def _lstsq_gradient(g: Any, input: Any, other: Any, needs: Any) -> Any:
    # X = pinv(A) B, differentiated as such.
    inverse = pinv(input)
    of_other = conj_transpose(inverse) @ g if needs[1] else None
    of_input = None
    if needs[0]:
        of_input = _pinv_gradient(g @ conj_transpose(other), input, inverse)
    return of_input, of_other, None


def _lstsq_infer(input: Spec, other: Spec, limit: Spec, by_qr: bool) -> Inferred:
    shape = (*other.shape[:-2], input.shape[-1], other.shape[-1])
    return Inferred((None,) * 3, ((shape, input.dtype),))


LSTSQ = OpDef(
    "linalg_lstsq",
    kind="composite",
    inputs=("input", "other", "limit"),
    attributes=("by_qr",),
    infer=_lstsq_infer,
    decompose=_lstsq,
    gradient=_lstsq_gradient,
    accepts=FACTORED,
    reference=lambda a, b, driver=None: _pinv_reference(apart_reference(a)) @ b,
    samples=lambda rng, dtype: [
        Sample((draw(rng, a, dtype, -1, 1), draw(rng, b, dtype, -1, 1), driver))
        for a, b in (((4, 3), (4, 2)), ((2, 3, 3), (2, 3, 1)), ((2, 3), (2, 2)), ((3, 0), (3, 2)))
        for driver in ("gels", "gelsd")
    ],
    tolerance=Tolerance(32, length=lambda a, *_: max(a.shape[-2:])),
    method=False,
    public=False,
    function=lambda input, other, driver=None: _solution(apart(input), other, None, driver)[0],
)
"""``linalg_lstsq(input, other, limit, out, *, by_qr)``: the solution of the smallest norm; for a
matrix of full rank by its QR factorization, else values up to ``limit`` (*) count as 0."""

_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def _solution(A: Any, B: Any, rcond: Any, driver: str | None) -> tuple[Any, Any, Any]:
    """(solution, rank or None, singular values or None)."""
    plain = A.detach()
    if driver == "gels":
        return call(LSTSQ, (A, B, plain.real.new_zeros(tuple(A.shape[:-2]))), (True,)), None, None
    values = singular_values(plain)
    if rcond is None:
        rcond = float(np.finfo(A.dtype.numpy).eps) * max(A.shape[-2:])
    limit = _first(values) * rcond
    rank = values.gt(limit.unsqueeze(-1)).sum(-1)
    return call(LSTSQ, (A, B, limit), (False,)), rank, values


@linalg("lstsq", out=False)
def _least_squares(
    A: Tensor, B: Tensor, rcond: Any = None, *, driver: str | None = None, out: Any = None
) -> Any:
    """X that makes ``|A X - B|`` smallest, as (solution, residuals, rank, singular_values).

    Args:
        A: (*, M, N).
        B: (*, M, K), or (*, M) for vectors.
        rcond: singular values up to ``rcond * largest`` count as 0; ``max(M, N) * eps`` if None.
        driver: ``gels`` (A has full rank; by its QR factorization), or ``gelsy`` (where None),
            ``gelsd``, ``gelss`` (by its singular values). Residuals are given by all but
            ``gelsy`` where M > N and the rank is full, the rank by all but ``gels``, the singular
            values by ``gelsd`` and ``gelss``; what is not given is empty.

    Raises:
        RuntimeError: sizes or dtypes that do not fit, or an unknown driver.
    """
    name = "torch.linalg.lstsq"
    a, b = A._spec, B._spec
    if a.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if b.ndim < 1:
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: Expected input and other to have the same dtype, but got input's dtype "
            f"{type_name(a.dtype)} and other's dtype {type_name(b.dtype)}"
        )
    if a.dtype not in FACTORED:
        raise RuntimeError("This function doesn't handle types other than float and double")
    vector = b.ndim == a.ndim - 1 and tuple(b.shape) == tuple(a.shape[:-1])
    right: Any = B.unsqueeze(-1) if vector else B
    if right.ndim < 2 or right.shape[-2] != a.shape[-2]:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size(-2)")
    if driver is not None and driver not in _DRIVERS:
        raise RuntimeError(
            f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    left, right = broadcast_batches(A, right)
    made, rank, values = _solution(left, right, rcond, driver)
    solution = made.squeeze(-1) if vector else made
    empty = left.real.detach().new_zeros((0,))
    has_values = driver in ("gelsd", "gelss")
    found = return_types.linalg_lstsq(
        solution,
        _residuals(left, right, made, rank) if driver not in (None, "gelsy") else empty,
        empty.to(d.int64) if rank is None else rank,
        values if has_values else empty,
    )
    return finish("linalg.lstsq", found, out)


def _residuals(A: Any, B: Any, X: Any, rank: Any) -> Any:
    """Squares of the distances, column by column; empty where a matrix has not full rank."""
    m, n = A.shape[-2:]
    empty = A.real.detach().new_zeros((0,))
    if m <= n:
        return empty
    if rank is not None and has_data(rank) and bool(rank.lt(n).any()):
        return empty
    return ((A @ X - B).abs() ** 2).sum(-2)
