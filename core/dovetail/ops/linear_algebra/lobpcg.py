"""The largest or smallest eigenvalues of large symmetric matrices: lobpcg."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.autograd.grad_mode import mode, no_grad
from dovetail.ops.expose import FUNCTIONS, publish
from dovetail.ops.linear_algebra.eigen import eigh_parts
from dovetail.ops.linear_algebra.matrices import eye_like, has_data
from dovetail.ops.linear_algebra.operands import conj_transpose
from dovetail.ops.linear_algebra.qr import qr_parts
from dovetail.ops.linear_algebra.solve import solve_parts
from dovetail.tensor import Tensor

__all__ = ["lobpcg"]


@publish(method=False)
def lobpcg(
    A: Tensor,
    k: int | None = None,
    B: Tensor | None = None,
    X: Tensor | None = None,
    n: int | None = None,
    iK: Tensor | None = None,
    niter: int | None = None,
    tol: float | None = None,
    largest: bool | None = None,
    method: str | None = None,
    tracker: Callable[..., Any] | None = None,
    ortho_iparams: dict[str, int] | None = None,
    ortho_fparams: dict[str, float] | None = None,
    ortho_bparams: dict[str, bool] | None = None,
) -> tuple[Tensor, Tensor]:
    """The first k eigenvalues of ``A x = w B x`` and their vectors, by a block iteration.

    Source: A. Knyazev, "Toward the optimal preconditioned eigensolver" (2001); the basis is kept
    orthonormal as in A. Stathopoulos and K. Wu (2002). The eigenvalues are differentiable, and the
    vectors are where B is None.

    Args:
        A: (*, M, M), symmetric.
        k: how many eigenvalues; that of X, else 1.
        B: (*, M, M), symmetric and positive-definite; None is the identity.
        X: (*, M, N), where to start from; random where None.
        n: the size of the random start.
        iK: (*, M, M), a preconditioner.
        niter: how many steps at most; None: until the residuals are small (at most 1000), -1 too.
        tol: how small relative residuals must be; the root of eps where None.
        largest: the largest eigenvalues, else the smallest; True where None.
        method: ``ortho`` or ``basic``; both iterate here in an orthonormal basis.
        tracker: called after each step with an object that has ``ivars`` and ``tvars``.
        ortho_iparams, ortho_fparams, ortho_bparams: without effect.

    Raises:
        ValueError: the matrix is not square, or smaller than three times the block.
    """
    shape = A._spec.shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(f"lobpcg: A must be batches of square matrices, got shape {tuple(shape)}")
    if method not in (None, "basic", "ortho"):
        raise ValueError(f"lobpcg: method must be 'basic' or 'ortho', got {method!r}")
    m = shape[-1]
    k = (1 if X is None else X._spec.shape[-1]) if k is None else k
    block = (k if n is None else n) if X is None else X._spec.shape[-1]
    if m < 3 * block:
        raise ValueError(
            f"LOBPCG algorithm is not applicable when the number of A rows (={m}) is smaller than "
            f"3 x the number of requested eigenpairs (={block})"
        )
    largest = True if largest is None else largest
    steps = 1000 if niter is None or niter < 0 else niter
    eps = float(np.finfo(A._spec.dtype.numpy).eps)
    limit = eps**0.5 if tol is None else tol
    with no_grad():
        start = X
        if start is None:
            randn = FUNCTIONS["randn"]
            start = randn(*shape[:-2], m, block, dtype=A._spec.dtype, device=A._spec.device)
        problem = (A.detach(), None if B is None else B.detach(), iK)
        values, vectors = _iterate(problem, start, k, steps, limit, largest, tracker)
    needs = any(x is not None and x.requires_grad for x in (A, B))
    if not mode.grad or not needs:
        return values, vectors
    return _refined(A, B, values, vectors)


class _State:
    """What a tracker sees: ``ivars`` and ``tvars``, PyTorch's names of the numbers."""

    def __init__(self, step: int, values: Any, vectors: Any, residuals: Any) -> None:
        self.ivars = {"istep": step}
        self.tvars = {"rerr": residuals}
        self.E, self.X = values, vectors


def _iterate(
    problem: tuple[Any, Any, Any], X: Any, k: int, steps: int, limit: float, largest: bool,
    tracker: Any,
) -> tuple[Any, Any]:  # fmt: skip
    from dovetail import ops

    A, B, iK = problem
    size = A.abs().sum(-1).amax(-1).clamp(min=1e-300 if A.dtype.itemsize == 8 else 1e-30)
    values, X = _ritz(A, B, X, X.shape[-1], largest)
    P: Any = None
    for step in range(1, steps + 1):
        right = X if B is None else B @ X
        rest = A @ X - right * values.unsqueeze(-2)
        errors = (rest * rest).sum(-2).sqrt() / size.unsqueeze(-1)
        if tracker is not None:
            tracker(_State(step, values, X, errors))
        if not has_data(errors) or float(errors.narrow(-1, 0, k).amax()) <= limit:
            break
        move = rest if iK is None else iK @ rest
        basis = ops.cat([X, move] if P is None else [X, move, P], -1)
        old = X
        values, X = _ritz(A, B, basis, X.shape[-1], largest)
        P = X - old @ (conj_transpose(old) @ (X if B is None else B @ X))
    return values.narrow(-1, 0, k).contiguous(), X.narrow(-1, 0, k).contiguous()


def _ritz(A: Any, B: Any, basis: Any, count: int, largest: bool) -> tuple[Any, Any]:
    """The best values and vectors in the space that a basis spans (Rayleigh and Ritz)."""
    basis = qr_parts(basis / (basis * basis).sum(-2, True).sqrt().clamp(min=1e-30))[0]
    if B is not None:
        # Orthonormal with respect to B: by the eigenvalues of the small product.
        sizes, turn = eigh_parts(conj_transpose(basis) @ (B @ basis))
        basis = basis @ (turn / sizes.clamp(min=1e-30).sqrt().unsqueeze(-2))
    values, turn = eigh_parts(conj_transpose(basis) @ (A @ basis))
    if largest:
        values, turn = values.flip(-1), turn.flip(-1)
    return values.narrow(-1, 0, count), basis @ turn.narrow(-1, 0, count)


def _refined(A: Any, B: Any, values: Any, vectors: Any) -> tuple[Any, Any]:
    """Values and vectors with gradients: the quotient of Rayleigh, and a step of Newton's method.

    At an eigenpair the step is 0, and its derivative is the eigenpair's.
    """
    right = vectors if B is None else B @ vectors
    quotients = (vectors * (A @ vectors)).sum(-2) / (vectors * right).sum(-2)
    if B is not None:
        return quotients, vectors
    one = eye_like(A, A.shape[-1])
    columns = []
    for i in range(values.shape[-1]):
        v = vectors.narrow(-1, i, 1)
        # (w - A) with v's direction filled in, so that it can be inverted.
        system = values.narrow(-1, i, 1).unsqueeze(-1) * one - A.detach() + v @ conj_transpose(v)
        image = A @ v
        image = image - v @ (conj_transpose(v) @ image)
        columns.append(v + solve_parts(system, image - image.detach()))
    from dovetail import ops

    return quotients, ops.cat(columns, -1)
