"""Putting tensors together: cat, stack, hstack and their like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import raw
from dovetail.dispatch import call
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import draw
from dovetail.ops.layout.broadcasting import at_least
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.promotion import promote_types
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, check_dim

__all__ = ["cat", "column_stack", "dstack", "hstack", "stack", "vstack"]


# ---------------------------------------------------------------------- cat


def _listed(name: str, tensors: Any) -> tuple[Tensor, ...]:
    if isinstance(tensors, Tensor) or not isinstance(tensors, (tuple, list)):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not "
            f"{type(tensors).__name__}"
        )
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}"
            )
    return tuple(tensors)


def _is_nothing(spec: Spec) -> bool:
    """An empty vector joins anything, whatever the number of dims."""
    return spec.ndim == 1 and not spec.numel


def _cat_infer(*specs: Spec, dim: int) -> Inferred:
    kind = specs[0].dtype
    for spec in specs[1:]:
        kind = promote_types(kind, spec.dtype)
    real = [spec for spec in specs if not _is_nothing(spec)]
    if not real:
        return Inferred((kind,) * len(specs), (((0,), kind),))
    first = real[0]
    length = 0
    for i, spec in enumerate(specs):
        if _is_nothing(spec):
            continue
        if spec.ndim != first.ndim:
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {first.ndim} and {spec.ndim}"
            )
        for n, m, at in zip(first.shape, spec.shape, range(first.ndim), strict=True):
            if n != m and at != dim:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {n} but "
                    f"got size {m} for tensor number {i} in the list."
                )
        length += spec.shape[dim]
    shape = (*first.shape[:dim], length, *first.shape[dim + 1 :])
    return Inferred((kind,) * len(specs), ((shape, kind, _joint_strides(real, shape)),))


def _joint_strides(specs: list[Spec], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Channels-last strides where every part has them; None for row-major."""
    if len(shape) not in (4, 5) or specs[0].is_contiguous:
        return None
    order = (0, *range(2, len(shape)), 1)
    for spec in specs:
        ordered = [spec.strides[i] for i in order]
        if not spec.is_dense or spec.is_contiguous or ordered != sorted(ordered, reverse=True):
            return None
    strides, step = [0] * len(shape), 1
    for i in reversed(order):
        strides[i] = step
        step *= max(shape[i], 1)
    return tuple(strides)


def _cat(*tensors: Tensor, dim: int) -> Tensor:
    inferred = _cat_infer(*[x._spec for x in tensors], dim=dim)
    shape, kind, *strides = inferred.outs[0]
    made = raw.empty(spec_of(shape, kind, tensors[0]._spec.device, *strides))
    at = 0
    for x in tensors:
        if _is_nothing(x._spec):
            continue
        n = x._spec.shape[dim]
        part = spec_of(tuple(x._spec.shape), kind, made._spec.device, made._spec.strides)
        raw.copy(x, raw.view(made, part, at * made._spec.strides[dim]))
        at += n
    return made


def _cat_gradient(g: Tensor, specs: tuple[Spec, ...], needs: Any, dim: int) -> tuple[Any, ...]:
    parts: list[Any] = []
    at = 0
    for spec, need in zip(specs, needs, strict=True):
        if _is_nothing(spec):
            parts.append(g.new_zeros((0,)))
            continue
        n = spec.shape[dim]
        parts.append(g.narrow(dim, at, n) if need else None)
        at += n
    return tuple(parts)


def _cat_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases: tuple[tuple[int, tuple[tuple[int, ...], ...]], ...] = (
        (0, ((2, 3), (1, 3), (0, 3))),
        (1, ((2, 3), (2, 1))),
        (-1, ((2, 2, 3), (2, 2, 2))),
        (0, ((5,),)),
        (0, ((0,), (4,), (2,))),
        (1, ((0,), (2, 3), (2, 1))),
    )
    return [
        Sample(([draw(rng, shape, dtype, -5, 5) for shape in shapes], dim)) for dim, shapes in cases
    ]


CAT = OpDef(
    "cat",
    inputs=("tensors",),
    attributes=("dim",),
    variadic=True,
    infer=_cat_infer,
    gradient=_cat_gradient,
    decompose=_cat,
    reference=lambda tensors, dim=0: np.concatenate(
        [x for x in tensors if x.shape != (0,)] or tensors, dim
    ),
    samples=_cat_samples,
    method=False,
)


@operator(CAT, out=True, aliases=("concat", "concatenate"))
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors one after the other along a dim that exists.

    Args:
        tensors: of equal sizes but in ``dim``; dtypes are promoted. Empty vectors are skipped.

    Raises:
        ValueError: no tensors.
        RuntimeError: sizes that differ, or a 0-d tensor.
    """
    tensors = _listed("cat", tensors)
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    ndim = 1
    for i, x in enumerate(tensors):
        if not x._spec.ndim:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
        if ndim == 1:
            ndim = x._spec.ndim
    return call(CAT, tensors, (check_dim(dim, ndim),))


# -------------------------------------------------------------------- stack


def _stack_infer(*specs: Spec, dim: int) -> Inferred:
    kind = specs[0].dtype
    shape = specs[0].shape
    for i, spec in enumerate(specs):
        kind = promote_types(kind, spec.dtype)
        if spec.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(spec.shape)} at entry {i}"
            )
    out = (*shape[:dim], len(specs), *shape[dim:])
    return Inferred((kind,) * len(specs), ((out, kind),))


def _stack_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases: tuple[tuple[int, int, tuple[int, ...]], ...] = (
        (0, 3, (2, 3)), (1, 2, (4,)), (-1, 2, (2, 3)), (0, 2, ()), (0, 1, (0, 2)),
    )  # fmt: skip
    return [
        Sample(([draw(rng, shape, dtype, -5, 5) for _ in range(count)], dim))
        for dim, count, shape in cases
    ]


STACK = OpDef(
    "stack",
    inputs=("tensors",),
    attributes=("dim",),
    variadic=True,
    infer=_stack_infer,
    gradient=lambda g, needs, dim: tuple(
        part if need else None for part, need in zip(g.unbind(dim), needs, strict=True)
    ),
    decompose=lambda *tensors, dim: cat([x.unsqueeze(dim) for x in tensors], dim),
    reference=lambda tensors, dim=0: np.stack(tensors, dim),
    samples=_stack_samples,
    method=False,
)


@operator(STACK, out=True)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new dim.

    Raises:
        RuntimeError: no tensors, or shapes that differ.
    """
    tensors = _listed("stack", tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    dim = check_dim(dim, tensors[0]._spec.ndim + 1)
    return call(STACK, tensors, (dim,))


def _non_empty(name: str, tensors: Any) -> tuple[Tensor, ...]:
    tensors = _listed(name, tensors)
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return tensors


@publish(method=False, out=True)
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side: along dim 1, or dim 0 for vectors."""
    parts = [at_least(x, 1) for x in _non_empty("hstack", tensors)]
    return cat(parts, 0 if parts[0]._spec.ndim == 1 else 1)


@publish("row_stack", method=False, out=True)
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """One below the other: along dim 0, vectors as rows."""
    return cat([at_least(x, 2) for x in _non_empty("vstack", tensors)], 0)


@publish(method=False, out=True)
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """One behind the other: along dim 2."""
    return cat([at_least(x, 3) for x in _non_empty("dstack", tensors)], 2)


@publish(method=False, out=True)
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Along dim 1, vectors and numbers as columns."""
    parts = _non_empty("column_stack", tensors)
    return hstack([x.reshape(x.numel(), 1) if x._spec.ndim < 2 else x for x in parts])
