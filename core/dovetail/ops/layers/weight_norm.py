"""Weights as lengths times directions, and weights over their largest singular value.

``nn.utils.weight_norm`` and ``nn.utils.spectral_norm`` say where they come from. A slice of a
weight is what one place of a dim has; dim -1: all of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail
import dovetail.dtypes as d
from dovetail import ops
from dovetail.dtypes import type_name
from dovetail.ops.families import draw, of_floats, result_like
from dovetail.ops.schema import Inferred, Sample
from dovetail.spec import Spec

__all__ = ["as_matrix", "norm_except_dim"]

_SHAPES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((4, 6), 0), ((3, 5), 1), ((4, 2, 3, 3), 0), ((3, 4, 2), 1), ((3, 7), -1), ((5,), 0),
    ((2, 19), 0),
)  # fmt: skip


# -------------------------------------------------------------- weight_norm


def norm_except_dim(v: Any, dim: int) -> Any:
    """The 2-norm over all dims but ``dim``, which are kept with size 1; 0-d for -1: over all."""
    if dim == -1:
        return dovetail.linalg.vector_norm(v)
    if not -v.dim() <= dim < v.dim():
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-v.dim()}, {v.dim() - 1}], "
            f"but got {dim})"
        )
    others = tuple(i for i in range(v.dim()) if i != dim % v.dim())
    if not others:
        return v.abs()
    return dovetail.linalg.vector_norm(v, 2, others, True)


def _sum_except(x: np.ndarray, dim: int) -> Any:
    others = tuple(i for i in range(x.ndim) if dim == -1 or i != dim)
    return x.sum(others, keepdims=dim != -1) if others else x


def _lengths(v: np.ndarray, dim: int) -> Any:
    return np.sqrt(_sum_except(v * v, dim))


def _weight_norm_slopes(g: np.ndarray, v: np.ndarray, lengths: np.ndarray, dim: int) -> Any:
    norms = _lengths(v, dim)
    along = _sum_except(g * v, dim) / norms
    return lengths / norms * (g - v * along / norms), along


def _weights(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for shape, dim in _SHAPES:
        lengths = () if dim == -1 else tuple(n if i == dim else 1 for i, n in enumerate(shape))
        tensors = (draw(rng, shape, dtype, -2, 2), draw(rng, lengths, dtype, 0.5, 2))
        made.append(Sample(tensors, {"dim": dim}))
    return made


@of_floats(64)(
    "weight_norm_backward",
    ("grad", "v", "lengths"),
    outputs=2,
    differentiable=(0, 1),
    infer=lambda grad, v, lengths, dim: Inferred(
        (None,) * 3, (result_like(v), result_like(lengths))
    ),
    reference=_weight_norm_slopes,
    samples=lambda rng, dtype: [
        Sample((draw(rng, s.args[0].shape, dtype, -2, 2), *s.args), s.kwargs)
        for s in _weights(rng, dtype)
    ],
)
def weight_norm_backward(grad: Any, v: Any, lengths: Any, *, dim: int) -> tuple[Any, Any]:
    """The gradients of ``weight_norm``."""
    norms = norm_except_dim(v, dim)
    others = tuple(i for i in range(v.dim()) if i != dim)
    along = grad * v
    if others:
        along = along.sum(others, keepdim=dim != -1)
    along = along / norms
    return (grad - v * (along / norms)) * (lengths / norms), along


@of_floats(16)(
    "weight_norm",
    ("v", "lengths"),
    infer=lambda v, lengths, dim: Inferred((None, None), (result_like(v),)),
    gradient=lambda g, v, lengths, dim: ops.weight_norm_backward(g, v, lengths, dim=dim),
    reference=lambda v, lengths, dim: v * (lengths / _lengths(v, dim)),
    samples=_weights,
    node_name=lambda *_, **__: "mul",
)
def weight_norm(v: Any, lengths: Any, *, dim: int) -> Any:
    """``v`` with the norms ``lengths`` over all dims but ``dim``; -1: over all."""
    return v * (lengths / norm_except_dim(v, dim))


# ------------------------------------------------------------ spectral_norm


def as_matrix(weight: Any, dim: int) -> Any:
    """(size of ``dim``, all the rest)."""
    if dim != 0:
        weight = weight.permute(dim, *(d for d in range(weight.dim()) if d != dim))
    return weight.reshape(weight.shape[0], -1)


def _matrix_of(weight: np.ndarray, dim: int) -> np.ndarray:
    return np.moveaxis(weight, dim, 0).reshape(weight.shape[dim], -1)


def _outer(u: Any, v: Any, shape: tuple[int, ...], dim: int) -> Any:
    """The product of a column and a row in the place of a weight's matrix."""
    column = u.reshape([n if i == dim else 1 for i, n in enumerate(shape)])
    return column * v.reshape([1 if i == dim else n for i, n in enumerate(shape)])


