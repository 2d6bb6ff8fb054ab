"""Functions of matrices: matrix_power, matrix_exp, and products of many, multi_dot."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.dispatch import call
from dovetail.ops.expose import FUNCTIONS, attach, publish
from dovetail.ops.families import draw
from dovetail.ops.indexed.index_checks import of_all_examples
from dovetail.ops.linear_algebra.matrices import (
    FACTORED,
    LINALG,
    eye_like,
    has_data,
    linalg,
    need_floating,
    need_square,
)
from dovetail.ops.linear_algebra.operands import C_NAMES, conj_transpose
from dovetail.ops.linear_algebra.products import chain_matmul
from dovetail.ops.linear_algebra.solve import solve_parts
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample, Tolerance
from dovetail.tensor import Tensor

__all__ = ["MATRIX_EXP"]

# -------------------------------------------------------------------- power


@publish(out=True)
def matrix_power(input: Tensor, n: int) -> Any:
    """``A @ A @ … @ A``, n times; of the inverse where n is negative, the identity for 0.

    Args:
        input: (*, N, N).

    Raises:
        LinAlgError: n is negative and a matrix is singular.
        RuntimeError: not square matrices.
    """
    need_square("linalg.matrix_power", input)
    x: Any = input
    if n < 0:
        x, n = LINALG["inv"](x), -n
    if n == 0:
        return eye_like(x, x.shape[-1]).expand(x.shape).clone()
    made = None
    while True:
        if n % 2:
            made = x if made is None else made @ x
        n //= 2
        if not n:
            return made.clone() if made is input else made
        x = x @ x


linalg("matrix_power")(matrix_power)

# ---------------------------------------------------------------------- exp

_DEGREES = {
    "float32": (3.925724783138660, (
        17297280.0, 8648640.0, 1995840.0, 277200.0, 25200.0, 1512.0, 56.0, 1.0,
    )),
    "float64": (5.371920351148152, (
        64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
        129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
        40840800.0, 960960.0, 16380.0, 182.0, 1.0,
    )),
}  # fmt: skip
"""Per real dtype the largest 1-norm, and the coefficients of Padé's numerator: degrees 7 and 13."""


def _pade(x: Any, coefficients: tuple[float, ...]) -> Any:
    one, square = eye_like(x, x.shape[-1]), x @ x
    power, (a, b, c, d) = square, coefficients[:4]
    even, odd = one * a + square * c, one * b + square * d
    for c, d in zip(coefficients[4::2], coefficients[5::2], strict=True):
        power = power @ square
        even, odd = even + power * c, odd + power * d
    odd = x @ odd
    return solve_parts(even - odd, even + odd)


def _squarings(x: Any, limit: float) -> Any:
    """Per matrix how often its half is taken, as float: the 1-norm must be below the limit."""
    size = x.detach().abs().sum(-2).amax(-1)
    return (size / limit).log2().ceil().clamp(min=0)


def _matrix_exp(input: Any) -> Any:
    # N. Higham, "The scaling and squaring method for the matrix exponential revisited" (2005).
    from dovetail import ops

    if not input.numel():
        return input.clone()
    if input.shape[-1] == 1:
        return input.exp()
    limit, coefficients = _DEGREES[input.dtype.to_real().name]
    times = _squarings(input, limit).unsqueeze(-1).unsqueeze(-1)
    made = _pade(input * (-times).exp2(), coefficients)
    if has_data(times):
        finite = times.masked_fill(times.isfinite().logical_not(), 0)
        for i in range(int(of_all_examples(finite).amax())):
            made = ops.where(times.gt(i), made @ made, made)
    return made


def _exp_gradient(g: Any, input: Any) -> Any:
    # The exponential of (A^H G; 0 A^H) has the gradient as its upper right block (R. Mathias, "A
    # chain rule for matrix functions and applications", 1996).
    from dovetail import ops

    turned, n = conj_transpose(input), input.shape[-1]
    top = ops.cat([turned, g], -1)
    bottom = ops.cat([input.new_zeros(input.shape), turned], -1)
    return call(MATRIX_EXP, (ops.cat([top, bottom], -2),)).narrow(-2, 0, n).narrow(-1, n, n)


