"""LU factorization with partial pivoting, and systems solved with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import return_types
from dovetail.backend.sentences import PIVOTS
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.factories import arange
from dovetail.ops.expose import publish
from dovetail.ops.families import draw
from dovetail.ops.indexed.index_checks import values_of
from dovetail.ops.linear_algebra.matrices import (
    FACTORED,
    broadcast_batches,
    check_info,
    eye_like,
    linalg,
    matrices,
    need_matrix,
    need_same_dtype,
    need_square,
)
from dovetail.ops.linear_algebra.operands import conj_transpose
from dovetail.ops.linear_algebra.triangular import check_equation, solve_triangular
from dovetail.ops.out import finish
from dovetail.ops.schema import Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["LU_FACTOR", "lu_parts", "permutation", "solve_factored"]


def _infer(spec: Spec) -> Inferred:
    *batch, m, n = spec.shape
    outs = (
        (tuple(spec.shape), spec.dtype),
        ((*batch, min(m, n)), d.int32),
        (tuple(batch), d.int32),
    )
    return Inferred((None,), outs)


def _below(packed: Any) -> Any:
    """L of a packed LU: (*, M, K), unit lower triangular."""
    m, n = packed.shape[-2:]
    k = min(m, n)
    return packed.narrow(-1, 0, k).tril(-1) + eye_like(packed, m, k)


def _above(packed: Any) -> Any:
    """U of a packed LU: (*, K, N)."""
    return packed.narrow(-2, 0, min(packed.shape[-2:])).triu()


def _gradient(g: Any, out0: Any, out1: Any) -> Any:
    # F. de Hoog, R. Anderssen and M. Lukas, "Differentiation of matrix functionals using
    # triangular factorization" (2011), in blocks where the matrix is not square.
    m, n = out0.shape[-2:]
    k = min(m, n)
    lower, upper = _below(out0), _above(out0)
    lh, uh = conj_transpose(lower.narrow(-2, 0, k)), conj_transpose(upper.narrow(-1, 0, k))
    square = g.narrow(-2, 0, k).narrow(-1, 0, k)
    below, above = lh @ square, square @ uh
    if n > k:
        right = g.narrow(-1, k, n - k)
        below = below - right @ conj_transpose(upper.narrow(-1, k, n - k))
    if m > k:
        bottom = g.narrow(-2, k, m - k)
        above = above - conj_transpose(lower.narrow(-2, k, m - k)) @ bottom
    # Of each product the triangle that is taken depends on the same triangle of g alone.
    made = solve_triangular(lh, below.tril(-1) + above.triu(), upper=True)
    made = solve_triangular(uh, made, upper=False, left=False)
    from dovetail import ops

    if n > k:
        rest = solve_triangular(lh, right, upper=True)
        made = ops.cat([made, rest], -1)
    if m > k:
        rest = solve_triangular(uh, bottom, upper=False, left=False)
        made = ops.cat([made, rest], -2)
    return _unpermuted(made, permutation(out1, m))


def _reference(x: np.ndarray) -> Any:
    """Gauss's elimination, one matrix and one column at a time."""
    a = np.array(x)
    m, n = a.shape[-2:]
    pivots = np.zeros((*a.shape[:-2], min(m, n)), np.int32)
    info = np.zeros(a.shape[:-2], np.int32)
    for at in np.ndindex(*a.shape[:-2]):
        one = a[at]
        for j in range(min(m, n)):
            size = np.abs(one[j:, j].real) + np.abs(one[j:, j].imag)
            p = j + int(np.argmax(size))
            pivots[at][j] = p + 1
            one[[j, p]] = one[[p, j]]
            if one[j, j] == 0:
                info[at] = info[at] or j + 1
                continue
            one[j + 1 :, j] /= one[j, j]
            one[j + 1 :, j + 1 :] -= np.outer(one[j + 1 :, j], one[j, j + 1 :])
    return a, pivots, info


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = matrices(
        (3, 3), (2, 4, 4), (5, 2), (2, 3, 4), (1, 1), (0, 3), (3, 0), (0, 2, 2), (70, 70)
    )(rng, dtype)
    singular = draw(rng, (2, 16, 16), dtype, -2, 2)
    singular[1, :, 7] = singular[1, :, 12] = 0
    return [*made, Sample((singular,), name="singular")]


