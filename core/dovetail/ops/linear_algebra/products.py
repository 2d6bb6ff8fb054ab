"""Products made of other operators: outer, inner, tensordot, addmv, addbmm, addr, kron, cross."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import publish
from dovetail.ops.families import broadcast_shapes, draw, result_strides
from dovetail.ops.linear_algebra.affine import addmm, affine, expandable, factors, linear
from dovetail.ops.linear_algebra.contract import matmul, mm, mv_many
from dovetail.ops.linear_algebra.operands import as_rows, conj, need_tensors, same_scalar_type
from dovetail.ops.out import finish
from dovetail.ops.schema import Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "addbmm", "addmv", "addr", "bilinear", "chain_matmul", "cross", "inner", "kron", "outer",
    "tensordot",
]  # fmt: skip


@publish("ger", out=True)
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Every product of an element of one vector with one of the other: (M) and (N) -> (M, N).

    Raises:
        RuntimeError: not vectors.
    """
    for label, x in (("self", input), ("vec2", vec2)):
        if x._spec.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {label}, but got {x._spec.ndim}-D")
    return input.unsqueeze(1) * vec2


def _one_dtype(a: Tensor, b: Tensor) -> None:
    if a._spec.dtype is not b._spec.dtype:
        raise RuntimeError(
            f"both inputs should have same dtype, got {type_name(a._spec.dtype)} and "
            f"{type_name(b._spec.dtype)}"
        )


@publish(out=True)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dims: (*, K) and (**, K) -> (*, **).

    Raises:
        RuntimeError: last dims that differ.
    """
    a, b = input._spec, other._spec
    if not a.ndim or not b.ndim:
        return input * other
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(a.shape)} and {list(b.shape)}"
        )
    _one_dtype(input, other)
    if a.ndim == b.ndim == 1:
        return matmul(input, other)
    made = linear(as_rows(input), as_rows(other))
    return made.reshape(*a.shape[:-1], *b.shape[:-1])


@publish(inplace=True, out=True)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``: (M, K) by (K).

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    need_tensors("addmv", input=input, mat=mat, vec=vec)
    if mat._spec.ndim != 2 or vec._spec.ndim != 1 or input._spec.ndim > 1:
        raise RuntimeError(
            f"vector + matrix @ vector expected, got {input._spec.ndim}, {mat._spec.ndim}, "
            f"{vec._spec.ndim}"
        )
    m, k = mat._spec.shape
    if vec._spec.shape[0] != k or input._spec.numel not in (1, m):
        raise RuntimeError(
            f"size mismatch, got input ({input._spec.numel}), mat ({m}x{k}), "
            f"vec ({vec._spec.shape[0]})"
        )
    beta, alpha = factors(input, beta, alpha)
    return affine(input, mv_many(mat, vec), beta, alpha)


@publish(inplace=True, out=True)
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """``beta * input + alpha * bmm(batch1, batch2).sum(0)``, as one product.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    for label, x in (("batch1", batch1), ("batch2", batch2)):
        if x._spec.ndim != 3:
            raise RuntimeError(f"{label} must be a 3D tensor")
    b, n, m = batch1._spec.shape
    b2, m2, p = batch2._spec.shape
    if b != b2:
        raise RuntimeError(f"batch1 and batch2 must have same number of batches, got {b} and {b2}")
    if m != m2:
        raise RuntimeError(f"Incompatible matrix sizes for bmm ({n}x{m} and {m2}x{p})")
    left = batch1.transpose(0, 1).reshape(n, b * m)
    right = batch2.reshape(b * m, p)
    return addmm(input, left, right, beta=beta, alpha=alpha)


@publish(inplace=True, out=True)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``.

    Raises:
        RuntimeError: not vectors.
    """
    for label, x in (("vec1", vec1), ("vec2", vec2)):
        if x._spec.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {label}, but got {x._spec.ndim}-D")
    expandable(input._spec, (vec1._spec.shape[0], vec2._spec.shape[0]))
    if all(x._spec.dtype is d.bool_ for x in (input, vec1, vec2)):
        beta, alpha = bool(beta), bool(alpha)
    beta, alpha = factors(input, beta, alpha)
    return affine(input, outer(vec1, vec2), beta, alpha)


@publish(method=False, out=True)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Sums of products over some dims of each, as one matrix product.

    Args:
        dims: how many last dims of ``a`` and first of ``b``, or a list of dims for each.

    Raises:
        RuntimeError: dims that do not match.
    """
    _one_dtype(a, b)
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if hasattr(dims, "__index__"):
        count = dims.__index__()
        if count < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={count}")
        if count > min(a._spec.ndim, b._spec.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={count}")
        first: Sequence[int] = range(a._spec.ndim - count, a._spec.ndim)
        second: Sequence[int] = range(count)
    else:
        first, second = ([n] if hasattr(n, "__index__") else list(n) for n in dims)
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    one = [check_dim(i, a._spec.ndim) for i in first]
    two = [check_dim(i, b._spec.ndim) for i in second]
    for i, j in zip(one, two, strict=True):
        n, m = a._spec.shape[i], b._spec.shape[j]
        if n == 1 and m != 1:
            b = b.sum(j, keepdim=True)
        elif m == 1 and n != 1:
            a = a.sum(i, keepdim=True)
        elif n != m:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {n} in dim {i} and "
                f"second has size {m} in dim {j}"
            )
    keep = [[i for i in range(x._spec.ndim) if i not in used] for x, used in ((a, one), (b, two))]
    rows = [a._spec.shape[i] for i in keep[0]]
    columns = [b._spec.shape[i] for i in keep[1]]
    depth = math.prod(a._spec.shape[i] for i in one)
    left = _arranged(a, [*keep[0], *one], (math.prod(rows), depth))
    right = _arranged(b, [*two, *keep[1]], (depth, math.prod(columns)))
    made = mm(left, right)
    return made if len(rows) == len(columns) == 1 else made.reshape(*rows, *columns)


