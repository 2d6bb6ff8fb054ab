"""LDL factorization of symmetric (Hermitian) matrices that need not be positive-definite."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import return_types
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.families import broadcast_shapes, draw
from dovetail.ops.indexed.index_checks import values_of
from dovetail.ops.linear_algebra.matrices import (
    FACTORED,
    apart,
    apart_reference,
    call_laid,
    check_info,
    linalg,
    need_floating,
    need_same_dtype,
    need_square,
)
from dovetail.ops.linear_algebra.operands import conj_transpose
from dovetail.ops.schema import Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["LDL_FACTOR", "LDL_SOLVE"]


def _infer(spec: Spec, hermitian: bool) -> Inferred:
    shape = tuple(spec.shape)
    outs = ((shape, spec.dtype), (shape[:-1], d.int32), (shape[:-2], d.int32))
    return Inferred((None,), outs)


def _size(x: Any) -> Any:
    return np.abs(np.real(x)) + np.abs(np.imag(x))


def _pivot(a: np.ndarray) -> tuple[int, int]:
    """(row to bring up, 1 or 2): the choice of Bunch and Kaufman for a whole symmetric matrix."""
    limit = (1 + 17**0.5) / 8
    sizes = _size(a)
    if len(a) == 1:
        return 0, 1
    r = 1 + int(np.argmax(sizes[1:, 0]))
    below, here = sizes[r, 0], sizes[0, 0]
    if max(below, here) == 0 or here >= limit * below:
        return 0, 1
    others = np.delete(sizes[:, r], r).max()
    if here * others >= limit * below**2:
        return 0, 1
    return (r, 1) if sizes[r, r] >= limit * others else (r, 2)


def _reference(x: np.ndarray, hermitian: bool = False) -> Any:
    """J. Bunch and L. Kaufman, "Some stable methods for calculating inertia and solving symmetric
    linear systems" (1977), on whole matrices."""
    low = np.tril(x)
    turned = np.swapaxes(np.tril(x, -1), -2, -1)
    whole = low + (turned.conj() if hermitian else turned)
    made, pivots = np.zeros_like(whole), np.zeros(x.shape[:-1], np.int32)
    info = np.zeros(x.shape[:-2], np.int32)
    n = x.shape[-1]
    for at in np.ndindex(*x.shape[:-2]):
        a, k = whole[at].copy(), 0
        while k < n:
            row, count = _pivot(a[k:, k:])
            there, here = k + row, k + count - 1
            for axis in (0, 1):
                view = np.swapaxes(a, 0, axis)[:, k:] if axis == 0 else a.T[:, k:]
                view[[here, there]] = view[[there, here]]
            pivots[at][k : k + count] = there + 1 if count == 1 else -(there + 1)
            block = a[k : k + count, k : k + count]
            rest = a[k + count :, k : k + count]
            if np.any(block):
                factor = rest @ np.linalg.inv(block)
                a[k + count :, k + count :] -= factor @ a[k : k + count, k + count :]
                a[k + count :, k : k + count] = factor
            else:
                info[at] = info[at] or k + 1
            k += count
        made[at] = np.tril(a)
    return made, pivots, info


