"""Matrix products: the primitive ``matmul``, and mm, bmm, mv and dot on it.

The primitive takes batches of matrices with any strides, so a transposed operand costs nothing. The
others are operators of their own because backends have better ways for them, and because each has
its own checks; ``dovetail.matmul`` picks the one that fits the number of dims.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import observe
from dovetail.autocast_rules import cast_inputs, without
from dovetail.autograd.grad_mode import mode
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import broadcast_shapes
from dovetail.ops.linear_algebra.operands import (
    CONTRACTION,
    as_rows,
    batch_error,
    cannot_multiply,
    conj,
    conj_transpose,
    need_tensors,
    operands,
    same_dtype,
    same_scalar_type,
)
from dovetail.ops.out import finish
from dovetail.ops.schema import Inferred, OpDef
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = [
    "MATMUL", "bmm", "bmm_infer", "dot", "matmul", "mm", "mv", "mv_many", "vdot",
    "widened",
]  # fmt: skip


# ------------------------------------------------------------------- matmul


def _matmul_infer(input: Spec, other: Spec) -> Inferred:
    if other.ndim == 2 or input.ndim == 2 == other.ndim:
        same_dtype(input, other)
        if input.shape[-1] != other.shape[0]:
            raise cannot_multiply(math.prod(input.shape[:-1]), input, other)
    else:
        same_scalar_type(input, other)
    batch = broadcast_shapes(tuple(input.shape[:-2]), tuple(other.shape[:-2]))
    if input.shape[-1] != other.shape[-2]:
        count = math.prod(batch)
        raise batch_error(count, input, other, count)
    shape = (*batch, input.shape[-2], other.shape[-1])
    return Inferred((None, None), ((shape, input.dtype),))


def _matmul_input_gradient(g: Any, other: Any, specs: Any) -> Any:
    if specs[0].ndim == 2 and other._spec.ndim > 2:
        # The batch is part of what is summed over: one product instead of a batch and a sum.
        return mm(as_rows(g.transpose(-2, -1)).t(), conj(as_rows(other.transpose(-2, -1))))
    return _matmul(g, conj_transpose(other))


def _matmul_other_gradient(g: Any, input: Any, specs: Any) -> Any:
    if specs[1].ndim == 2 and input._spec.ndim > 2:
        return mm(conj_transpose(as_rows(input)), as_rows(g))
    return _matmul(conj_transpose(input), g)


MATMUL = OpDef(
    "matmul",
    kind="contract",
    inputs=("input", "other"),
    infer=_matmul_infer,
    gradient={"input": _matmul_input_gradient, "other": _matmul_other_gradient},
    accepts=d.NUMBER,
    reference=np.matmul,
    samples=operands(
        ((2, 3), (3, 4)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((2, 3, 3), (2, 3, 3)),
        ((0, 2, 3), (0, 3, 2)),
        ((3, 2, 4), (4, 5)),
        ((2, 3), (4, 3, 2)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (2, 3, 4)),
    ),
    tolerance=CONTRACTION,
    required=True,
    node_name=lambda input, other: "unsafe_view",
)
"""``matmul(input, other, out)``: (*, M, K) by (*, K, N), leading dims broadcast, any strides."""


def _matmul(input: Tensor, other: Tensor) -> Any:
    return call(MATMUL, (input, other))


_find_route = MATMUL.plans.get


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Matrix product of two tensors: dot, matrix by vector, matrix by matrix, or batches of them.

    Args:
        input: (*, M, K) or (K).
        other: (*, K, N) or (K); leading dims broadcast.

    Raises:
        RuntimeError: sizes or dtypes that do not fit, or a 0-d operand.
    """
    if out is None and not observe.active:
        try:
            run = _find_route((input._spec, other._spec))
        except AttributeError:
            run = None
        if run is not None:
            return run(input, other)
    need_tensors("matmul", input=input, other=other)
    if mode.autocast is not None:
        if out is not None:
            return without(matmul, input, other, out=out)
        input, other = cast_inputs("matmul", (input, other), {}, mode.autocast)
    a, b = input._spec, other._spec
    one, two = a.ndim, b.ndim
    if not one or not two:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {one}D and {two}D"
        )
    if one == 1 and two > 1:
        _check_vector_first(a, b)
        result = mv_many(other.transpose(-2, -1), input)
    else:
        op = DOT if one == two == 1 else MM if one == two == 2 else MV if two == 1 else MATMUL
        result = call(op, (input, other))
        plan = op.plans.get((a, b, ()))
        if plan is not None:
            MATMUL.plans[a, b] = plan
    return finish("matmul", result, out)


