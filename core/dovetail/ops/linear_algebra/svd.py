"""Singular values: svd, svdvals, and the low-rank approximations svd_lowrank and pca_lowrank."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import return_types
from dovetail.dispatch import call
from dovetail.factories import tensor
from dovetail.ops.expose import publish
from dovetail.ops.linear_algebra.matrices import (
    FACTORED,
    apart,
    apart_reference,
    call_laid,
    eye_like,
    has_data,
    linalg,
    matrices,
    named,
    need_floating,
    need_matrix,
)
from dovetail.ops.linear_algebra.operands import conj_transpose
from dovetail.ops.linear_algebra.qr import qr_parts
from dovetail.ops.schema import Inferred, OpDef, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = [
    "SVD", "SVDVALS", "check_phase", "gaps", "singular_values", "svd_parts", "turned",
    "turned_reference",
]  # fmt: skip


def _infer(spec: Spec, full_matrices: bool) -> Inferred:
    *batch, m, n = spec.shape
    k = min(m, n)
    rows, columns = (m, n) if full_matrices else (k, k)
    outs = (
        ((*batch, m, rows), spec.dtype),
        ((*batch, k), spec.dtype.to_real()),
        ((*batch, columns, n), spec.dtype),
    )
    return Inferred((None,), outs)


def _skew(x: Any) -> Any:
    return x - conj_transpose(x)


def gaps(values: Any) -> Any:
    """``values_j - values_i``, with ones on the diagonal."""
    differences = values.unsqueeze(-2) - values.unsqueeze(-1)
    return differences + eye_like(values, values.shape[-1])


def _gradient(g: Any, out0: Any, out1: Any, out2: Any) -> Any:
    # J. Townsend, "Differentiating the singular value decomposition" (2016); for complex matrices
    # Z.-Q. Wan and S.-X. Zhang, "Automatic differentiation for complex valued SVD" (2019).
    gu, gs, gvh = g
    m, n, k = out0.shape[-2], out2.shape[-1], out1.shape[-1]
    u, vh = out0.narrow(-1, 0, k), out2.narrow(-2, 0, k)
    s = out1
    if gu is None and gvh is None:
        return (u * gs.unsqueeze(-2)) @ vh
    gu = None if gu is None else gu.narrow(-1, 0, k)
    gvh = None if gvh is None else gvh.narrow(-2, 0, k)
    of_u = None if gu is None else _skew(conj_transpose(u) @ gu)
    of_v = None if gvh is None else _skew(vh @ conj_transpose(gvh))
    check_phase("svd_backward", of_u, of_v, "singular vectors")
    sums: Any = None
    if of_u is not None:
        sums = of_u * s.unsqueeze(-2)
    if of_v is not None:
        part = s.unsqueeze(-1) * of_v
        sums = part if sums is None else sums + part
    made = sums / gaps(s * s)
    if u.dtype.is_complex and of_u is not None:
        made = made + (of_u.diagonal(0, -2, -1) / (2 * s)).diag_embed()
    if gs is not None:
        made = made + gs.diag_embed()
    if m > k and gu is not None:
        scaled = gu / s.unsqueeze(-2)
        return (u @ made + scaled - u @ (conj_transpose(u) @ scaled)) @ vh
    total = made @ vh
    if n > k and gvh is not None:
        scaled = gvh / s.unsqueeze(-1)
        total = total + scaled - (scaled @ conj_transpose(vh)) @ vh
    return u @ total


def check_phase(name: str, of_u: Any, of_v: Any, what: str) -> None:
    """Raise RuntimeError where a complex loss depends on a phase that is free."""
    one = of_v if of_u is None else of_u
    if not one.dtype.is_complex or not has_data(one):
        return
    total = one if of_u is None or of_v is None else of_u + of_v
    free = total.diagonal(0, -2, -1).imag.abs().detach()
    if free.numel() and float(free.amax()) > 1e-2 * max(1.0, float(total.detach().abs().amax())):
        raise RuntimeError(
            f"{name}: The {what} in the complex case are specified up to multiplication by "
            "e^{i phi}. The specified loss function depends on this phase term, making it "
            "ill-defined."
        )


def svd_parts(A: Any, full_matrices: bool = False) -> Any:
    """(U, S, Vh) without checks."""
    return call(SVD, (A,), (full_matrices,))


def turned(columns: Any) -> Any:
    """The phases, one per column, that make a weighted sum of each column positive.

    A sign (a phase) of vectors is free; a column times its phase is not.
    """
    n = columns.shape[-2]
    weights = np.sqrt(np.arange(2, n + 2)).reshape(n, 1) % 1 + 0.3
    factor = tensor(weights.astype(columns.dtype.numpy), device=columns.device)
    along = (columns * factor).sum(-2, keepdim=True)
    return conj_transpose(along.sgn()).transpose(-2, -1)


def turned_reference(columns: np.ndarray) -> Any:
    """:func:`turned` of an array."""
    n = columns.shape[-2]
    along = ((np.sqrt(np.arange(2, n + 2)).reshape(n, 1) % 1 + 0.3) * columns).sum(
        -2, keepdims=True
    )
    return np.conj(along) / np.where(along == 0, 1, np.abs(along))


def _settled(input: Any, full_matrices: bool = False) -> Any:
    """U, S and Vh of a matrix with larger numbers on its diagonal, their phases fixed.

    Of the vectors without a singular value comes 1 and the projection on the space that they span.
    """
    u, s, vh = call_laid(SVD, apart(input), input, (full_matrices,))
    k = s.shape[-1]
    main, other = u.narrow(-1, 0, k), vh.narrow(-2, 0, k)
    phase = turned(main)
    found = (main * phase, s, conj_transpose(phase) * other)
    if not full_matrices:
        return found
    u = u.narrow(-1, k, u.shape[-1] - k).detach()
    v = vh.narrow(-2, k, vh.shape[-2] - k).detach()
    m, n = input.shape[-2:]
    return (
        *found,
        eye_like(input, m) + u @ conj_transpose(u),
        eye_like(input, n) + conj_transpose(v) @ v,
    )


def _reference(x: np.ndarray, full_matrices: bool = False) -> Any:
    """By the eigenvalues of ``x^H x`` or ``x x^H``, whichever is smaller."""
    x = apart_reference(x)
    m, n = x.shape[-2:]
    k = min(m, n)
    h = np.swapaxes(x, -2, -1).conj()
    small = h @ x if n <= m else x @ h
    values, vectors = np.linalg.eigh(small)
    s, vectors = np.sqrt(values[..., ::-1][..., :k]), vectors[..., ::-1][..., :k]
    if n <= m:
        u, v = x @ vectors / s[..., None, :], vectors
    else:
        u, v = vectors, h @ vectors / s[..., None, :]
    phase = turned_reference(u)
    u, vh = u * phase, np.swapaxes(v * phase, -2, -1).conj()
    if not full_matrices:
        return u, s, vh
    rest = 2 * np.eye(m) - u @ np.swapaxes(u, -2, -1).conj()
    return u, s, vh, rest, 2 * np.eye(n) - np.swapaxes(vh, -2, -1).conj() @ vh


SVD = OpDef(
    "linalg_svd",
    kind="contract",
    attributes=("full_matrices",),
    outputs=3,
    infer=_infer,
    gradient={"input": _gradient},
    differentiable=(0, 1, 2),
    accepts=FACTORED,
    reference=_reference,
    samples=lambda rng, dtype: [
        *matrices((4, 3), (3, 3), (2, 3, 2), (2, 4), (0, 3), (3, 0), (1, 1))(rng, dtype),
        *matrices((4, 2), (2, 3), attributes=((True,),))(rng, dtype),
    ],
    tolerance=Tolerance(32, length=lambda x, *_: max(x.shape[-2:])),
    method=False,
    public=False,
    function=_settled,
)
"""``linalg_svd(input, U, S, Vh, *, full_matrices)``: input (*, M, N), K = min(M, N); U (*, M, K), S
(*, K) real, not negative and descending, Vh (*, K, N); with ``full_matrices`` U (*, M, M), Vh
(*, N, N)."""


def _vals_infer(spec: Spec) -> Inferred:
    shape = (*spec.shape[:-2], min(spec.shape[-2:]))
    return Inferred((None,), ((shape, spec.dtype.to_real()),))


SVDVALS = OpDef(
    "linalg_svdvals",
    kind="composite",
    infer=_vals_infer,
    decompose=lambda input: svd_parts(input)[1],
    accepts=FACTORED,
    reference=lambda x: np.linalg.svd(apart_reference(x), compute_uv=False),
    samples=matrices((4, 3), (3, 3), (2, 3, 2), (2, 4), (0, 3), (1, 1)),
    tolerance=Tolerance(16, length=lambda x: max(x.shape[-2:])),
    method=False,
    public=False,
    function=lambda input: call_laid(SVDVALS, apart(input), input, ()),
)
"""``linalg_svdvals(input, S)``: the singular values alone."""


def singular_values(A: Any) -> Any:
    """The singular values without checks: (*, M, N) -> (*, K), descending."""
    return call(SVDVALS, (A,))


def _checked(A: Tensor, driver: str | None) -> None:
    need_matrix("linalg.svd", A)
    need_floating("linalg.svd", A)
    if driver is not None:
        raise RuntimeError(
            f"torch.linalg.svd: keyword argument `driver=` is only supported where a device has "
            f"several, got {driver!r} on {A._spec.device}"
        )


@linalg()
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """``A = U diag(S) Vh``, the singular values in descending order, as (U, S, Vh).

    Args:
        A: (*, M, N); K = min(M, N).
        full_matrices: U (*, M, M) and Vh (*, N, N), else U (*, M, K) and Vh (*, K, N).

    Raises:
        RuntimeError: not matrices of floats, or a driver is named.
    """
    _checked(A, driver)
    return return_types.linalg_svd(*svd_parts(A, bool(full_matrices)))


@linalg()
def svdvals(A: Tensor, *, driver: str | None = None) -> Any:
    """The singular values in descending order: (*, M, N) -> (*, K).

    Raises:
        RuntimeError: not matrices of floats, or a driver is named.
    """
    _checked(A, driver)
    return singular_values(A)


@publish(out=True)
@named("svd")
def _top_svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """``input = U diag(S) V^H`` as (U, S, V); without ``compute_uv`` U and V are zeros.

    PyTorch's older form of ``linalg.svd``, which gives V conjugated and transposed.
    """
    _checked(input, None)
    if not compute_uv:
        m, n = input._spec.shape[-2:]
        batch = tuple(input._spec.shape[:-2])
        u, v = (input.new_zeros((*batch, side, side)) for side in (m, n))
        return return_types.svd(u, singular_values(input), v)
    u, s, vh = svd_parts(input, not some)
    return return_types.svd(u, s, conj_transpose(vh))


# ----------------------------------------------------------------- low rank


def _basis(A: Any, q: int, niter: int) -> Any:
    """An orthonormal basis of about the range of A: (*, M, q).

    Source: N. Halko et al., "Finding structure with randomness" (2009), algorithm 4.4.
    """
    from dovetail import ops

    start = ops.FUNCTIONS["randn"](A.shape[-1], q, dtype=A.dtype, device=A.device)
    found = qr_parts(A @ start)[0]
    for _ in range(niter):
        found = qr_parts(conj_transpose(A) @ found)[0]
        found = qr_parts(A @ found)[0]
    return found


@publish(method=False)
def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Any = None) -> Any:
    """About the largest q singular values and vectors of ``A - M``, as (U, S, V).

    Args:
        A: (*, M, N).
        q: how many, a little more than the rank that is looked for.
        niter: subspace iterations.
        M: (*, M, N), the mean to take away.
    """
    q, niter = 6 if q is None else q, 2 if niter is None else niter
    x: Any = A if M is None else A - M.expand(A._spec.shape)
    m, n = x.shape[-2:]
    is_wide = m < n
    if is_wide:
        x = conj_transpose(x)
    basis = _basis(x, q, niter)
    u, s, vh = svd_parts(conj_transpose(basis) @ x)
    u, v = basis @ u, conj_transpose(vh)
    return (v, s, u) if is_wide else (u, s, v)


@publish(method=False)
def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> Any:
    """About the first q principal components of the rows of A, as (U, S, V).

    Args:
        A: (*, M, N).
        q: how many; min(6, M, N) where None.
        center: the columns' means are taken away first.

    Raises:
        ValueError: q or niter is out of range.
    """
    m, n = A._spec.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(
            f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}"
        )
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    x: Any = A
    if center:
        x = x - x.mean(-2, keepdim=True)
    return svd_lowrank(x, q, niter)
