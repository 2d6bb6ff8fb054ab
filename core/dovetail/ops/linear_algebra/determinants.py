"""Determinants: det, slogdet and logdet, whose gradients hold at singular matrices too."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import return_types
from dovetail.autograd.grad_mode import mode
from dovetail.dispatch import call
from dovetail.factories import arange
from dovetail.ops.expose import attach, publish
from dovetail.ops.families import draw
from dovetail.ops.linear_algebra.lu import lu_parts, solve_factored
from dovetail.ops.linear_algebra.matrices import (
    FACTORED,
    eye_like,
    has_data,
    linalg,
    matrices,
    named,
    need_floating,
    need_square,
)
from dovetail.ops.linear_algebra.operands import conj, conj_transpose
from dovetail.ops.linear_algebra.solve import solve_parts
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["DET", "SLOGDET"]


def _parity(pivots: Any) -> Any:
    """1 or -1 per matrix: whether an even number of rows was exchanged."""
    rows = arange(1, pivots.shape[-1] + 1, device=pivots.device, dtype=pivots.dtype)
    return 1 - 2 * (pivots.ne(rows).sum(-1) % 2)


def _on_diagonal(values: Any, n: int) -> Any:
    """One number times the identity: (*) -> (*, n, n)."""
    return values.unsqueeze(-1).expand(*values.shape, n).diag_embed()


def _det(input: Any) -> Any:
    packed, pivots, _ = lu_parts(input)
    return packed.diagonal(0, -2, -1).prod(-1) * _parity(pivots)


def _adjugate_gradient(g: Any, input: Any) -> Any:
    """By the determinants of all minors, (*, N, N, N-1, N-1), which hold to every order.

    Singular values would do for real matrices; in complex ones the phase of a vector whose
    singular value is 0 has no derivative.
    """
    n = input.shape[-1]
    i = arange(n, device=input.device)
    fewer = i.narrow(0, 0, n - 1)
    others = (fewer + fewer.ge(i.unsqueeze(-1))).reshape(-1)  # for each i all but i
    minors = input.index_select(-2, others).index_select(-1, others)
    minors = minors.reshape(*input.shape[:-2], n, n - 1, n, n - 1).transpose(-3, -2)
    sign = 1 - 2 * ((i + i.unsqueeze(-1)) % 2)
    cofactors = call(DET, (minors,)) * sign
    return g.unsqueeze(-1).unsqueeze(-1) * conj(cofactors)


_NEARLY = 100
"""Times epsilon: a determinant below it may be one of a singular matrix, as PyTorch takes it; which
rounding leaves of it differs from one LAPACK to the next."""


def _det_gradient(g: Any, input: Any, out: Any) -> Any:
    # The gradient is g conj(det) A^-H, which is continuous where A is singular.
    n, eps = input.shape[-1], float(np.finfo(input.dtype.numpy).eps)
    if n < 2:
        return g.reshape(*g.shape, 1, 1) if n else input.new_zeros(input.shape)
    if mode.grad and has_data(out) and bool(out.detach().abs().lt(_NEARLY * eps).any()):
        return _adjugate_gradient(g, input)
    if not mode.grad:
        return g.unsqueeze(-1).unsqueeze(-1) * conj_transpose(call(ADJUGATE, (input,)))
    return solve_parts(conj_transpose(input), _on_diagonal(g * conj(out), n))


def _det_infer(spec: Spec) -> Inferred:
    return Inferred((None,), ((tuple(spec.shape[:-2]), spec.dtype),))


def _det_reference(x: np.ndarray) -> Any:
    """Laplace's expansion along the first row."""
    n = x.shape[-1]
    if not n:
        return np.ones(x.shape[:-2], x.dtype)
    total = np.zeros(x.shape[:-2], x.dtype)
    for j in range(n):
        minor = np.delete(x[..., 1:, :], j, -1)
        total = total + (-1) ** j * x[..., 0, j] * _det_reference(minor)
    return total


def _det_samples(rng: np.random.Generator, dtype: Any) -> list[Sample]:
    made = matrices((3, 3), (2, 4, 4), (1, 1), (0, 0), (2, 0, 0), (0, 2, 2), (5, 5), (6, 2, 2))(
        rng, dtype
    )
    flat = draw(rng, (2, 5, 5), dtype, -2, 2)
    flat[0, 2] = 0
    return [*made, Sample((flat,), name="singular")]


def _wrong() -> list[ErrorInput]:
    return [
        ErrorInput((np.ones(3),), {}, RuntimeError, "must have at least 2 dimensions"),
        ErrorInput((np.ones((2, 3)),), {}, RuntimeError, "they are 2 by 3 matrices"),
        ErrorInput((np.ones((2, 2), np.int64),), {}, RuntimeError, "Expected a floating point"),
    ]


DET = OpDef(
    "det",
    infer=_det_infer,
    decompose=_det,
    gradient={"input": _det_gradient},
    accepts=FACTORED,
    reference=_det_reference,
    samples=_det_samples,
    errors=_wrong,
    tolerance=Tolerance(32, against="inputs", length=lambda x: max(1, x.shape[-1]) ** 2),
    node_name=lambda input: "linalg_det",
)