LU_FACTOR = OpDef(
    "linalg_lu_factor_ex",
    kind="contract",
    outputs=3,
    infer=_infer,
    gradient={"input": _gradient},
    accepts=FACTORED,
    reference=_reference,
    samples=_samples,
    tolerance=Tolerance(24, length=lambda x: x.shape[-1]),
    method=False,
    public=False,
    function=lambda input: call(LU_FACTOR, (input,)),
)
"""``linalg_lu_factor_ex(input, LU, pivots, info)``: input (*, M, N), K = min(M, N); LU (*, M, N)
holds L below its diagonal and U; pivots (*, K) int32: row i was exchanged with row pivots[i] - 1;
info (*) int32: 0, or the number (from 1) of the first zero on U's diagonal. The pivot is the first
element of the column with the largest ``|re| + |im|``."""


def lu_parts(A: Any) -> Any:
    """(LU, pivots, info) without checks."""
    return call(LU_FACTOR, (A,))


# -------------------------------------------------------------- permutations


def _permutation_infer(spec: Spec, size: int) -> Inferred:
    return Inferred((None,), (((*spec.shape[:-1], size), d.int64),))


def _permutation(pivots: Any, size: int) -> Any:
    batch = tuple(pivots.shape[:-1])
    order = arange(size, device=pivots.device).expand(*batch, size).contiguous()
    target = (pivots.to(d.int64) - 1).contiguous()
    for i in range(pivots.shape[-1]):
        there = target.narrow(-1, i, 1)
        first, second = order.narrow(-1, i, 1), order.gather(-1, there)
        here = there.new_full(tuple(there.shape), i)
        order = order.scatter(-1, there, first).scatter(-1, here, second)
    return order


def _permutation_reference(pivots: np.ndarray, size: int) -> Any:
    order = np.broadcast_to(np.arange(size), (*pivots.shape[:-1], size)).copy()
    for at in np.ndindex(*pivots.shape[:-1]):
        for i, p in enumerate(pivots[at]):
            order[at][i], order[at][p - 1] = order[at][p - 1], order[at][i]
    return order


PERMUTATION = OpDef(
    "linalg_lu_permutation",
    inputs=("pivots",),
    attributes=("size",),
    infer=_permutation_infer,
    decompose=_permutation,
    differentiable=(),
    accepts=(d.int32, d.int64),
    reference=_permutation_reference,
    samples=lambda rng, dtype: [
        Sample((np.array(pivots, dtype.numpy), size))
        for pivots, size in (
            ([3, 2, 3], 3), ([2, 3, 3], 3), ([5, 2, 7, 4, 6, 6, 7], 7),
            ([[2, 4, 3], [4, 4, 4]], 4), ([1], 1), (np.zeros((0,)), 3),
        )
    ],
    method=False,
    public=False,
    function=lambda pivots, size: call(PERMUTATION, (pivots,), (size,)),
)  # fmt: skip
"""``linalg_lu_permutation(pivots, order, *, size)``: the rows of A in the order in which the
exchanges leave them: ``A[order] = L U``."""


def permutation(pivots: Any, size: int) -> Any:
    """The order of rows that pivots give: (*, K) -> (*, size), int64."""
    return call(PERMUTATION, (pivots,), (size,))


CHECKED = OpDef(
    "lu_checked_permutation",
    inputs=("pivots",),
    attributes=("size", "of"),
    infer=lambda spec, size, of: _permutation_infer(spec, size),
    decompose=lambda pivots, size, of: permutation(pivots, size),
    differentiable=(),
    accepts=(d.int32,),
    reference=lambda pivots, size, of: _permutation_reference(pivots, size),
    samples=lambda rng, dtype: [
        Sample((*s.args, "lu_solve"))
        for s in PERMUTATION.samples(rng, dtype)  # type: ignore[misc]
    ],
    method=False,
    public=False,
    function=lambda pivots, size, of: call(CHECKED, (pivots,), (size, of)),
)
"""The same of pivots that a user gave to the operator named ``of``: a device with a kernel of it
looks at them, and tells where values are asked for next."""


