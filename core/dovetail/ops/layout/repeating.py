"""The same elements several times: repeat, tile, repeat_interleave."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import raw
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factories import arange
from dovetail.memory_formats import contiguous_format
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import draw
from dovetail.ops.layout.shape import flatten
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.shapes import as_ints
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = ["repeat", "repeat_interleave", "tile"]


def _repeat_shapes(
    shape: tuple[int, ...], repeats: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """(dims as pairs of 1 and size, the same repeated, the pairs joined)."""
    padded = (1,) * (len(repeats) - len(shape)) + shape
    apart = tuple(m for n in padded for m in (1, n))
    wide = tuple(m for r, n in zip(repeats, padded, strict=True) for m in (r, n))
    return apart, wide, tuple(r * n for r, n in zip(repeats, padded, strict=True))


def _repeat_infer(spec: Spec, repeats: tuple[int, ...]) -> Inferred:
    if len(repeats) < spec.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    _, _, joined = _repeat_shapes(tuple(spec.shape), repeats)
    negative = next((n for n in joined if n < 0), None)
    if negative is not None or min(repeats, default=0) < 0:
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {negative}: {list(joined)}"
        )
    return Inferred((None,), ((joined, spec.dtype),))


def _repeat(input: Any, repeats: tuple[int, ...]) -> Any:
    apart, wide, joined = _repeat_shapes(tuple(input._spec.shape), repeats)
    return input.reshape(apart).expand(wide).clone(memory_format=contiguous_format).view(joined)


def _repeat_gradient(g: Any, specs: Any, repeats: tuple[int, ...]) -> Any:
    shape = tuple(specs[0].shape)
    _, wide, _ = _repeat_shapes(shape, repeats)
    if 0 in repeats:
        return g.new_zeros(shape)
    dims = tuple(range(0, len(wide), 2))
    # New dims in front are left with size 1; autograd takes them off.
    return g.reshape(wide).sum(dims) if dims else g


def _repeat_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
        ((2, 3), (2, 2)), ((2, 3), (2, 1, 3)), ((), (4,)), ((3,), (0,)), ((2, 0), (2, 3)),
        ((5,), (3,)),
    )  # fmt: skip
    return [Sample((draw(rng, shape, dtype, -5, 5), *repeats)) for shape, repeats in cases]


REPEAT = OpDef(
    "repeat",
    attributes=("repeats",),
    infer=_repeat_infer,
    decompose=_repeat,
    gradient={"input": _repeat_gradient},
    reference=lambda x, *repeats: np.tile(x, repeats),
    samples=_repeat_samples,
    public=False,
)


@operator(REPEAT)
def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """The whole tensor so many times along each dim (new dims in front), copied.

    Raises:
        RuntimeError: fewer numbers than dims, or negative ones.
    """
    if not repeats:
        raise TypeError('repeat() missing 1 required positional arguments: "repeats"')
    return call(REPEAT, (input,), (as_ints(repeats),))


@publish()
def tile(input: Tensor, *dims: Any) -> Tensor:
    """As ``repeat``; missing numbers in front are 1."""
    sizes = as_ints(dims)
    return repeat(input, (1,) * (input._spec.ndim - len(sizes)) + sizes)


# -------------------------------------------------------- repeat_interleave


def _check_repeats(repeats: Tensor) -> None:
    if repeats._spec.dtype not in (d.int32, d.int64):
        raise Unsupported(
            f"\"repeat_interleave\" not implemented for '{type_name(repeats._spec.dtype)}'"
        )
    if repeats._spec.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")


def _not_as_many(count: int, size: int) -> RuntimeError:
    return RuntimeError(
        "repeats must have the same size as input along dim, but got "
        f"repeats.size(0) = {count} and input.size(0) = {size}"
    )


def _repeats_on_host(repeats: Tensor, size: int | None) -> np.ndarray:
    counts = raw.to_host(repeats).reshape(-1)
    if size is not None and counts.size == 1:
        counts = np.repeat(counts, size)
    if size is not None and counts.size != size:
        raise _not_as_many(counts.size, size)
    if counts.size and counts.min() < 0:
        raise RuntimeError("repeats can not be negative")
    return counts


def _index_of(repeats: Tensor, size: int | None, output_size: int | None) -> Tensor:
    """(output_size) of int64: which of the ``size`` indices stands at each place.

    Where the result's size is given nobody waits for numbers that are not in host memory.
    """
    _check_repeats(repeats)
    state = state_of(repeats._spec.device)
    if output_size is None or state.host_arrays or repeats._spec.batch is not None:
        counts = _repeats_on_host(repeats, size)
        if output_size is not None and output_size != counts.sum():
            raise RuntimeError("allocated size does not match required size")
        return raw.from_host(np.repeat(np.arange(counts.size), counts), d.int64, state)
    from dovetail.ops.reduction.search import searchsorted

    repeats = repeats.detach().reshape(-1)
    if size is not None and repeats.numel() == 1:
        repeats = repeats.expand(size)
    if size is not None and repeats.numel() != size:
        raise _not_as_many(repeats.numel(), size)
    places = arange(output_size, device=repeats.device)
    if not repeats.numel():
        return places
    return searchsorted(repeats.to(d.int64).cumsum(0), places, right=True)


@publish()
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every index of ``dim`` so many times in a row; ``dim`` of None flattens first.

    Args:
        repeats: a number, or a tensor with one number per index. With no ``repeats`` the input is
            those numbers, and the result says which index stands at each place.
        output_size: the size of the result along ``dim``, where known. Nobody then waits for
            numbers that are not in host memory: if they make fewer, an index is out of range; if
            they make more, the last are left away.

    Raises:
        RuntimeError: negative numbers, or not one per index.
    """
    if repeats is None:
        return _index_of(input, None, output_size)
    if dim is None:
        input, dim = flatten(input), 0
    dim = check_dim(dim, input._spec.ndim)
    shape = tuple(input._spec.shape)
    n = shape[dim] if shape else 1
    if isinstance(repeats, Tensor):
        return input.index_select(dim, _index_of(repeats, n, output_size))
    if repeats < 0:
        raise RuntimeError("Repeats must be non-negative")
    if output_size is not None and output_size != n * repeats:
        raise RuntimeError(
            f"repeat_interleave: Invalid output_size, expected {n * repeats} but got {output_size}"
        )
    wide = input.unsqueeze(dim + 1).expand(*shape[: dim + 1], repeats, *shape[dim + 1 :])
    made = wide.clone(memory_format=contiguous_format)
    return flatten(made, dim, dim + 1)