def _adjugate(input: Any) -> Any:
    n, eps = input.shape[-1], float(np.finfo(input.dtype.numpy).eps)
    packed, pivots, _ = lu_parts(input)
    zeros = packed.diagonal(0, -2, -1).eq(0)
    shifted = packed + (zeros.to(packed.dtype) * eps).diag_embed()
    near = shifted.diagonal(0, -2, -1).prod(-1) * _parity(pivots)
    return solve_factored(shifted, pivots, near.unsqueeze(-1).unsqueeze(-1) * eye_like(input, n))


def _adjugate_reference(x: np.ndarray) -> Any:
    """The minors' determinants, with their signs, transposed."""
    n = x.shape[-1]
    made = np.empty_like(x)
    for i in range(n):
        for j in range(n):
            minor = np.delete(np.delete(x, i, -2), j, -1)
            made[..., j, i] = (-1) ** (i + j) * _det_reference(minor)
    return made


ADJUGATE = OpDef(
    "det_adjugate",
    infer=lambda spec: Inferred((None,), ((tuple(spec.shape), spec.dtype),)),
    decompose=_adjugate,
    differentiable=(),
    accepts=FACTORED,
    reference=_adjugate_reference,
    samples=lambda rng, dtype: [s for s in _det_samples(rng, dtype) if s.args[0].shape[-1] > 1],
    tolerance=Tolerance(64, against="inputs", length=lambda x: max(1, x.shape[-1]) ** 2),
    method=False,
    public=False,
    function=lambda input: call(ADJUGATE, (input,)),
)
"""``det_adjugate(input, out)``: the determinant times the inverse, (*, N, N); zeros on U's diagonal
count as epsilon, so that there is one of singular matrices too, for the gradient of ``det``."""


def _named_det(name: str) -> Any:
    def det(input: Tensor) -> Any:
        """The determinant of square matrices: (*, N, N) -> (*).

        Raises:
            RuntimeError: not square matrices of floats.
        """
        need_square(name, input)
        need_floating(name, input)
        return call(DET, (input,))

    return det


# ------------------------------------------------------------------- slogdet


def _slogdet(input: Any) -> Any:
    packed, pivots, _ = lu_parts(input)
    diagonal = packed.diagonal(0, -2, -1)
    sign = diagonal.sgn().prod(-1) * _parity(pivots)
    return sign, diagonal.abs().log().sum(-1)


def _slogdet_gradient(g: Any, input: Any, out0: Any) -> Any:
    # d log det A = tr(A^-1 dA): its real part moves the logarithm, its imaginary part the sign.
    from dovetail.ops.pointwise.complex import complex as make_complex

    of_sign, scale = g
    if input.dtype.is_complex:
        real = scale if scale is not None else out0.real.new_zeros(out0.shape)
        turn = real.new_zeros(real.shape) if of_sign is None else -(conj(of_sign) * out0).imag
        scale = make_complex(real, turn)
    elif scale is None:
        return input.new_zeros(input.shape)
    right = _on_diagonal(scale.to(input.dtype), input.shape[-1])
    return solve_parts(conj_transpose(input), right)


def _slogdet_infer(spec: Spec) -> Inferred:
    shape = tuple(spec.shape[:-2])
    return Inferred((None,), ((shape, spec.dtype), (shape, spec.dtype.to_real())))


def _slogdet_reference(x: np.ndarray) -> Any:
    det = _det_reference(x)
    size = np.abs(det)
    return det / np.where(size == 0, 1, size), np.log(size)


SLOGDET = OpDef(
    "slogdet",
    outputs=2,
    infer=_slogdet_infer,
    decompose=_slogdet,
    gradient={"input": _slogdet_gradient},
    differentiable=(0, 1),
    accepts=FACTORED,
    reference=_slogdet_reference,
    samples=lambda rng, dtype: _det_samples(rng, dtype)[:-1],
    errors=_wrong,
    tolerance=Tolerance(64, against="inputs", length=lambda x: max(1, x.shape[-1]) ** 2),
    node_name=lambda input: "linalg_slogdet",
)


def _named_slogdet(name: str, made: Any) -> Any:
    def slogdet(input: Tensor) -> Any:
        """Sign (phase) and logarithm of the absolute value of the determinant.

        Of a singular matrix the sign is 0 and the logarithm -inf. As (sign, logabsdet).

        Raises:
            RuntimeError: not square matrices of floats.
        """
        need_square(name, input)
        need_floating(name, input, low=False)
        return made(*call(SLOGDET, (input,)))

    return slogdet


@publish()
@named("logdet")
def _logdet(input: Tensor) -> Any:
    """The logarithm of the determinant: -inf for a singular matrix, NaN where it is negative.

    Raises:
        RuntimeError: not square matrices of floats.
    """
    need_square("logdet", input)
    need_floating("logdet", input, low=False)
    sign, size = call(SLOGDET, (input,))
    if sign.dtype.is_complex:
        return sign.log() + size
    return size.masked_fill(sign.eq(-1), float("nan"))


def _publish() -> None:
    attach(DET, _named_det("linalg.det"))
    attach(SLOGDET, _named_slogdet("linalg.slogdet", return_types.slogdet), out=True)
    linalg("det")(DET.function)
    linalg("slogdet")(_named_slogdet("linalg.slogdet", return_types.linalg_slogdet))


_publish()