def _order_of(pivots: Any, size: int, of: str) -> Any:
    """The order that a user's pivots give.

    Raises:
        RuntimeError: they are no rows.
    """
    if not state_of(pivots._spec.device).table.entries("lu_checked_permutation"):
        values = values_of(pivots)
        if values is not None and values.size:
            wrong = (values.min() < 1, values.max() > size)
            if any(wrong):
                raise RuntimeError(PIVOTS[of][wrong.index(True)])
    return call(CHECKED, (pivots,), (size, of))


def _permuted(x: Any, order: Any) -> Any:
    """Rows of x (*, N, K) in an order (*, N)."""
    return x.gather(-2, order.unsqueeze(-1).expand(x.shape))


def _unpermuted(x: Any, order: Any) -> Any:
    return _permuted(x, order.argsort(-1))


# ------------------------------------------------------------------- systems


def solve_factored(packed: Any, pivots: Any, B: Any) -> Any:
    """X with ``A X = B`` without checks; leading dims are equal."""
    return _solved_in(permutation(pivots, packed.shape[-1]), packed, B)


def _solved_in(order: Any, packed: Any, B: Any) -> Any:
    """The same, given the order that pivots come to."""
    half = solve_triangular(packed, _permuted(B, order), upper=False, unitriangular=True)
    return solve_triangular(packed, half, upper=True)


def _solved_adjoint(order: Any, packed: Any, B: Any) -> Any:
    """X with ``A^H X = B``."""
    turned = conj_transpose(packed)
    half = solve_triangular(turned, B, upper=False)
    made = solve_triangular(turned, half, upper=True, unitriangular=True)
    return _unpermuted(made, order)


def _check_pivots(name: str, packed: Tensor, pivots: Tensor) -> None:
    if pivots._spec.dtype is not d.int32:
        raise RuntimeError(f"{name}: pivots should be a Tensor of scalar type torch.int32")
    if not pivots._spec.ndim or pivots._spec.shape[-1] != packed._spec.shape[-1]:
        raise RuntimeError(
            f"{name}: Number of pivots per batch should be same as the dimension of the matrix"
        )
    if tuple(pivots._spec.shape[:-1]) != tuple(packed._spec.shape[:-2]):
        raise RuntimeError(
            f"{name}: Expected LU.shape[:-1] and pivots.shape to be the same, but got pivots with "
            f"shape {list(pivots._spec.shape)} instead"
        )


@linalg("lu_solve")
def _lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """The solution of a system whose matrix has been factorized by ``lu_factor``.

    Args:
        LU: (*, N, N); pivots: (*, N) int32.
        B: (*, N, K), or (*, K, N) with ``left`` False; leading dims broadcast.
        left: A X = B, else X A = B.
        adjoint: with the conjugate transpose of A.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    name = "linalg.lu_solve"
    need_same_dtype(name, LU, B, ("LU", "B"))
    need_square(f"torch.{name}", LU)
    need_matrix(name, B, "B")
    check_equation(name, LU._spec, B._spec, left)
    _check_pivots(name, LU, pivots)
    return _solved(LU, pivots, B, left, adjoint)


def _solved(LU: Any, pivots: Any, B: Any, left: bool, adjoint: bool) -> Any:
    order = _order_of(pivots, LU.shape[-2], "lu_solve")
    LU, B = broadcast_batches(LU, B)
    if tuple(order.shape[:-1]) != tuple(LU.shape[:-2]):
        order = order.expand(*LU.shape[:-2], order.shape[-1])
    if left:
        return (_solved_adjoint if adjoint else _solved_in)(order, LU, B)
    turned = (_solved_in if adjoint else _solved_adjoint)(order, LU, conj_transpose(B))
    return conj_transpose(turned)


@publish(out=True)
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """As ``linalg.lu_solve``, with B first.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    return _lu_solve(LU_data, LU_pivots, b)  # type: ignore[no-any-return]


# ------------------------------------------------------------------- factors

_SINGULAR = (
    "U[{info},{info}] is zero and using it on lu_solve would result in a division by zero. If you "
    "still want to perform the factorization, consider calling linalg.lu(A, pivot) or "
    "linalg.lu_factor_ex(A, pivot)"
)


def _factor(name: str, A: Tensor, pivot: bool) -> Any:
    if A._spec.ndim < 2:
        raise RuntimeError(
            f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(A._spec.shape)} "
            "instead"
        )
    if not pivot:
        raise RuntimeError(
            f"linalg.lu_factor: LU without pivoting is not implemented on {A._spec.device}"
        )
    return lu_parts(A)