def _arranged(x: Any, order: list[int], shape: tuple[int, ...]) -> Any:
    """The dims in this order, as a matrix; what is so already stays as it is."""
    if order != sorted(order):
        x = x.permute(*order)
    return x if tuple(x._spec.shape) == shape else x.reshape(*shape)


@publish(method=False)
def chain_matmul(*matrices: Any, out: Tensor | None = None) -> Tensor:
    """The product of several matrices, multiplied in the order that takes the least work.

    Source: T. H. Cormen et al., "Introduction to Algorithms", matrix-chain multiplication.
    """
    if len(matrices) == 1 and isinstance(matrices[0], (tuple, list)):
        matrices = tuple(matrices[0])
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for x in matrices:
        if x._spec.ndim != 2:
            raise RuntimeError(
                f"chain_matmul: every matrix must be 2-D, got shape {tuple(x._spec.shape)}"
            )
    sizes = [matrices[0]._spec.shape[0], *[x._spec.shape[1] for x in matrices]]
    count = len(matrices)
    cost = {(i, i): (0, i) for i in range(count)}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i, j] = min(
                (cost[i, k][0] + cost[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return matrices[i]
        k = cost[i, j][1]
        return mm(product(i, k), product(k + 1, j))

    return finish("chain_matmul", product(0, count - 1), out)


@publish(out=True)
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: every element of ``input`` times the whole of ``other``."""
    ndim = max(input._spec.ndim, other._spec.ndim)
    a = (1,) * (ndim - input._spec.ndim) + tuple(input._spec.shape)
    b = (1,) * (ndim - other._spec.ndim) + tuple(other._spec.shape)
    left = input.reshape([m for n in a for m in (n, 1)])
    right = other.reshape([m for n in b for m in (1, n)])
    return (left * right).reshape([n * m for n, m in zip(a, b, strict=True)])


def _cross(input: Any, other: Any, dim: int) -> Any:
    one = [input.roll(-i, dim) for i in (1, 2)]
    two = [other.roll(-i, dim) for i in (1, 2)]
    return one[0] * two[1] - one[1] * two[0]


def _cross_infer(input: Spec, other: Spec, dim: int) -> Inferred:
    shape = tuple(input.shape)
    return Inferred((None, None), ((shape, input.dtype, result_strides([input, other], shape)),))


CROSS = OpDef(
    "linalg_cross",
    inputs=("input", "other"),
    attributes=("dim",),
    infer=_cross_infer,
    decompose=_cross,
    gradient={
        "input": lambda g, other, dim: call(CROSS, (conj(other), g), (dim,)),
        "other": lambda g, input, dim: call(CROSS, (g, conj(input)), (dim,)),
    },
    accepts=d.NUMBER,
    compute=d.float32,
    reference=lambda a, b, dim: np.cross(a, b, axis=dim),
    samples=lambda rng, dtype: [
        Sample((draw(rng, shape, dtype, -3, 3), draw(rng, shape, dtype, -3, 3)), {"dim": dim})
        for shape, dim in (((3,), 0), ((4, 3), 1), ((3, 5), 0), ((2, 3, 3), 1), ((0, 3), 1))
    ],
    tolerance=Tolerance(8, against="inputs"),
    method=False,
    public=False,
    function=lambda input, other, dim: call(CROSS, (input, other), (dim,)),
)
"""``linalg_cross(input, other, out, *, dim)``: of one shape, whose ``dim`` has three elements."""


@publish(out=True)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along a dim of size 3 (the first such, if None).

    Raises:
        RuntimeError: no such dim, or another size.
    """
    shape = tuple(input._spec.shape)
    if input._spec.ndim != other._spec.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if dim is None:
        if 3 not in shape:
            raise RuntimeError("no dimension of size 3 in input")
        dim = shape.index(3)
    named, dim = dim, check_dim(dim, len(shape))
    sizes = shape[dim], other._spec.shape[dim]
    if sizes != (3, 3):
        raise RuntimeError(
            f"linalg.cross: inputs dimension {named} must have length 3. Got "
            f"{sizes[0]} and {sizes[1]}"
        )
    same_scalar_type(input._spec, other._spec)
    if shape != tuple(other._spec.shape):
        shape = broadcast_shapes(shape, tuple(other._spec.shape))
        input, other = input.expand(*shape), other.expand(*shape)
    return call(CROSS, (input, other), (dim,))  # type: ignore[no-any-return]


@publish(method=False)
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1 @ weight[k] @ input2 + bias[k]`` for every k.

    Args:
        input1, input2: (*, in1) and (*, in2).
        weight: (out, in1, in2).
        bias: (out).

    Raises:
        RuntimeError: sizes that do not fit.
    """
    one, two, third = input1._spec.shape, input2._spec.shape, weight._spec.shape
    if len(third) != 3 or one[:-1] != two[:-1] or (one[-1], two[-1]) != tuple(third[1:]):
        raise RuntimeError(
            "bilinear: inputs must be (*, in1) and (*, in2) for weight (out, in1, in2), got shapes "
            f"{tuple(one)}, {tuple(two)} and {tuple(third)}"
        )
    # (out, N, in2), then a weighted sum over in2.
    product = (matmul(as_rows(input1), weight) * as_rows(input2)).sum(-1).t()
    product = product.reshape(*one[:-1], third[0])
    return product if bias is None else product + bias
