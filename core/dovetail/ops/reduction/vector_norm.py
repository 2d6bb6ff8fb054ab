"""Norms and logsumexp; half and bfloat16 are computed in float32."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.dtypes import type_name
from dovetail.ops.families import composite, draw
from dovetail.ops.reduction.reducing import (
    accept_numpy_names,
    dims_of,
    reduced_shape,
    restored,
    samples,
    spec_of_input,
)
from dovetail.ops.reduction.statistics import WIDE, same_dtype
from dovetail.ops.schema import Inferred, Sample

__all__ = ["logsumexp", "vector_norm"]

# norms


def _powers(x: Any, ord: float, dim: tuple[int, ...], keepdim: bool) -> Any:
    """The norm of order ``ord`` (not infinite) of real ``x``, by its definition."""
    if ord == 2:
        return (x * x).sum(dim, keepdim).sqrt()
    if ord == 0:
        return x.ne(0).sum(dim, keepdim).to(x.dtype)
    if ord == 1:
        return x.abs().sum(dim, keepdim)
    return x.abs().pow(ord).sum(dim, keepdim).pow(1.0 / ord)


def _norm_gradient(
    g: Any, input: Any, out: Any, specs: Any, ord: float, dim: tuple[int, ...], keepdim: bool
) -> Any:
    g, norm = restored(g, specs, dim, keepdim), restored(out, specs, dim, keepdim)
    if ord == 0:
        return None
    if ord == 1:
        return g * input.sgn()
    if ord == 2:
        return g * (input / norm).masked_fill(norm.eq(0), 0)
    size = input.abs()
    if math.isinf(ord):
        ties = (size.eq(norm) | size.ne(size)).to(g.dtype)
        return input.sgn() * (g * ties / ties.sum(dim, True))
    slope = size.pow(ord - 1)
    if ord < 1:
        return input.sgn() * slope.masked_fill(input.eq(0), 0) * g * norm.pow(1 - ord)
    return input.sgn() * slope * (g / norm.pow(ord - 1)).masked_fill(norm.eq(0), 0)


def _norm_dims(
    input: Any, ord: Any, dim: Any, keepdim: bool
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    spec = spec_of_input("linalg.vector_norm", input)
    if spec.dtype.category < 2:
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{type_name(spec.dtype)}"
        )
    ord = float(ord)
    dims = dims_of("linalg.vector_norm", dim, spec.ndim)
    if (ord < 0 or math.isinf(ord)) and not spec.numel:
        if dim is None:
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {ord:g} norm on an empty tensor because "
                "the operation does not have an identity"
            )
        for n in dims:
            if not spec.shape[n]:
                raise RuntimeError(
                    f"linalg.vector_norm cannot compute the {ord:g} norm on the dimension {n} "
                    "because this dimension is empty and the operation does not have an identity"
                )
    return (input,), (ord, dims, keepdim)


def _norm_reference(x: np.ndarray, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Any:
    size = np.abs(x)
    options: dict[str, Any] = {
        "axis": None if not x.ndim else dim,
        "keepdims": keepdim and x.ndim > 0,
    }
    if math.isinf(ord):
        return (np.max if ord > 0 else np.min)(size, **options)
    if ord == 0:
        return np.sum(size != 0, **options).astype(size.dtype)
    return np.sum(size**ord, **options) ** (1 / ord)


def _norm_samples(rng: np.random.Generator, dtype: d.dtype) -> Any:
    orders = (2, 1, 0, 3, 0.5, 1.5, -1, math.inf, -math.inf)
    found = [Sample((draw(rng, (3, 4), dtype, 0.5, 5), ord, 1)) for ord in orders]
    found += [Sample((draw(rng, (2, 3, 4), dtype, -5, 5), ord, (0, 2), True)) for ord in (2, 1, 3)]
    found.append(Sample((draw(rng, (5, 3), dtype, -5, 5), 2, 1)))
    found.append(
        Sample((np.array([[0, 2, -1], [0, 0, 1]]).astype(dtype.numpy), 0, 1), {}, "counted")
    )
    zeros = Sample((np.zeros((2, 3), dtype.numpy), 2, 1), {}, "at 0")
    return [*found, Sample((draw(rng, (7,), dtype, -5, 5),)), zeros]


@composite(
    "vector_norm",
    infer=lambda spec, ord, dim, keepdim: Inferred(
        (None,), ((reduced_shape(spec, dim, keepdim), spec.dtype.to_real()),)
    ),
    prepare=_norm_dims,
    gradient={"input": _norm_gradient},
    compute=d.float32,
    accepts=WIDE,
    reference=_norm_reference,
    samples=_norm_samples,
    method=False,
    public=False,
    out=True,
)
def vector_norm(input: Any, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """``(sum |x| ** ord) ** (1 / ord)`` of all elements, or over some dims (any ``ord``).

    ``inf`` is the largest |x|, ``-inf`` the smallest, 0 the number of elements that are not zero.
    The gradient at 0 is 0.

    Raises:
        RuntimeError: the input is of integers or bool, or empty where there is no such norm.
    """
    x = input.abs() if input.dtype.is_complex else input
    if math.isinf(ord):
        return x.abs().amax(dim, keepdim) if ord > 0 else x.abs().amin(dim, keepdim)
    return _powers(x, ord, dim, keepdim)


# logsumexp


def _logsumexp_dims(input: Any, dim: Any, keepdim: bool) -> Any:
    spec = spec_of_input("logsumexp", input)
    if spec.dtype.category < 2:
        input = input.to(d.get_default_dtype())
    return (input,), (dims_of("logsumexp", dim, spec.ndim), keepdim)


def _logsumexp_reference(x: np.ndarray, dim: Any, keepdim: bool = False) -> Any:
    axis = None if not x.ndim else dim
    keep: Any = {"axis": axis, "keepdims": keepdim and x.ndim > 0}
    if not x.size:
        return np.log(np.sum(np.exp(x), **keep))
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isinf(top), 0, top)
    total = np.log(np.sum(np.exp(x - top), **keep))
    return total + top.reshape(np.shape(total))


def _logsumexp_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = [
        s._replace(args=(s.args[0], 0 if len(s.args) == 1 else s.args[1], *s.args[2:]))
        for s in samples(-5, 5)(rng, dtype)
    ]
    made.append(Sample((draw(rng, (0, 3), dtype, -5, 5), 0), name="of nothing"))
    if dtype.category < 2:
        return made
    far = draw(rng, (3, 4), dtype, -5, 5)
    far[0] += 100  # a row whose exponentials overflow in float32, and one whose vanish
    far[1] -= 100
    endless = draw(rng, (4, 3), dtype, -5, 5)
    endless[0], endless[1, 1], endless[2, 0] = -np.inf, np.inf, -np.inf
    made += [Sample((far, 1, keep), name="far") for keep in (False, True)]
    return [*made, Sample((endless, 1), name="endless")]


@composite(
    "logsumexp",
    infer=same_dtype,
    prepare=_logsumexp_dims,
    gradient={
        "input": lambda g, input, out, specs, dim, keepdim: (
            restored(g, specs, dim, keepdim) * (input - restored(out, specs, dim, keepdim)).exp()
        )
    },
    compute=d.float32,
    accepts=d.FLOATING,
    reference=_logsumexp_reference,
    samples=_logsumexp_samples,
)
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """``log(sum(exp(x)))`` over some dims, without overflow.

    Raises:
        IndexError: a dim is out of range.
    """
    if not input.numel():
        return input.sum(dim, keepdim).log()
    top = input.amax(dim, True)
    # Infinity minus itself would be NaN; such a row is exp'd as it is.
    top = top.masked_fill(top.abs().eq(math.inf), 0)
    total = (input - top).exp().sum(dim, True).log() + top
    return total if keepdim or not dim else total.reshape(reduced_shape(input._spec, dim, False))


accept_numpy_names("logsumexp")