def _indefinite(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """A matrix whose diagonal is small, so that blocks of two come up."""
    x = draw(rng, shape, dtype, -2, 2)
    n = shape[-1]
    x[..., range(n), range(n)] *= dtype.numpy.type(0.1)
    return x


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    shapes = ((3, 3), (2, 5, 5), (1, 1), (0, 0), (2, 0, 0), (8, 8))
    choices = (False, True) if dtype.is_complex else (False,)
    return [
        Sample((_settled_diagonal(make(rng, shape, dtype)), hermitian))
        for shape in shapes
        for make in (_indefinite, lambda *args: draw(*args, -2, 2))
        for hermitian in choices
    ]


def _settled_diagonal(x: np.ndarray) -> np.ndarray:
    """Real on the diagonal, as a Hermitian matrix is."""
    n = x.shape[-1]
    x[..., range(n), range(n)] = x[..., range(n), range(n)].real
    return x


LDL_FACTOR = OpDef(
    "linalg_ldl_factor_ex",
    kind="contract",
    attributes=("hermitian",),
    outputs=3,
    infer=_infer,
    differentiable=(),
    accepts=FACTORED,
    reference=_reference,
    samples=_samples,
    tolerance=Tolerance(64, length=lambda x, *_: x.shape[-1]),
    method=False,
    public=False,
    function=lambda input, hermitian=False: call(LDL_FACTOR, (input,), (hermitian,)),
)
"""``linalg_ldl_factor_ex(input, LD, pivots, info, *, hermitian)``: LAPACK's ``sytrf`` (``hetrf``)
of the lower triangle of input (*, N, N): D on the diagonal in blocks of one and two, L below, zeros
above; pivots (*, N) int32: p > 0, rows k and p - 1 of what is left were exchanged; twice -p, a
block of two, its second row was exchanged with row p - 1; info (*) int32: 0, or the number of a
block that is 0."""


def _solve_infer(LD: Spec, pivots: Spec, B: Spec, hermitian: bool) -> Inferred:
    return Inferred((None,) * 3, ((tuple(B.shape), B.dtype),))


def _solved(input: Any, B: Any, hermitian: bool = False) -> Any:
    """The solution of a symmetric (Hermitian) system, by its LDL factorization.

    Args:
        input: (*, N, N), added to its transpose.
        B: (*, N, K).
    """
    made = apart(input)
    made = made + (conj_transpose(made) if hermitian else made.transpose(-2, -1))
    packed, pivots, _ = call(LDL_FACTOR, (made.flip(-2).flip(-1),), (hermitian,))
    return call_laid(LDL_SOLVE, packed, input, (hermitian,), pivots, B)


def _solve_reference(x: np.ndarray, B: np.ndarray, hermitian: bool = False) -> Any:
    made = apart_reference(x)
    turned = np.swapaxes(made, -2, -1)
    made = made + (turned.conj() if hermitian else turned)
    return np.linalg.inv(np.flip(made, (-2, -1))) @ B


LDL_SOLVE = OpDef(
    "linalg_ldl_solve",
    kind="contract",
    inputs=("LD", "pivots", "B"),
    attributes=("hermitian",),
    infer=_solve_infer,
    differentiable=(),
    accepts=FACTORED,
    reference=_solve_reference,
    samples=lambda rng, dtype: [
        Sample((draw(rng, a, dtype, -3, 3), draw(rng, b, dtype, -2, 2), hermitian))
        for a, b in (((3, 3), (3, 2)), ((2, 5, 5), (2, 5, 1)), ((0, 0), (0, 2)), ((8, 8), (8, 3)))
        for hermitian in ((False, True) if dtype.is_complex else (False,))
    ],
    tolerance=Tolerance(128, length=lambda a, *_: a.shape[-1]),
    method=False,
    public=False,
    function=_solved,
)
"""``linalg_ldl_solve(LD, pivots, B, X, *, hermitian)``: B (*, N, K), leading dims equal."""


def _factor(A: Tensor, hermitian: bool) -> Any:
    name = "torch.linalg.ldl_factor_ex"
    need_square(name, A)
    need_floating(name, A)
    return call(LDL_FACTOR, (A.detach(),), (bool(hermitian) and A._spec.dtype.is_complex,))


_SINGULAR = "The diagonal block {info} of D is zero, so that the matrix is singular."


@linalg()
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> Any:
    """``P^T A P = L D L^T`` (``L^H``), packed as LAPACK has it, as (LD, pivots).

    No gradient flows through it.

    Args:
        A: (*, N, N), symmetric, or Hermitian with ``hermitian``; the lower triangle is read.

    Raises:
        LinAlgError: a block of D is zero.
        RuntimeError: not square matrices of floats.
    """
    packed, pivots, info = _factor(A, hermitian)
    check_info("torch.linalg.ldl_factor", info, _SINGULAR)
    return return_types.linalg_ldl_factor(packed, pivots)


@linalg()
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> Any:
    """As ``ldl_factor``, as (LD, pivots, info); info is not 0 where D has a block of zeros.

    Raises:
        LinAlgError: with ``check_errors``, as ``ldl_factor``.
    """
    made = return_types.linalg_ldl_factor_ex(*_factor(A, hermitian))
    if check_errors:
        check_info("torch.linalg.ldl_factor_ex", made.info, _SINGULAR)
    return made


@linalg()
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Any:
    """The solution of ``A X = B`` from the LDL factorization of A.

    Args:
        LD: (*, N, N), pivots: (*, N), as ``ldl_factor`` gives them.
        B: (*, N, K); leading dims broadcast.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    name = "torch.linalg.ldl_solve"
    need_square(name, LD)
    if B._spec.ndim < 2:
        raise RuntimeError(f"{name}: Expected B to have at least 2 dimensions, got {B._spec.ndim}")
    if LD._spec.shape[-1] != B._spec.shape[-2]:
        n, (rows, columns) = LD._spec.shape[-1], B._spec.shape[-2:]
        raise RuntimeError(
            f"Incompatible matrix sizes for {name}: each A matrix is {n} by {n} but each b matrix "
            f"is {rows} by {columns}"
        )
    if tuple(pivots._spec.shape) != tuple(LD._spec.shape[:-1]):
        raise RuntimeError(
            f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with "
            f"shape {list(pivots._spec.shape)} instead"
        )
    if pivots._spec.dtype.category != 1:
        raise RuntimeError(
            f"{name}: Expected pivots to be integers. Got {type_name(pivots._spec.dtype)}"
        )
    need_same_dtype(name, LD, B, ("LD", "B"))
    values = values_of(pivots)
    if values is not None and values.size:
        least, most = np.abs(values).min(), np.abs(values).max()
        wrong = ">= 1" if least < 1 else "<= LD.size(-2)" if most > LD._spec.shape[-2] else ""
        if wrong:
            raise RuntimeError(
                f"Pivots given to ldl_solve must all satisfy |pivot| {wrong}. Did you properly "
                "pass the result of ldl_factor?"
            )
    batch = broadcast_shapes(tuple(LD._spec.shape[:-2]), tuple(B._spec.shape[:-2]))
    packed, order, right = (
        x.expand(*batch, *x._spec.shape[start:]) for x, start in ((LD, -2), (pivots, -1), (B, -2))
    )
    hermitian = bool(hermitian) and LD._spec.dtype.is_complex
    return call(LDL_SOLVE, (packed.detach(), order, right.detach()), (hermitian,))
