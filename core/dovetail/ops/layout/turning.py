"""The same elements in another order: flip, roll and rot90, copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.dispatch import call
from dovetail.factories import arange
from dovetail.memory_formats import contiguous_format
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import draw
from dovetail.ops.layout.shape import flatten
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.shapes import as_ints
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = ["flip", "fliplr", "flipud", "roll", "rot90"]


def _same_shape(spec: Spec, **_: Any) -> Inferred:
    return Inferred((None,), ((tuple(spec.shape), spec.dtype),))


def _same_order(spec: Spec, **_: Any) -> Inferred:
    return Inferred((None,), ((tuple(spec.shape), spec.dtype, spec.dense().strides),))


def _backwards(n: int, like: Tensor) -> Tensor:
    return arange(n - 1, -1, -1, device=like._spec.device)


def _flip(input: Any, dims: tuple[int, ...]) -> Any:
    made = input
    for dim in dims:
        made = made.index_select(dim, _backwards(input._spec.shape[dim], input))
    return made.clone() if made is input else made


def _cases(
    *cases: tuple[tuple[int, ...], tuple[Any, ...]],
) -> Callable[[np.random.Generator, d.dtype], list[Sample]]:
    """Samples: one tensor of a shape, then what else the function takes."""

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        return [Sample((draw(rng, shape, dtype, -5, 5), *rest)) for shape, rest in cases]

    return samples


FLIP = OpDef(
    "flip",
    attributes=("dims",),
    infer=_same_order,
    decompose=_flip,
    gradient={"input": lambda g, dims: flip(g, dims)},
    reference=lambda x, dims: np.flip(x, dims),
    samples=_cases(((2, 3), ((0,),)), ((2, 3, 4), ((2, 0),)), ((3,), ((),)), ((0, 2), ((0, 1),))),
)


@operator(FLIP)
def flip(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """The order of the elements reversed along ``dims``, copied.

    Raises:
        RuntimeError: a dim named twice.
    """
    if dims is None:
        dims = order
    elif order:
        raise TypeError("flip() got multiple values for argument 'dims'")
    else:
        dims = (dims,)
    if not dims:
        raise TypeError('flip() missing 1 required positional arguments: "dims"')
    named = tuple(check_dim(n, input._spec.ndim) for n in as_ints(dims))
    for n in named:
        if named.count(n) > 1:
            raise RuntimeError(f"dim {n} appears multiple times in the list of dims")
    if not input._spec.ndim:
        named = ()
    return call(FLIP, (input,), (named,))


@publish()
def fliplr(input: Tensor) -> Tensor:
    """``flip`` along dim 1.

    Raises:
        RuntimeError: fewer than two dims.
    """
    if input._spec.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


@publish()
def flipud(input: Tensor) -> Tensor:
    """``flip`` along dim 0.

    Raises:
        RuntimeError: a 0-d tensor.
    """
    if not input._spec.ndim:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


def _roll(input: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    from dovetail.ops.layout.joining import cat

    made = input
    for shift, dim in zip(shifts, dims, strict=True):
        n = made._spec.shape[dim]
        shift = shift % n if n else 0
        if shift:
            made = cat([made.narrow(dim, n - shift, shift), made.narrow(dim, 0, n - shift)], dim)
    return made.clone() if made is input else made


ROLL = OpDef(
    "roll",
    attributes=("shifts", "dims"),
    infer=_same_shape,
    decompose=_roll,
    gradient={"input": lambda g, shifts, dims: roll(g, tuple(-s for s in shifts), dims)},
    reference=lambda x, shifts, dims=None: np.roll(x, shifts, dims),
    samples=_cases(
        ((5,), (2, 0)), ((2, 3), ((1, -1), (0, 1))), ((2, 3), (4,)), ((0, 3), (1, 0)),
        ((2, 3), ((1, 1), (1, 1))), ((2, 3), (0, 1)),
    ),
)  # fmt: skip


def _roll_inputs(input: Tensor, shifts: Any, dims: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    moves = as_ints((shifts,))
    if not moves:
        raise RuntimeError("`shifts` required")
    named = as_ints((() if dims is None else dims,))
    if len(moves) != len(named):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(named)}"
        )
    return (input,), (moves, tuple(check_dim(n, input._spec.ndim) for n in named))


@function_by_specs(ROLL, _roll_inputs)
def _rolled(input: Tensor, shifts: Any, dims: Any) -> Tensor:
    made: Tensor = call(ROLL, *_roll_inputs(input, shifts, dims))
    return made


@operator(ROLL)
def roll(input: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """Elements moved on by ``shifts`` along ``dims``, those at the end coming in at the start.

    Without ``dims`` the tensor is rolled as if it were flat.

    Raises:
        RuntimeError: not one shift per dim.
    """
    if dims.__class__ is not int and (dims is None or not as_ints((dims,))):
        if len(as_ints((shifts,))) == 1:
            return _rolled(flatten(input), shifts, 0).view(input._spec.shape)
        dims = ()
    return _rolled(input, shifts, dims)


@publish()
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by ``k`` quarters from the first of two dims towards the second.

    Raises:
        RuntimeError: not two different dims.
    """
    ndim = input._spec.ndim
    pair = tuple(dims)
    if len(pair) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(pair)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    one, two = (check_dim(n, ndim) for n in pair)
    if one == two:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {pair[0]} and dim1 = {pair[1]}"
        )
    turns = k % 4
    if turns == 1:
        return flip(input, two).transpose(one, two)
    if turns == 2:
        return flip(input, one, two)
    if turns == 3:
        return flip(input, one).transpose(one, two)
    return input.clone(memory_format=contiguous_format)
