"""Norms of matrices and condition numbers: linalg.norm, matrix_norm, cond, and older names."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from dovetail import dtypes as d
from dovetail.dtypes import type_name
from dovetail.ops.expose import FUNCTIONS, publish
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.ops.linear_algebra.matrices import LINALG, linalg, need_floating, need_matrix
from dovetail.ops.linear_algebra.solve import inverse_parts
from dovetail.ops.linear_algebra.svd import singular_values
from dovetail.ops.out import finish
from dovetail.ops.reduction.reducing import kept_shape, numpy_names
from dovetail.ops.reduction.vector_norm import vector_norm
from dovetail.promotion import promote_types
from dovetail.tensor import Tensor, check_dim

__all__ = ["matrix_norm"]


def _converted(name: str, x: Any, dtype: Any) -> Any:
    """The input in the dtype that is asked for.

    Raises:
        RuntimeError: a dtype that loses something, or is no dtype of norms.
    """
    need_floating(name, x)
    if dtype is None:
        return x
    kind = x.dtype
    if dtype.category < 2:
        raise RuntimeError(
            f"{name}: dtype should be floating point or complex, but got {type_name(dtype)}"
        )
    if kind.is_complex != dtype.is_complex:
        which = "complex for complex" if kind.is_complex else "real for real"
        raise RuntimeError(f"{name}: dtype should be {which} inputs, but got {type_name(dtype)}")
    if promote_types(kind, dtype) is not dtype:
        raise RuntimeError(
            f"{name}: the dtype of the input ({type_name(kind)}) should be convertible without "
            f"narrowing to the specified dtype ({type_name(dtype)})"
        )
    return x.to(dtype)


def _two_dims(name: str, dim: Any, ndim: int) -> tuple[int, int]:
    dims = (dim,) if hasattr(dim, "__index__") else tuple(dim)
    if len(dims) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {' '.join(map(str, dims))}")
    first, second = (check_dim(n, ndim) for n in dims)
    if first == second:
        raise RuntimeError(f"{name}: dims must be different. Got ({dims[0]}, {dims[1]})")
    return first, second


@linalg()
def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: d.dtype | None = None,
) -> Any:
    """Norms of matrices.

    Args:
        A: (*, M, N).
        ord: ``fro``; ``nuc``, the sum of the singular values; 2 and -2, the largest and the
            smallest; inf and -inf, the largest and the smallest sum of a row's absolute values;
            1 and -1, of a column's.
        dim: the two dims of the matrices.
        keepdim: they stay, with size 1.
        dtype: the dtype to convert to first.

    Raises:
        RuntimeError: an unknown ord, dims that are equal, or no floats.
    """
    name = "linalg.matrix_norm"
    need_matrix(name, A)
    x = _converted(name, A, dtype)
    first, second = _two_dims(name, dim, x.ndim)
    if isinstance(ord, str):
        if ord not in ("fro", "nuc"):
            raise RuntimeError(f"{name}: Order {ord} not supported.")
        if ord == "fro":
            return vector_norm(x, 2, (first, second), keepdim)
    elif abs(ord) not in (1, 2, math.inf):
        raise RuntimeError(f"{name}: Order {ord:g} not supported.")
    if ord == "nuc" or abs(ord) == 2:
        need_floating(name, x, low=False)
        values = singular_values(x.movedim((first, second), (-2, -1)))
        made = _reduced(name, values, ord, -1)
    else:
        along, other = (first, second) if abs(ord) == 1 else (second, first)
        sums = x.abs().sum(along)
        made = _reduced(name, sums, ord, other - (other > along))
    return made.reshape(kept_shape(x.shape, (first, second))) if keepdim else made


def _reduced(name: str, values: Any, ord: Any, dim: int) -> Any:
    if ord == "nuc":
        return values.sum(dim)
    if not values.shape[dim]:
        if ord > 0:
            return values.sum(dim)  # zeros: PyTorch's norm of a matrix without rows or columns
        raise IndexError(f"{name}: Expected reduction dim {dim} to have non-zero size.")
    return values.amax(dim) if ord > 0 else values.amin(dim)


def _also_input(function: Callable[..., Any]) -> Callable[..., Any]:
    """Accept ``input`` for ``x``: PyTorch documents the one and declares the other."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if "input" in kwargs:
            kwargs["x"] = kwargs.pop("input")
        return function(*args, **kwargs)

    return wrapped


@linalg("vector_norm")
@_also_input
def _vector_norm(
    x: Tensor,
    ord: Any = 2,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: d.dtype | None = None,
) -> Any:
    """Norms of vectors: all elements as one, or along some dims.

    Args:
        ord: any number; inf and -inf are the largest and the smallest absolute value, 0 the
            number of elements that are not 0.
        dtype: the dtype to convert to first.

    Raises:
        RuntimeError: no floats, or empty where there is no such norm.
    """
    need_tensor("linalg.vector_norm", "input", 1, x)
    return vector_norm(_converted("linalg.vector_norm", x, dtype), ord, dim, keepdim)


