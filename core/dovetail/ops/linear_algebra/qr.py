"""QR factorization, and matrices made of Householder reflections: geqrf, orgqr, ormqr."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import return_types
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import publish
from dovetail.ops.linear_algebra.matrices import (
    FACTORED,
    apart,
    apart_reference,
    call_laid,
    eye_like,
    linalg,
    matrices,
    named,
    need_floating,
    need_matrix,
)
from dovetail.ops.linear_algebra.operands import conj_transpose
from dovetail.ops.linear_algebra.triangular import solve_triangular
from dovetail.ops.schema import Inferred, OpDef, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["QR", "qr_parts"]

MODES = ("reduced", "complete", "r")


def _infer(spec: Spec, mode: str) -> Inferred:
    *batch, m, n = spec.shape
    k = m if mode == "complete" else min(m, n)
    first = (0,) if mode == "r" else (*batch, m, k)
    return Inferred((None,), ((first, spec.dtype), ((*batch, k, n), spec.dtype)))


def _square_gradient(gq: Any, gr: Any, q: Any, r: Any) -> Any:
    """The gradient of A = Q R with m >= n, from those of Q and R (either may be None)."""
    inner: Any = None
    if gr is not None:
        inner = gr @ conj_transpose(r)
    if gq is not None:
        part = conj_transpose(q) @ gq
        inner = -part if inner is None else inner - part
    upper = inner.triu(1)
    on_diagonal = inner.diagonal(0, -2, -1)
    if inner.dtype.is_complex:
        on_diagonal = on_diagonal.real
    made = q @ (upper + conj_transpose(upper) + on_diagonal.diag_embed())
    if gq is not None:
        made = made + gq
    return solve_triangular(conj_transpose(r), made, upper=False, left=False)


def _gradient(g: Any, out0: Any, out1: Any, mode: str) -> Any:
    # M. Seeger et al., "Auto-differentiating linear algebra" (2017); S. Walter and L. Lehmann,
    # "Algorithmic differentiation of linear algebra functions" (2010). R's diagonal is real.
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. "
            "Please use linalg.qr(A, mode='reduced') if you are going to require gradients."
        )
    k, n = out1.shape[-2:]
    if mode == "complete" and k > n:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols"
        )
    gq, gr = g
    if k >= n:
        return _square_gradient(gq, gr, out0, out1)
    # A = (X | Y) with X = Q U square and Y = Q V.
    left, right = out1.narrow(-1, 0, k), out1.narrow(-1, k, n - k)
    if gr is None:
        gr = out1.new_zeros(*out1.shape)
    other = out0 @ gr.narrow(-1, k, n - k)
    also = (out0 @ right) @ conj_transpose(gr.narrow(-1, k, n - k))
    total = also if gq is None else gq + also
    return _beside(_square_gradient(total, gr.narrow(-1, 0, k), out0, left), other)


def _beside(first: Any, second: Any) -> Any:
    from dovetail import ops

    return ops.cat([first, second], -1)


def qr_parts(A: Any, mode: str = "reduced") -> Any:
    """(Q, R) without checks."""
    return call(QR, (A,), (mode,))


def _settled(input: Any, mode: str = "reduced") -> Any:
    """Q and R of a matrix with larger numbers on its diagonal, R's diagonal made positive.

    Rows of R without a diagonal, and columns of Q that belong to none, are as free as a rotation:
    of those columns comes 1 and the projection on the space that they span.
    """
    q, r = call_laid(QR, apart(input), input, (mode,))
    m, n = input.shape[-2:]
    k = min(m, n)
    sign = r.diagonal(0, -2, -1).real.sign().detach().to(r.dtype)
    top = r.narrow(-2, 0, k) * sign.unsqueeze(-1)
    if mode == "r":
        return q, top
    main, rest = q.narrow(-1, 0, k) * sign.unsqueeze(-2), q.narrow(-1, k, q.shape[-1] - k)
    if mode == "reduced":
        return main, top
    return main, top, eye_like(rest, m) + rest @ conj_transpose(rest)


def _reference(x: np.ndarray, mode: str = "reduced") -> Any:
    """By Gram and Schmidt, twice, which gives a positive diagonal."""
    x = apart_reference(x)
    m, n = x.shape[-2:]
    k = min(m, n)
    q = np.zeros((*x.shape[:-1], k), x.dtype)
    for j in range(k):
        v = x[..., j]
        for _ in range(2):
            inside = np.einsum("...mk,...m->...k", q[..., :j].conj(), v)
            v = v - np.einsum("...mk,...k->...m", q[..., :j], inside)
        q[..., j] = v / np.sqrt((np.abs(v) ** 2).sum(-1, keepdims=True))
    r = np.triu(np.swapaxes(q, -2, -1).conj() @ x)
    if mode == "r":
        return np.zeros(0, x.dtype), r
    if mode == "reduced":
        return q, r
    return q, r, 2 * np.eye(m) - q @ np.swapaxes(q, -2, -1).conj()


QR = OpDef(
    "linalg_qr",
    kind="contract",
    attributes=("mode",),
    outputs=2,
    infer=_infer,
    gradient={"input": _gradient},
    differentiable=(0, 1),
    accepts=FACTORED,
    reference=_reference,
    samples=lambda rng, dtype: [
        *matrices((4, 3), (3, 3), (2, 3, 2), (2, 4), (0, 3), (3, 0), (1, 1))(rng, dtype),
        *matrices((3, 3), (2, 4), attributes=(("complete",),))(rng, dtype),
    ],
    tolerance=Tolerance(16, length=lambda x, *_: x.shape[-2]),
    method=False,
    public=False,
    function=_settled,
)
"""``linalg_qr(input, Q, R, *, mode)``: input (*, M, N), K = min(M, N); Q (*, M, K), R (*, K, N)
with a real diagonal and zeros below; with mode ``complete`` Q (*, M, M), R (*, M, N); with mode
``r`` R as it is reduced, and Q (0), not written."""


def _checked(A: Tensor, mode: str) -> Any:
    need_matrix("linalg.qr", A)
    need_floating("linalg.qr", A)
    if mode not in MODES:
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), "
            "'r', or 'complete'"
        )
    return qr_parts(A, mode)


@linalg()
def qr(A: Tensor, mode: str = "reduced") -> Any:
    """``A = Q R`` with orthonormal columns in Q and an upper triangular R, as (Q, R).

    Args:
        A: (*, M, N).
        mode: ``reduced``: Q (*, M, K), R (*, K, N) with K = min(M, N); ``complete``: Q (*, M, M),
            R (*, M, N); ``r``: R alone, Q is empty.

    Raises:
        RuntimeError: not matrices of floats, or an unknown mode.
    """
    return return_types.linalg_qr(*_checked(A, mode))


@publish(out=True)
@named("qr")
def _top_qr(input: Tensor, some: bool = True) -> Any:
    """As ``linalg.qr``: ``reduced``, or ``complete`` with ``some`` False."""
    return return_types.qr(*_checked(input, "reduced" if some else "complete"))


# --------------------------------------------------------------- reflections


def _geqrf_infer(spec: Spec) -> Inferred:
    *batch, m, n = spec.shape
    outs = ((tuple(spec.shape), spec.dtype), ((*batch, min(m, n)), spec.dtype))
    return Inferred((None,), outs)


def _geqrf_reference(x: np.ndarray) -> Any:
    """LAPACK's ``larfg``: each reflection leaves a real number on the diagonal."""
    a = apart_reference(x)
    m, n = a.shape[-2:]
    taus = np.zeros((*a.shape[:-2], min(m, n)), a.dtype)
    for at in np.ndindex(*a.shape[:-2]):
        for j in range(min(m, n)):
            column = a[at][j:, j].copy()
            alpha, rest = column[0], float((np.abs(column[1:]) ** 2).sum())
            if rest == 0 and alpha.imag == 0:
                continue
            beta = -np.copysign(np.sqrt(abs(alpha) ** 2 + rest), alpha.real)
            tau = (beta - alpha) / beta
            v = np.concatenate([[1], column[1:] / (alpha - beta)])
            inside = v.conj() @ a[at][j:, j + 1 :]
            a[at][j:, j + 1 :] -= np.conj(tau) * np.outer(v, inside)
            a[at][j, j], a[at][j + 1 :, j] = beta, v[1:]
            taus[at][j] = tau
    return a, taus