@linalg()
def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """``A = P L U``, packed, as (LU, pivots).

    Args:
        A: (*, M, N).

    Raises:
        RuntimeError: a zero on the diagonal of U, or ``pivot`` is False.
    """
    packed, pivots, info = _factor("torch.lu_factor", A, pivot)
    check_info("torch.linalg.lu_factor", info, _SINGULAR)
    return return_types.linalg_lu_factor(packed, pivots)


@linalg()
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """As ``lu_factor``, as (LU, pivots, info); info is not 0 where U has a zero on its diagonal.

    Raises:
        RuntimeError: with ``check_errors``, as ``lu_factor``.
    """
    made = return_types.linalg_lu_factor_ex(*_factor("torch.lu_factor", A, pivot))
    if check_errors:
        check_info("torch.linalg.lu_factor_ex", made.info, _SINGULAR)
    return made


def _as_matrix(order: Any, like: Any) -> Any:
    """P with ``P^T A = A[order]``, in the dtype of ``like``."""
    m = order.shape[-1]
    return like.new_zeros((*order.shape, m)).scatter(-2, order.unsqueeze(-2), 1.0)


@linalg("lu")
def _lu(A: Tensor, *, pivot: bool = True) -> Any:
    """``A = P L U`` with a permutation matrix, as (P, L, U).

    Args:
        A: (*, M, N) -> P (*, M, M), L (*, M, K), U (*, K, N) with K = min(M, N).

    Raises:
        RuntimeError: fewer than two dims, or ``pivot`` is False.
    """
    packed, pivots, _ = _factor("linalg.lu", A, pivot)
    order = permutation(pivots, A._spec.shape[-2])
    return return_types.linalg_lu(
        _as_matrix(order, packed.detach()), _below(packed), _above(packed)
    )


@publish(method=False)
def lu(
    A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None
) -> tuple[Tensor, ...]:
    """``A = P L U`` packed, as (LU, pivots), or (LU, pivots, infos) with ``get_infos``.

    Raises:
        RuntimeError: a zero on the diagonal of U, unless ``get_infos``.
    """
    made = _factor("torch.lu_factor", A, pivot)
    if not get_infos:
        check_info("lu", made[2], _SINGULAR)
        made = made[:2]
    return finish("lu", tuple(made), out)  # type: ignore[no-any-return]


def _method(self: Tensor, pivot: bool = True, get_infos: bool = False) -> tuple[Tensor, ...]:
    """See :func:`dovetail.lu`."""
    return lu(self, pivot, get_infos)


Tensor.lu = _method  # type: ignore[attr-defined]


@publish(method=False, out=True)
def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> Any:
    """P, L and U of what ``lu_factor`` gives; what is not asked for is empty.

    Raises:
        RuntimeError: shapes or dtypes that do not fit, or pivots that are no rows.
    """
    a, p = LU_data._spec, LU_pivots._spec
    if a.ndim < 2:
        raise RuntimeError(
            "torch.lu_unpack: Expected tensor with 2 or more dimensions. Got size: "
            f"{list(a.shape)} instead"
        )
    if unpack_pivots and p.dtype is not d.int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 "
            "dtype. Note: this function is intended to be used with the output produced by "
            "torch.linalg.lu_factor"
        )
    packed: Any = LU_data
    lower = upper = order = packed.new_zeros((0,))
    if unpack_data:
        lower, upper = _below(packed), _above(packed)
    if unpack_pivots:
        _check_rows(LU_pivots, a)
        order = _as_matrix(_order_of(LU_pivots, a.shape[-2], "lu_unpack"), packed.detach())
    return return_types.lu_unpack(order, lower, upper)


def _check_rows(pivots: Any, spec: Spec) -> None:
    wanted = (*spec.shape[:-2], min(spec.shape[-2:]))
    if tuple(pivots.shape) != wanted:
        raise RuntimeError(
            f"torch.lu_unpack: LU_pivots should have shape {list(wanted)}, a pivot for each row of "
            f"an LU_data of shape {list(spec.shape)}, but it has shape {list(pivots.shape)}. Did "
            "you properly pass the result of lu_factor?"
        )
