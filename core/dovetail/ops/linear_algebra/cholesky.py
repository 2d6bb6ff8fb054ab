"""The Cholesky factorization of positive-definite matrices, and what is solved with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import ops, return_types
from dovetail.dispatch import call
from dovetail.ops.expose import publish
from dovetail.ops.indexed.index_checks import of_all_examples
from dovetail.ops.linear_algebra.matrices import (
    FACTORED,
    call_laid,
    check_info,
    eye_like,
    linalg,
    matrices,
    named,
    need_floating,
    need_square,
    singular_error,
)
from dovetail.ops.linear_algebra.operands import conj_transpose
from dovetail.ops.linear_algebra.triangular import solve_triangular, systems
from dovetail.ops.schema import Inferred, OpDef, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["CHOLESKY"]


def _infer(spec: Spec, upper: bool) -> Inferred:
    shape = tuple(spec.shape)
    return Inferred((None,), ((shape, spec.dtype), (shape[:-2], d.int32)))


def _gradient(g: Any, out0: Any, upper: bool) -> Any:
    # I. Murray, "Differentiation of the Cholesky decomposition" (2016), eq. 10, made Hermitian.
    factor, slope = (conj_transpose(x) if upper else x for x in (out0, g))
    inner = (conj_transpose(factor) @ slope).tril()
    if inner.dtype.is_complex:  # of a diagonal the real part
        inner = inner.tril(-1) + 0.5 * inner.triu()
        inner = (inner + conj_transpose(inner)) / 2
    else:
        inner = (inner + inner.tril(-1).transpose(-2, -1)) / 2
    turned = conj_transpose(factor)
    half = solve_triangular(turned, inner, upper=True)
    return solve_triangular(factor, half, upper=False, left=False)


def _settled(input: Any, upper: bool = False) -> Any:
    """The factor and info of ``x x^H + 2``, which is positive-definite."""
    made = input @ conj_transpose(input) + 2 * eye_like(input, input.shape[-2])
    return call_laid(CHOLESKY, made, input, (upper,))


def _reference(x: np.ndarray, upper: bool = False) -> Any:
    made = x @ np.swapaxes(x, -2, -1).conj() + 2 * np.eye(x.shape[-2])
    # By its definition, row by row.
    factor = np.zeros_like(made)
    for i in range(made.shape[-1]):
        for j in range(i + 1):
            rest = made[..., i, j] - (factor[..., i, :j] * factor[..., j, :j].conj()).sum(-1)
            factor[..., i, j] = np.sqrt(rest) if i == j else rest / factor[..., j, j]
    return (
        np.swapaxes(factor, -2, -1).conj() if upper else factor,
        np.zeros(made.shape[:-2], np.int32),
    )


CHOLESKY = OpDef(
    "linalg_cholesky_ex",
    kind="contract",
    attributes=("upper",),
    outputs=2,
    infer=_infer,
    gradient={"input": _gradient},
    accepts=FACTORED,
    reference=_reference,
    samples=matrices(
        (3, 3), (2, 4, 2), (1, 1), (2, 0, 3), (0, 2, 2), attributes=((False,), (True,))
    ),
    tolerance=Tolerance(16, length=lambda x, *_: x.shape[-1]),
    method=False,
    public=False,
    function=_settled,
)
"""``linalg_cholesky_ex(input, L, info, *, upper)``: input (*, N, N), of which the lower triangle is
read, or the upper; L has zeros in its other triangle; info (*) int32: 0, or the order of the first
leading minor that is not positive-definite."""

_SENTENCE = (
    "The factorization could not be completed because the input is not positive-definite (the "
    "leading minor of order {info} is not positive-definite)."
)


def _factor(name: str, A: Tensor, upper: bool) -> Any:
    need_square(name, A)
    need_floating(name, A)
    return call(CHOLESKY, (A,), (bool(upper),))


@linalg()
def cholesky(A: Tensor, *, upper: bool = False) -> Any:
    """The lower triangular L with ``A = L L^H`` (or the upper U with ``A = U^H U``).

    Args:
        A: (*, N, N), symmetric (Hermitian) and positive-definite; one triangle is read.

    Raises:
        LinAlgError: a matrix is not positive-definite.
        RuntimeError: not square matrices of floats.
    """
    made, info = _factor("linalg.cholesky", A, upper)
    check_info("linalg.cholesky", info, _SENTENCE)
    return made


@linalg()
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """As ``cholesky``, as (L, info); info is not 0 where a matrix is not positive-definite.

    Raises:
        LinAlgError: with ``check_errors``, as ``cholesky``.
    """
    made = return_types.linalg_cholesky_ex(*_factor("linalg.cholesky", A, upper))
    if check_errors:
        check_info("linalg.cholesky_ex", made.info, _SENTENCE)
    return made


@publish(out=True)
@named("cholesky")
def _top_cholesky(input: Tensor, upper: bool = False) -> Any:
    """As ``linalg.cholesky``, with ``upper`` by position.

    Raises:
        LinAlgError: a matrix is not positive-definite.
    """
    need_square("cholesky", input)
    made, info = _factor("cholesky", input, upper)
    check_info("cholesky", info, _SENTENCE)
    return made


@publish(out=True)
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with ``A X = input`` from the Cholesky factor of A.

    Args:
        input: (*, N, K).
        L: (*, N, N), the lower factor (the upper one with ``upper``); leading dims broadcast.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    for label, x in (("b", input), ("u", L)):
        if x._spec.ndim < 2:
            raise RuntimeError(
                f"{label} should have at least 2 dimensions, but has {x._spec.ndim} dimensions "
                "instead"
            )
    systems("cholesky_solve", input, L)
    first, last = (conj_transpose(L), L) if upper else (L, conj_transpose(L))
    half = solve_triangular(first, input, upper=False)
    return solve_triangular(last, half, upper=True)  # type: ignore[no-any-return]


@publish(out=True)
def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A from its Cholesky factor.

    Args:
        L: (*, N, N), the lower factor (the upper one with ``upper``).

    Raises:
        RuntimeError: not square matrices, or a factor with a zero on its diagonal (LinAlgError).
    """
    need_square("cholesky_inverse", L)
    if L._spec.numel:
        zeros = L.detach().diagonal(0, -2, -1).eq(0)
        first = ops.where(zeros.any(-1), zeros.to(d.int32).argmax(-1) + 1, 0)
        singular_error("cholesky_inverse", of_all_examples(first))
    one = eye_like(L, L._spec.shape[-1])
    return cholesky_solve(one.expand(*L._spec.shape), L, upper)