GEQRF = OpDef(
    "linalg_geqrf",
    kind="contract",
    outputs=2,
    infer=_geqrf_infer,
    differentiable=(),
    accepts=FACTORED,
    reference=_geqrf_reference,
    samples=matrices((4, 3), (3, 3), (2, 3, 2), (2, 4), (0, 3), (3, 0), (1, 1), (5, 1)),
    tolerance=Tolerance(24, length=lambda x: x.shape[-2]),
    method=False,
    public=False,
    function=lambda input: call_laid(GEQRF, apart(input), input, ()),
)
"""``linalg_geqrf(input, a, tau)``: LAPACK's: R in the upper triangle of ``a``, below its diagonal
the vectors of the reflections ``1 - tau v v^H``, whose first nonzero element 1 is not stored."""


@publish(out=True)
@named("geqrf")
def _geqrf(input: Tensor) -> Any:
    """R and the reflections that make Q, packed as LAPACK has them, as (a, tau).

    No gradient flows through it; ``linalg.qr`` has one.

    Raises:
        RuntimeError: not matrices.
    """
    if input._spec.ndim < 2:
        raise RuntimeError("torch.geqrf: input must have at least 2 dimensions.")
    return return_types.geqrf(*call(GEQRF, (input.detach(),)))


def _reflectors(name: str, input: Tensor, tau: Tensor) -> None:
    a, t = input._spec, tau._spec
    if a.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if t.ndim != a.ndim - 1:
        raise RuntimeError(
            f"{name}: Expected tau to have one dimension less than input, but got tau.ndim equal "
            f"to {t.ndim} and input.ndim is equal to {a.ndim}"
        )
    if name != "torch.ormqr":
        if a.shape[-2] < a.shape[-1]:
            raise RuntimeError(
                f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]"
            )
        if a.shape[-1] < t.shape[-1]:
            raise RuntimeError(
                f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]"
            )
    if t.shape[:-1] != a.shape[:-2]:
        raise RuntimeError(
            f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got "
            f"{list(t.shape[:-1])}"
        )
    if t.dtype is not a.dtype:
        raise RuntimeError(
            f"{name}: tau dtype {type_name(t.dtype)} does not match input dtype "
            f"{type_name(a.dtype)}"
        )