def _exp_reference(x: np.ndarray) -> Any:
    """Taylor's series of what is halved until its terms fall, squared as often."""
    size = float(np.abs(x).max(initial=0)) * x.shape[-1]
    halves = max(0, int(np.frexp(size)[1]))
    small = x.astype(np.result_type(x, np.longdouble)) / 2.0**halves
    term = np.broadcast_to(np.eye(x.shape[-1]), x.shape).astype(small.dtype)
    total = term.copy()
    for i in range(1, 30):
        term = term @ small / i
        total = total + term
    for _ in range(halves):
        total = total @ total
    return total.astype(x.dtype)


def _exp_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    shapes = ((3, 3), (2, 2, 2), (1, 1), (0, 0), (2, 0, 0), (5, 5), (1, 2, 2))
    made = [Sample((draw(rng, shape, dtype, -2, 2),)) for shape in shapes]
    turn = np.array([[0, 60], [-60, 0]]).astype(dtype.numpy)
    return [
        *made,
        Sample((draw(rng, (2, 3, 3), dtype, -3, 3),), name="large"),
        Sample((turn,), name="turned often"),
    ]


MATRIX_EXP = OpDef(
    "matrix_exp",
    infer=lambda spec: Inferred((None,), ((tuple(spec.shape), spec.dtype),)),
    decompose=_matrix_exp,
    gradient={"input": _exp_gradient},
    compute=d.float32,
    accepts=(*FACTORED, d.float16, d.bfloat16),
    reference=_exp_reference,
    samples=_exp_samples,
    errors=lambda: [
        ErrorInput((np.ones(3),), {}, RuntimeError, "must have at least 2 dimensions"),
        ErrorInput((np.ones((2, 3)),), {}, RuntimeError, "they are 2 by 3 matrices"),
        ErrorInput((np.ones((2, 2), np.int64),), {}, RuntimeError, "Expected a floating point"),
    ],
    tolerance=Tolerance(32, length=lambda x: max(1, x.shape[-1]) ** 2),
    node_name=lambda input: "linalg_matrix_exp",
)


def _checked_exp(input: Tensor) -> Any:
    """The exponential of square matrices, ``1 + A + A A / 2 + …``: (*, N, N).

    Raises:
        RuntimeError: not square matrices of floats.
    """
    need_square("linalg.matrix_exp", input)
    need_floating("linalg.matrix_exp", input)
    return call(MATRIX_EXP, (input,))


def _publish() -> None:
    attach(MATRIX_EXP, _checked_exp)
    linalg("matrix_exp", out=False)(MATRIX_EXP.function)
    linalg("matmul")(FUNCTIONS["matmul"])


_publish()

# ---------------------------------------------------------------- multi_dot


@linalg()
def multi_dot(tensors: Any) -> Any:
    """The product of two or more matrices, in the order that takes the least work.

    Args:
        tensors: (N, M) each; the first and the last may be vectors.

    Raises:
        RuntimeError: fewer than two, or shapes or dtypes that do not fit.
    """
    many: list[Any] = list(tensors)
    count = len(many)
    if count < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {count}")
    for label, x in (("first", many[0]), ("last", many[-1])):
        if x.ndim not in (1, 2):
            raise RuntimeError(
                f"multi_dot(): the {label} tensor must be 1D or 2D but got {x.ndim}D"
            )
    for i, x in enumerate(many):
        if 0 < i < count - 1 and x.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {x.ndim}D")
        if x.dtype is not many[0].dtype:
            raise RuntimeError(
                "multi_dot(): all tensors must have be the same dtype but tensor 0 is "
                f"{C_NAMES[many[0].dtype.name]} and tensor {i} {C_NAMES[x.dtype.name]}"
            )
    first, last = many[0].ndim == 1, many[-1].ndim == 1
    if first:
        many[0] = many[0].unsqueeze(0)
    if last:
        many[-1] = many[-1].unsqueeze(-1)
    for i in range(count - 1):
        a, b = many[i], many[i + 1]
        if a.shape[-1] != b.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(a.shape)} and "
                f"{list(b.shape)} cannot be multiplied"
            )
    made: Any = chain_matmul(*many)
    return made.reshape(
        [n for n, keep in zip(made.shape, (not first, not last), strict=True) if keep]
    )
