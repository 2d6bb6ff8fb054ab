"""Systems of equations and inverses: solve, inv, tensorsolve, tensorinv."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import return_types
from dovetail.dispatch import call
from dovetail.ops.expose import publish
from dovetail.ops.families import draw
from dovetail.ops.linear_algebra.lu import lu_parts, solve_factored
from dovetail.ops.linear_algebra.matrices import (
    FACTORED,
    apart,
    apart_reference,
    broadcast_batches,
    call_laid,
    check_info,
    eye_like,
    linalg,
    matrices,
    need_floating,
    need_matrix,
    need_same_dtype,
    need_square,
    singular_error,
)
from dovetail.ops.linear_algebra.operands import conj_transpose
from dovetail.ops.linear_algebra.triangular import check_equation
from dovetail.ops.schema import Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["INV", "SOLVE", "inverse_parts", "solve_parts"]


# -------------------------------------------------------------------- solve


def _solve_infer(A: Spec, B: Spec) -> Inferred:
    outs = ((tuple(B.shape), B.dtype), (tuple(A.shape[:-2]), d.int32))
    return Inferred((None, None), outs)


def _solve(A: Any, B: Any) -> Any:
    packed, pivots, info = lu_parts(A)
    return solve_factored(packed, pivots, B), info


def _solve_gradient(g: Any, A: Any, out0: Any, needs: Any) -> Any:
    of_b = solve_parts(conj_transpose(A), g)
    return (-of_b @ conj_transpose(out0) if needs[0] else None), of_b


SOLVE = OpDef(
    "linalg_solve_ex",
    kind="composite",
    inputs=("A", "B"),
    outputs=2,
    infer=_solve_infer,
    decompose=_solve,
    gradient=_solve_gradient,
    accepts=FACTORED,
    reference=lambda A, B: (
        np.linalg.inv(apart_reference(A)) @ B,
        np.zeros(A.shape[:-2], np.int32),
    ),
    samples=lambda rng, dtype: [
        Sample((draw(rng, a, dtype, -2, 2), draw(rng, b, dtype, -2, 2)))
        for a, b in (
            ((3, 3), (3, 2)), ((2, 4, 4), (2, 4, 1)), ((1, 1), (1, 3)), ((0, 0), (0, 2)),
            ((2, 3, 3), (2, 3, 0)), ((0, 2, 2), (0, 2, 2)),
        )
    ],
    tolerance=Tolerance(16, length=lambda A, B: A.shape[-1]),
    method=False,
    public=False,
    function=lambda A, B: call_laid(SOLVE, apart(A), A, (), B),
)  # fmt: skip
"""``linalg_solve_ex(A, B, X, info)``: A (*, N, N), B (*, N, K), leading dims equal; info (*) int32:
0, or where U of A's LU factorization has its first zero (X is then anything)."""


def solve_parts(A: Any, B: Any) -> Any:
    """X with ``A X = B``, without checks; leading dims are equal."""
    return call(SOLVE, (A, B))[0]


def _is_vector(a: Spec, b: Spec) -> bool:
    """Whether B is a batch of vectors, which PyTorch decides by its shape."""
    return b.ndim == 1 or (a.ndim - 1 == b.ndim and tuple(b.shape) == tuple(a.shape[:-1]))


def _system(name: str, A: Tensor, B: Tensor, left: bool) -> tuple[Any, Any]:
    need_same_dtype(name, A, B)
    need_square(name, A)
    need_floating(name, A)
    vector = _is_vector(A._spec, B._spec)
    right: Any = B.unsqueeze(-1) if vector else B
    need_matrix(name, right, "B")
    check_equation(name, A._spec, right._spec, left)
    a, b = broadcast_batches(A, right)
    if left:
        made, info = call(SOLVE, (a, b))
    else:
        made, info = call(SOLVE, (a.transpose(-2, -1), b.transpose(-2, -1)))
        made = made.transpose(-2, -1)
    for i, n in enumerate(info.shape):  # one per matrix of A, as PyTorch has it
        lead = info.ndim - (A._spec.ndim - 2)
        if n > 1 and (i < lead or A._spec.shape[i - lead] == 1):
            info = info.narrow(i, 0, 1)
    return (made.squeeze(-1) if vector else made), info.reshape(tuple(A._spec.shape[:-2]))


_SINGULAR = "The solver failed because the input matrix is singular."


@linalg()
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Any:
    """The solution of ``A X = B``, or of ``X A = B`` with ``left`` False.

    Args:
        A: (*, N, N).
        B: (*, N, K), or (N) or (*, N) for vectors; leading dims broadcast.

    Raises:
        LinAlgError: a matrix is singular.
        RuntimeError: sizes or dtypes that do not fit.
    """
    made, info = _system("linalg.solve", A, B, left)
    check_info("torch.linalg.solve", info, _SINGULAR)
    return made


