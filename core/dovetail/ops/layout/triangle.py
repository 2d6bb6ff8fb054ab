"""Triangles and diagonals: tril, triu, diag, diag_embed, diagflat, trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import raw
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factories import arange
from dovetail.factory_arguments import finish, place, whole
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.ops.layout.views import view_backward, view_record
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "diag", "diag_embed", "diagflat", "trace", "tril", "tril_indices", "triu", "triu_indices",
]  # fmt: skip


def _matrices(name: str) -> Callable[..., Inferred]:
    def infer(spec: Spec, diagonal: int) -> Inferred:
        if spec.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return Inferred((None,), ((tuple(spec.shape), spec.dtype),))

    return infer


def _keep(input: Any, diagonal: int, lower: bool) -> Any:
    """``input`` with 0 on the other side of the diagonal."""
    from dovetail import ops

    rows, columns = input._spec.shape[-2:]
    device = input._spec.device
    row = arange(diagonal, rows + diagonal, device=device).unsqueeze(-1)
    column = arange(columns, device=device)
    mask = column.le(row) if lower else row.le(column)
    return ops.where(mask, input, False)


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases: tuple[tuple[tuple[int, ...], int], ...] = (
        ((3, 4), 0), ((2, 4, 3), 1), ((3, 3), -1), ((2, 5), 7), ((2, 5), -7), ((0, 3), 0),
    )  # fmt: skip
    return [Sample((draw(rng, shape, dtype, -5, 5), diagonal)) for shape, diagonal in cases]


def _triangle(name: str, reference: Any, gradient: Any) -> OpDef:
    return OpDef(
        name,
        attributes=("diagonal",),
        infer=_matrices(name),
        decompose=lambda input, diagonal: _keep(input, diagonal, name == "tril"),
        gradient={"input": gradient},
        reference=reference,
        samples=_samples,
        inplace=True,
    )


TRIL = _triangle("tril", np.tril, lambda g, diagonal: tril(g, diagonal))
TRIU = _triangle("triu", np.triu, lambda g, diagonal: triu(g, diagonal))


@operator(TRIL, out=True)
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Every matrix with 0 above its ``diagonal``-th diagonal.

    Raises:
        RuntimeError: fewer than two dims.
    """
    return call(TRIL, (input,), (whole_number("tril", "diagonal", diagonal),))


@operator(TRIU, out=True)
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Every matrix with 0 below its ``diagonal``-th diagonal.

    Raises:
        RuntimeError: fewer than two dims.
    """
    return call(TRIU, (input,), (whole_number("triu", "diagonal", diagonal),))


def _indices(name: str, find: Callable[..., Any], row: int, col: int, offset: int,
             dtype: d.dtype | None, device: Any, *memory: Any) -> Tensor:  # fmt: skip

    layout, pin_memory, requires_grad = memory
    _, where = place(dtype, device, None, layout, pin_memory)
    for label, n in (("row", row), ("col", col)):
        if whole(name, label, n) < 0:
            raise RuntimeError(f"{label} must be non-negative, got{n}")
    kind = d.int64 if dtype is None else dtype
    if kind not in (d.int32, d.int64):
        raise Unsupported(f"\"{name}\" not implemented for '{type_name(kind)}'")
    places = np.array(find(row, offset, col), kind.numpy)
    return finish(raw.from_host(places, kind, state_of(where)), requires_grad, pin_memory)


@publish(method=False)
def tril_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: d.dtype | None = None,
    device: Any = None,
    layout: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Rows and columns of the lower triangle of a (row, col) matrix: (2, count)."""
    memory = layout, pin_memory, requires_grad
    return _indices("tril_indices", np.tril_indices, row, col, offset, dtype, device, *memory)