operator(MATMUL)(matmul)


def _check_vector_first(a: Spec, b: Spec) -> None:
    if b.ndim == 2:
        same_dtype(a, b)
        if a.shape[0] != b.shape[0]:
            raise cannot_multiply(1, a, b)
    elif a.shape[0] != b.shape[-2]:
        count = math.prod(b.shape[:-2])
        raise batch_error(count, a, b, count)


# -------------------------------------------------------------- mm, bmm, mv


def _mm_infer(input: Spec, mat2: Spec) -> Inferred:
    for label, spec in (("self", input), ("mat2", mat2)):
        if spec.ndim != 2:
            raise RuntimeError(f"{label} must be a matrix")
    same_dtype(input, mat2)
    if input.shape[1] != mat2.shape[0]:
        raise cannot_multiply(input.shape[0], input, mat2)
    return Inferred((None, None), (((input.shape[0], mat2.shape[1]), input.dtype),))


MM = OpDef(
    "mm",
    kind="contract",
    inputs=("input", "mat2"),
    infer=_mm_infer,
    decompose=_matmul,
    gradient={
        "input": lambda g, mat2: mm(g, conj_transpose(mat2)),
        "mat2": lambda g, input: mm(conj_transpose(input), g),
    },
    accepts=d.NUMBER,
    reference=np.matmul,
    samples=operands(((2, 3), (3, 4)), ((7, 1), (1, 5)), ((0, 3), (3, 2)), ((2, 0), (0, 3))),
    tolerance=CONTRACTION,
)


def widened(name: str, out_dtype: Any, *operands: Any) -> tuple[Any, ...]:
    """The operands of a product in the dtype that its result is to have.

    Raises:
        TypeError: it is no dtype.
        RuntimeError: it is neither their own nor, for half and bfloat16, float32.
    """
    if not isinstance(out_dtype, d.dtype):
        raise TypeError(
            f"{name}(): argument 'out_dtype' must be dtype, not {type(out_dtype).__name__}"
        )
    for x in operands:
        kind = x._spec.dtype
        if out_dtype is not kind and not (kind.itemsize == 2 and out_dtype is d.float32):
            raise RuntimeError(
                f"{name}: out_dtype must be the same as input dtype or fp32 for fp16/bf16 inputs, "
                f"got {out_dtype} for {kind}"
            )
    return tuple(x.to(out_dtype) for x in operands)


@operator(MM, out=True)
def mm(input: Tensor, mat2: Tensor, out_dtype: d.dtype | None = None) -> Tensor:
    """Product of two matrices: (M, K) by (K, N).

    Args:
        out_dtype: float32 for half and bfloat16 operands: the product is not rounded to theirs.

    Raises:
        RuntimeError: not matrices, or sizes or dtypes that do not fit.
    """
    if out_dtype is not None:
        input, mat2 = widened("mm", out_dtype, input, mat2)
    return call(MM, (input, mat2))


def bmm_infer(input: Spec, mat2: Spec) -> Inferred:
    """The rule of two batches of matrices."""
    for label, spec in (("batch1", input), ("batch2", mat2)):
        if spec.ndim != 3:
            raise RuntimeError(f"{label} must be a 3D tensor")
    if input.shape[0] != mat2.shape[0] or input.shape[2] != mat2.shape[1]:
        raise batch_error(input.shape[0], input, mat2, mat2.shape[0])
    same_scalar_type(input, mat2)
    return Inferred((None, None), (((*input.shape[:2], mat2.shape[2]), input.dtype),))


BMM = OpDef(
    "bmm",
    kind="contract",
    inputs=("input", "mat2"),
    infer=bmm_infer,
    decompose=_matmul,
    gradient={
        "input": lambda g, mat2: bmm(g, conj_transpose(mat2)),
        "mat2": lambda g, input: bmm(conj_transpose(input), g),
    },
    accepts=d.NUMBER,
    reference=np.matmul,
    samples=operands(((2, 3, 4), (2, 4, 5)), ((0, 2, 3), (0, 3, 2)), ((3, 1, 1), (3, 1, 1))),
    tolerance=CONTRACTION,
)