@linalg("norm")
def _norm(
    A: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: d.dtype | None = None,
) -> Any:
    """A norm of vectors or matrices, whichever the dims say.

    Args:
        ord: as ``vector_norm`` or ``matrix_norm`` has it; None: 2 of all elements.
        dim: one dim for vectors, two for matrices; None: all (1-D and 2-D tensors with an ord).

    Raises:
        RuntimeError: dims or an ord that do not fit, or no floats.
    """
    ndim = A._spec.ndim
    dims = None if dim is None else (dim,) if hasattr(dim, "__index__") else tuple(dim)
    if ord is not None:
        if dims is not None and len(dims) not in (1, 2):
            raise RuntimeError(
                f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}"
            )
        if dims is None and ndim not in (1, 2):
            raise RuntimeError(
                "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                f"{ndim}D."
            )
        if isinstance(ord, str) or (len(dims) if dims is not None else ndim) == 2:
            return matrix_norm(A, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype)
    return _vector_norm(A, 2 if ord is None else ord, dims, keepdim, dtype=dtype)


# --------------------------------------------------------------------- cond


@linalg("cond")
def _cond(A: Tensor, p: Any = None) -> Any:
    """The condition number ``norm(A, p) * norm(inv(A), p)``; inf for a singular matrix.

    Args:
        A: (*, N, N); (*, M, N) where p is None, 2 or -2.
        p: an ord of ``matrix_norm``; None is 2.

    Raises:
        RuntimeError: an unknown p, or not square matrices where they must be.
    """
    if A._spec.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if isinstance(p, str) and p not in ("fro", "nuc"):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if not isinstance(p, str) and p is not None and abs(p) not in (1, 2, math.inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p:g}")
    if p is None or (not isinstance(p, str) and abs(p) == 2):
        values = LINALG["svdvals"](A)
        if not values.shape[-1]:
            return values.sum(-1)
        first, last = values.select(-1, 0), values.select(-1, -1)
        made = last / first if p == -2 else first / last
        return made
    rows, columns = A._spec.shape[-2:]
    if rows != columns:
        label = f"ord={p}" if isinstance(p, str) else f"ord={p:g}"
        raise RuntimeError(
            f"linalg.cond({label}): A must be batches of square matrices, but they are {rows} by "
            f"{columns} matrices"
        )
    need_floating("linalg.cond", A, low=False)
    x: Any = A
    if not x.numel():
        return x.real.new_zeros(tuple(x.shape[:-2]))
    inverse, info = inverse_parts(x)
    broken = info.ne(0)
    there = broken.unsqueeze(-1).unsqueeze(-1)
    if p == "nuc":  # infinities have no singular values
        size = matrix_norm(inverse.masked_fill(there, 1), p).masked_fill(broken, math.inf)
        return matrix_norm(x, p) * size
    made = matrix_norm(x, p) * matrix_norm(inverse.masked_fill(there, math.inf), p)
    return made.masked_fill(made.isnan(), math.inf)  # 0 * inf, as NumPy has it


# -------------------------------------------------------------- older names


@publish(method=False, out=True)
def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False) -> Any:
    """The root of the sum of squares over some dims.

    Raises:
        RuntimeError: more than two dims.
    """
    dims = (dim,) if hasattr(dim, "__index__") else tuple(dim)
    if len(dims) > 2:
        raise RuntimeError(
            f"Expected at most 2 dimensions, but got {len(dims)} dimensions instead."
        )
    return vector_norm(input, 2, dims or None, keepdim)


@publish(method=False, out=True)
def nuclear_norm(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The sum of the singular values of a matrix, or of matrices in two dims.

    Raises:
        RuntimeError: not matrices of floats.
    """
    if isinstance(dim, bool):
        dim, keepdim = None, dim
    return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim)


@numpy_names
def _norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
) -> Any:
    """The norm of order ``p`` of all elements, or over some dims, as vectors.

    Args:
        input: any shape, floating-point or complex.
        p: a number; ``"fro"`` (also None) is 2; ``"nuc"`` is the sum of singular values.
        dim: an int or a tuple of them.
        keepdim: reduced dims stay, with size 1.
        dtype: the dtype to cast to first.

    Raises:
        RuntimeError: an unknown ``p``, or the input is of integers or bool.
    """
    if p is None or p == "fro":
        p = 2
    elif p == "nuc":
        two = tuple(range(input._spec.ndim)) if dim is None else dim
        return finish("norm", matrix_norm(input, "nuc", two, keepdim, dtype=dtype), out)
    elif isinstance(p, str):
        raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
    x: Any = input
    if dtype is not None:
        x = x.to(dtype)
    return finish("norm", vector_norm(x, p, dim, keepdim), out)


_norm.__name__ = _norm.__qualname__ = "norm"
FUNCTIONS["norm"] = Tensor.norm = _norm  # type: ignore[attr-defined]