@publish(method=False)
def triu_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: d.dtype | None = None,
    device: Any = None,
    layout: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Rows and columns of the upper triangle of a (row, col) matrix: (2, count)."""
    memory = layout, pin_memory, requires_grad
    return _indices("triu_indices", np.triu_indices, row, col, offset, dtype, device, *memory)


# ---------------------------------------------------------------- diagonals


def _embedded_shape(spec: Spec, offset: int, dim1: int, dim2: int) -> tuple[int, ...]:
    side = spec.shape[-1] + abs(offset)
    rest = iter(spec.shape[:-1])
    return tuple(side if i in (dim1, dim2) else next(rest) for i in range(spec.ndim + 1))


def _diag_embed_reference(
    x: np.ndarray, offset: int = 0, dim1: int = -2, dim2: int = -1
) -> np.ndarray:
    side = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], side, side), x.dtype)
    i = np.arange(x.shape[-1])
    out[..., i - min(offset, 0), i + max(offset, 0)] = x
    return np.moveaxis(out, (-2, -1), (dim1, dim2))


DIAG_EMBED = OpDef(
    "diag_embed",
    attributes=("offset", "dim1", "dim2"),
    infer=lambda spec, offset, dim1, dim2: Inferred(
        (None,), ((_embedded_shape(spec, offset, dim1, dim2), spec.dtype),)
    ),
    decompose=lambda input, offset, dim1, dim2: view_backward(
        input,
        _diagonal(),
        (offset, dim1, dim2),
        _embedded_shape(input._spec, offset, dim1, dim2),
    ),
    gradient={"input": lambda g, offset, dim1, dim2: g.diagonal(offset, dim1, dim2)},
    reference=_diag_embed_reference,
    samples=lambda rng, dtype: [
        Sample((draw(rng, shape, dtype, -5, 5), *rest))
        for shape, rest in (((3,), ()), ((2, 3), (1,)), ((2, 3), (-1, 0, 2)), ((2, 0), ()))
    ],
)


def _diagonal() -> OpDef:
    return view_record("diagonal")


def _diag_embed_inputs(
    input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    ndim = input._spec.ndim + 1
    one, two = check_dim(dim1, ndim), check_dim(dim2, ndim)
    if one == two:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return (input,), (offset, one, two)


@operator(DIAG_EMBED)
@function_by_specs(DIAG_EMBED, _diag_embed_inputs)
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices whose diagonal is the last dim: (*, N) -> (*, N + |offset|, N + |offset|).

    Args:
        dim1, dim2: where the rows and columns stand in the result.

    Raises:
        RuntimeError: ``dim1`` and ``dim2`` are the same.
    """
    made: Tensor = call(DIAG_EMBED, *_diag_embed_inputs(input, offset, dim1, dim2))
    return made


@publish(out=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrix with a vector on its diagonal, or a copy of the diagonal of a matrix.

    Raises:
        RuntimeError: neither a vector nor a matrix.
    """
    ndim = input._spec.ndim
    if ndim == 1:
        return diag_embed(input, diagonal)
    if ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")
    return input.diagonal(diagonal).clone()


@publish()
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements on its diagonal."""
    return diag_embed(input.reshape(-1), offset)


# -------------------------------------------------------------------- trace


def _trace_inputs(input: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    spec = need_tensor("trace", "input", 1, input)._spec
    if spec.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {spec.ndim}")
    return (input,), ()


@composite(
    "trace",
    infer=lambda spec: Inferred(
        (None,), (((), d.int64 if spec.dtype.category < 2 else spec.dtype),)
    ),
    prepare=_trace_inputs,
    gradient={"input": lambda g, specs: _on_diagonal(g, tuple(specs[0].shape))},
    accepts=(*d.INTEGRAL, *d.FLOATING, *d.COMPLEX),
    reference=np.trace,
    samples=lambda rng, dtype: [
        Sample((draw(rng, shape, dtype, -5, 5),))
        for shape in ((3, 3), (2, 5), (5, 2), (1, 1), (0, 3), (3, 0))
    ],
    errors=lambda: [
        ErrorInput((np.zeros(shape, np.float32),), {}, RuntimeError, "expected a matrix")
        for shape in ((3,), (2, 2, 2))
    ],
)
def trace(input: Any) -> Any:
    """The sum of a matrix's main diagonal; of integers as int64.

    Raises:
        RuntimeError: the input is no matrix.
    """
    return input.diagonal().sum()


def _on_diagonal(g: Any, shape: tuple[int, ...]) -> Any:
    """``g``, a number, on the diagonal of a matrix of zeros."""
    return view_backward(g.expand(min(shape)), view_record("diagonal"), (0, 0, 1), shape)