@operator(BMM, out=True)
def bmm(input: Tensor, mat2: Tensor, out_dtype: d.dtype | None = None) -> Tensor:
    """Products of two batches of matrices: (B, M, K) by (B, K, N).

    Args:
        out_dtype: float32 for half and bfloat16 operands: the products are not rounded to theirs.

    Raises:
        RuntimeError: not 3-D, or sizes or dtypes that do not fit.
    """
    if out_dtype is not None:
        input, mat2 = widened("bmm", out_dtype, input, mat2)
    return call(BMM, (input, mat2))


def _mv_infer(input: Spec, vec: Spec) -> Inferred:
    rows = math.prod(input.shape[:-1])
    if input.shape[-1] != vec.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({rows}), mat ({rows}x{input.shape[-1]}), "
            f"vec ({vec.shape[0]})"
        )
    if input.dtype is not vec.dtype:
        vector, matrix = type_name(vec.dtype), type_name(input.dtype)
        raise RuntimeError(
            "addmv input tensors must have the same dtype, but got "
            f"{vector}, {matrix}, and {vector}"
        )
    return Inferred((None, None), ((tuple(input.shape[:-1]), input.dtype),))


MV = OpDef(
    "mv",
    kind="contract",
    inputs=("input", "vec"),
    infer=_mv_infer,
    decompose=lambda input, vec: _matmul(input, vec.unsqueeze(-1)).squeeze(-1),
    gradient={
        "input": lambda g, vec: g.unsqueeze(-1) * conj(vec),
        "vec": lambda g, input: mv_many(conj_transpose(as_rows(input)), g.reshape(-1)),
    },
    accepts=d.NUMBER,
    reference=np.matmul,
    samples=operands(((2, 3), (3,)), ((5, 3), (3,)), ((0, 3), (3,)), ((2, 0), (0,))),
    tolerance=CONTRACTION,
)
"""Matrices by one vector; the operator takes leading dims, the public ``mv`` only a matrix."""


def mv_many(input: Any, vec: Any) -> Any:
    """(*, M, K) by (K)."""
    return call(MV, (input, vec))


@operator(MV, out=True)
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Matrix by vector: (M, K) by (K).

    Raises:
        RuntimeError: not a matrix and a vector, or sizes or dtypes that do not fit.
    """
    need_tensors("mv", input=input, vec=vec)
    if input._spec.ndim != 2 or vec._spec.ndim != 1:
        raise RuntimeError(
            f"vector + matrix @ vector expected, got 1, {input._spec.ndim}, {vec._spec.ndim}"
        )
    return mv_many(input, vec)


def _dot_infer(input: Spec, tensor: Spec) -> Inferred:
    if input.ndim != 1 or tensor.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    if input.dtype is not tensor.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{type_name(input.dtype)} and {type_name(tensor.dtype)}"
        )
    if input.numel != tensor.numel:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{input.numel}] and src [{tensor.numel}] "
            f"to have the same number of elements, but got {input.numel} and {tensor.numel} "
            "elements respectively"
        )
    return Inferred((None, None), (((), input.dtype),))


DOT = OpDef(
    "dot",
    kind="contract",
    inputs=("input", "tensor"),
    infer=_dot_infer,
    decompose=lambda input, tensor: _matmul(input.unsqueeze(0), tensor.unsqueeze(1)).reshape(()),
    gradient={
        "input": lambda g, tensor: g * conj(tensor),
        "tensor": lambda g, input: g * conj(input),
    },
    accepts=d.NUMBER,
    reference=np.dot,
    samples=operands(((7,), (7,)), ((0,), (0,)), ((1,), (1,))),
    tolerance=CONTRACTION,
)


@operator(DOT, out=True)
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Sum of the products of two vectors, without conjugation: (K) by (K) -> ().

    Raises:
        RuntimeError: not vectors, or sizes or dtypes that do not fit.
    """
    return call(DOT, (input, tensor))


@publish(out=True)
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """As ``dot``, with the first vector conjugated."""
    return dot(conj(input), other)