def _with_vectors(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for shape, dim in _SHAPES:
        if len(shape) > 1 and dim >= 0:
            weight = draw(rng, shape, dtype, 0.5, 2)  # no largest value near 0
            vectors = (draw(rng, (n,), dtype, 0.5, 1) for n in _matrix_of(weight, dim).shape)
            made.append(Sample((weight, *vectors), {"dim": dim}))
    return made


def _check_vectors(weight: Spec, u: Spec, v: Spec, dim: int) -> None:
    """As the products say it that this is where there is no kernel."""
    if not weight.dtype == u.dtype == v.dtype:
        raise RuntimeError(
            "weight, u and v must have the same dtype, but got "
            + ", ".join(type_name(s.dtype) for s in (weight, u, v))
        )
    rows = weight.shape[dim]
    columns = weight.numel // max(rows, 1)
    if v.shape != (columns,):
        raise RuntimeError(
            f"size mismatch, got input ({rows}), mat ({rows}x{columns}), vec ({v.numel})"
        )
    if u.shape != (rows,):
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{rows}] and src [{u.numel}] to have the "
            f"same number of elements, but got {rows} and {u.numel} elements respectively"
        )


def _spectral_infer(weight: Spec, u: Spec, v: Spec, dim: int) -> Inferred:
    _check_vectors(weight, u, v, dim)
    return Inferred((None,) * 3, (result_like(weight),))


def _spectral_back_infer(grad: Spec, weight: Spec, u: Spec, v: Spec, dim: int) -> Inferred:
    _check_vectors(weight, u, v, dim)
    return Inferred((None,) * 4, (result_like(weight),))


def _spectral_slope(
    g: np.ndarray, weight: np.ndarray, u: np.ndarray, v: np.ndarray, dim: int
) -> Any:
    sigma = u @ _matrix_of(weight, dim) @ v
    return (g - (g * weight).sum() / sigma * _outer(u, v, weight.shape, dim)) / sigma


@of_floats(64)(
    "spectral_norm_backward",
    ("grad", "weight", "u", "v"),
    infer=_spectral_back_infer,
    reference=_spectral_slope,
    samples=lambda rng, dtype: [
        Sample((draw(rng, s.args[0].shape, dtype, -2, 2), *s.args), s.kwargs)
        for s in _with_vectors(rng, dtype)
    ],
)
def spectral_norm_backward(grad: Any, weight: Any, u: Any, v: Any, *, dim: int) -> Any:
    """The gradient of ``spectral_norm`` for the weight."""
    sigma = as_matrix(weight, dim).mv(v).dot(u)
    along = (grad * weight).sum() / sigma
    return (grad - _outer(u * along, v, tuple(weight.shape), dim)) / sigma


def _vector_slope(g: Any, weight: Any, u: Any, v: Any, dim: int) -> Any:
    """The gradient of the product that is divided by."""
    sigma = as_matrix(weight, dim).mv(v).dot(u)
    return -(g * weight).sum() / sigma.square()


@of_floats(64)(
    "spectral_norm",
    ("weight", "u", "v"),
    infer=_spectral_infer,
    gradient={
        "weight": lambda g, weight, u, v, dim: ops.spectral_norm_backward(g, weight, u, v, dim=dim),
        "u": lambda g, weight, u, v, dim: (
            as_matrix(weight, dim).mv(v) * _vector_slope(g, weight, u, v, dim)
        ),
        "v": lambda g, weight, u, v, dim: (
            as_matrix(weight, dim).t().mv(u) * _vector_slope(g, weight, u, v, dim)
        ),
    },
    reference=lambda weight, u, v, dim: weight / (u @ _matrix_of(weight, dim) @ v),
    samples=_with_vectors,
    node_name=lambda *_, **__: "div",
)
def spectral_norm(weight: Any, u: Any, v: Any, *, dim: int) -> Any:
    """``weight`` over the product of its matrix with the two vectors."""
    return weight / as_matrix(weight, dim).mv(v).dot(u)