@linalg()
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """As ``solve``, as (result, info); info is not 0 where a matrix is singular.

    Raises:
        LinAlgError: with ``check_errors``, as ``solve``.
    """
    made = return_types.linalg_solve_ex(*_system("linalg.solve", A, B, left))
    if check_errors:
        check_info("torch.linalg.solve_ex", made.info, _SINGULAR)
    return made


# ------------------------------------------------------------------ inverses


def _inv_infer(spec: Spec) -> Inferred:
    shape = tuple(spec.shape)
    return Inferred((None,), ((shape, spec.dtype), (shape[:-2], d.int32)))


def _inv(input: Any) -> Any:
    return call(SOLVE, (input, eye_like(input, input.shape[-1]).expand(input.shape)))


def _inv_gradient(g: Any, out0: Any) -> Any:
    turned = conj_transpose(out0)
    return -(turned @ g @ turned)


INV = OpDef(
    "linalg_inv_ex",
    kind="composite",
    outputs=2,
    infer=_inv_infer,
    decompose=_inv,
    gradient={"input": _inv_gradient},
    accepts=FACTORED,
    reference=lambda x: (_cofactors(apart_reference(x)), np.zeros(x.shape[:-2], np.int32)),
    samples=matrices((3, 3), (2, 4, 4), (1, 1), (0, 0), (0, 2, 2)),
    tolerance=Tolerance(16, length=lambda x: x.shape[-1]),
    method=False,
    public=False,
    function=lambda input: call_laid(INV, apart(input), input, ()),
)
"""``linalg_inv_ex(input, inverse, info)``: input (*, N, N); info as ``linalg_solve_ex`` has it."""


def _cofactors(x: np.ndarray) -> Any:
    """The inverse by Cramer's rule."""
    n = x.shape[-1]
    made = np.zeros_like(x)
    for i in range(n):
        for j in range(n):
            minor = np.delete(np.delete(x, i, -2), j, -1)
            made[..., j, i] = (-1) ** (i + j) * np.linalg.det(minor)
    return made / np.linalg.det(x)[..., None, None]


def inverse_parts(A: Any) -> Any:
    """(inverse, info) without checks."""
    return call(INV, (A,))


def _checked(A: Tensor) -> Any:
    need_square("linalg.inv", A)
    need_floating("linalg.inv", A, low=False)
    return inverse_parts(A)


@linalg()
def inv(A: Tensor) -> Any:
    """The inverse of square matrices: (*, N, N).

    Raises:
        LinAlgError: a matrix is singular.
        RuntimeError: not square matrices of floats.
    """
    made, info = _checked(A)
    singular_error("linalg.inv", info)
    return made


@linalg()
def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """As ``inv``, as (inverse, info); info is not 0 where a matrix is singular.

    Raises:
        LinAlgError: with ``check_errors``, as ``inv``.
    """
    made = return_types.linalg_inv_ex(*_checked(A))
    if check_errors:
        singular_error("linalg.inv_ex", made.info)
    return made


@publish(out=True)
def inverse(input: Tensor) -> Tensor:
    """See ``linalg.inv``."""
    return inv(input)  # type: ignore[no-any-return]


# ------------------------------------------------------------------- tensors


@linalg()
def tensorinv(A: Tensor, ind: int = 2) -> Any:
    """The inverse of ``tensordot(A, ·, A.ndim - ind)``: dims [ind:] then [:ind] of A.

    Args:
        ind: how many first dims are the equations; their product is that of the others.

    Raises:
        RuntimeError: the products differ, or the matrix is singular.
    """
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    shape = tuple(A._spec.shape)
    end, start = math.prod(shape[ind:]), math.prod(shape[:ind])
    if end != start:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {end} != {start}"
        )
    return inv(A.reshape(end, start)).reshape(*shape[ind:], *shape[:ind])


@linalg()
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Any:
    """X with ``tensordot(A, X, X.ndim) = B``.

    Args:
        A: its first dims are B's, the product of the others is that of those.
        dims: dims of A that are moved to the end first.

    Raises:
        RuntimeError: sizes that do not fit, or the matrix is singular.
    """
    a: Any = A
    if dims is not None:
        a = a.movedim(tuple(dims), tuple(range(a.ndim - len(dims), a.ndim)))
    many = B._spec.ndim
    shape = tuple(a.shape)
    rest, first = math.prod(shape[many:]), math.prod(shape[:many])
    if rest != first:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {rest} != {first}"
        )
    return solve(a.reshape(rest, rest), B.reshape(-1)).reshape(shape[many:])