def _blocked(input: Any, tau: Any) -> tuple[Any, Any]:
    """(V, T) with ``H_1 … H_k = I - V T V^H``.

    Source: R. Schreiber and C. Van Loan, "A storage-efficient WY representation for products of
    Householder transformations" (1989); ``T^-1 = diag(1/tau) + triu(V^H V, 1)`` (X. Sun, 1996).
    """
    k = tau.shape[-1]
    v = input.narrow(-1, 0, k).tril(-1) + eye_like(input, input.shape[-2], k)
    inner = (conj_transpose(v) @ v).triu(1) * tau.unsqueeze(-1)
    return v, solve_triangular(inner, tau.diag_embed(), upper=True, unitriangular=True)


@publish(method=False, out=True)
@named("orgqr")
def _householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """The first columns of the product of Householder reflections, as ``geqrf`` packs them.

    Args:
        input: (*, M, N) with M >= N.
        tau: (*, K) with K <= N.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    _reflectors("torch.linalg.householder_product", input, tau)
    need_floating("linalg.householder_product", input)
    columns = input._spec.shape[-1]
    v, t = _blocked(input, tau)
    one = eye_like(input, input._spec.shape[-2], columns)
    return one - v @ (t @ conj_transpose(v.narrow(-2, 0, columns)))  # type: ignore[no-any-return]


linalg("householder_product")(_householder_product)
Tensor.orgqr = _householder_product  # type: ignore[attr-defined]


@publish(out=True)
def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """The product of the square Q of Householder reflections with a matrix.

    Args:
        input: (*, M, K), tau: (*, K): as ``geqrf`` packs them.
        other: (*, M, N), or (*, N, M) with ``left`` False.
        left: ``Q @ other``, else ``other @ Q``.
        transpose: with the conjugate transpose of Q.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    name = "torch.ormqr"
    for label, x in (("input", input), ("other", other)):
        if x._spec.ndim < 2:
            raise RuntimeError(f"{name}: {label} must have at least 2 dimensions.")
    side = -2 if left else -1
    if other._spec.shape[side] < tau._spec.shape[-1]:
        raise RuntimeError(
            f"{name}: other.shape[{side}] must be greater than or equal to tau.shape[-1]"
        )
    if other._spec.shape[side] != input._spec.shape[-2]:
        raise RuntimeError(f"{name}: other.shape[{side}] must be equal to input.shape[-2]")
    _reflectors(name, input, tau)
    v, t = _blocked(input, tau)
    if transpose:
        t = conj_transpose(t)
    if left:
        return other - v @ (t @ (conj_transpose(v) @ other))  # type: ignore[no-any-return]
    return other - ((other @ v) @ t) @ conj_transpose(v)  # type: ignore[no-any-return]
