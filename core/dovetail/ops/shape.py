"""Other shapes of the same elements: flatten, repeat, flip, roll, movedim, broadcasting, meshgrid.

What PyTorch gives as a view is a view here; the others copy once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import observe, raw
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import broadcast_shapes as common_shape
from dovetail.ops.families import draw
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.ops.views import _ints, apply_view, register_view
from dovetail.spec import Size, Spec
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "adjoint", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_shapes", "broadcast_tensors",
    "broadcast_to", "expand_as", "flatten", "flip", "fliplr", "flipud", "meshgrid", "movedim",
    "narrow_copy", "ravel", "repeat", "repeat_interleave", "reshape_as", "roll", "rot90", "tile",
    "unflatten", "view_as",
]  # fmt: skip


# ---------------------------------------------------------------- reshaping


@publish()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dims ``start_dim`` to ``end_dim`` as one: the tensor itself, a view, or a copy.

    Raises:
        RuntimeError: ``start_dim`` comes after ``end_dim``.
    """
    spec = input._spec
    key = ("flatten", start_dim, end_dim)
    plan = spec.memo.get(key)
    if plan is not None and not observe.active:
        return plan(input)  # type: ignore[no-any-return]
    start, end = check_dim(start_dim, spec.ndim), check_dim(end_dim, spec.ndim)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not spec.ndim:
        return input.reshape(1)  # type: ignore[attr-defined, no-any-return]
    if start == end:
        return input
    shape = tuple(spec.shape)
    joined = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    result: Tensor = input.reshape(joined)  # type: ignore[attr-defined]
    if ("view", (joined,)) in spec.memo:
        spec.memo[key] = spec.memo["view", (joined,)]
    return result


@publish()
def ravel(input: Tensor) -> Tensor:
    """All elements in one dim; a copy only where they do not lie in order."""
    return input.reshape(-1) if input._spec.numel else input.reshape(0)  # type: ignore[attr-defined, no-any-return]


@publish()
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dim as several, whose sizes multiply up to its own; one of them may be -1.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    shape = tuple(input._spec.shape)
    dim = check_dim(dim, len(shape))
    sizes = _ints((sizes,)) if not hasattr(sizes, "__index__") else (sizes,)
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    known = math.prod(n for n in sizes if n != -1)
    if sizes.count(-1) > 1:
        raise RuntimeError("unflatten: only one dimension can be inferred")
    if -1 in sizes and known and not shape[dim] % known:
        sizes = tuple(shape[dim] // known if n == -1 else n for n in sizes)
    if math.prod(sizes) != shape[dim] or -1 in sizes:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} "
            f"({shape[dim]}) in the input tensor"
        )
    return input.view(*shape[:dim], *sizes, *shape[dim + 1 :])  # type: ignore[attr-defined, no-any-return]


def _by_shape(name: str, doc: str) -> None:
    plain = getattr(Tensor, name)

    def method(self: Tensor, other: Tensor) -> Tensor:
        return plain(self, tuple(other._spec.shape))  # type: ignore[no-any-return]

    method.__name__ = name + "_as"
    method.__qualname__ = f"Tensor.{method.__name__}"
    method.__doc__ = doc
    setattr(Tensor, method.__name__, method)


_by_shape("view", "``view`` with the other tensor's shape.")
_by_shape("reshape", "``reshape`` with the other tensor's shape.")
_by_shape("expand", "``expand`` to the other tensor's shape.")
view_as, reshape_as, expand_as = Tensor.view_as, Tensor.reshape_as, Tensor.expand_as  # type: ignore[attr-defined]


# ------------------------------------------------------------- repeat, tile


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
    return input.reshape(apart).expand(wide).clone(memory_format=_contiguous()).view(joined)


def _contiguous() -> Any:
    from dovetail.ops.convert import contiguous_format

    return contiguous_format


def _repeat_gradient(g: Any, specs: Any, repeats: tuple[int, ...]) -> Any:
    shape = tuple(specs[0].shape)
    _, wide, _ = _repeat_shapes(shape, repeats)
    if 0 in repeats:
        return g.new_zeros(shape)
    dims = tuple(range(0, len(wide), 2))
    return g.reshape(wide).sum(dims).reshape(shape) if dims else g


def _repeat_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
        ((2, 3), (2, 2)), ((2, 3), (2, 1, 3)), ((), (4,)), ((3,), (0,)), ((2, 0), (2, 3)),
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
    return call(REPEAT, (input,), (_ints(repeats),))  # type: ignore[no-any-return]


@publish()
def tile(input: Tensor, *dims: Any) -> Tensor:
    """As ``repeat``; missing numbers in front are 1."""
    sizes = _ints(dims)
    return repeat(input, (1,) * (input._spec.ndim - len(sizes)) + sizes)


# -------------------------------------------------------- repeat_interleave


def _repeats_on_host(repeats: Tensor, size: int | None) -> np.ndarray:
    if repeats._spec.dtype not in (d.int32, d.int64):
        from dovetail.dispatch import type_name
        from dovetail.errors import Unsupported

        raise Unsupported(
            f"\"repeat_interleave\" not implemented for '{type_name(repeats._spec.dtype)}'"
        )
    if repeats._spec.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    counts = raw.to_host(repeats).reshape(-1)
    if size is not None and counts.size == 1:
        counts = np.repeat(counts, size)
    if size is not None and counts.size != size:
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got "
            f"repeats.size(0) = {counts.size} and input.size(0) = {size}"
        )
    if counts.size and counts.min() < 0:
        raise RuntimeError("repeats can not be negative")
    return counts


@publish()
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every index of ``dim`` so many times in a row; ``dim`` of None flattens first.

    Args:
        repeats: a number, or a tensor with one number per index. With no ``repeats`` the input is
            those numbers, and the result says which index stands at each place.
        output_size: the size of the result along ``dim``, where known.

    Raises:
        RuntimeError: negative numbers, or not one per index.
    """
    if repeats is None:
        counts = _repeats_on_host(input, None)
        places = np.repeat(np.arange(counts.size), counts)
        return raw.from_host(places, d.int64, state_of(input._spec.device))
    if dim is None:
        input, dim = flatten(input), 0
    dim = check_dim(dim, input._spec.ndim)
    shape = tuple(input._spec.shape)
    n = shape[dim] if shape else 1
    if isinstance(repeats, Tensor):
        counts = _repeats_on_host(repeats, n)
        if output_size is not None and output_size != counts.sum():
            raise RuntimeError("allocated size does not match required size")
        places = np.repeat(np.arange(n), counts)
        index = raw.from_host(places, d.int64, state_of(input._spec.device))
        return input.index_select(dim, index)  # type: ignore[attr-defined, no-any-return]
    if repeats < 0:
        raise RuntimeError("Repeats must be non-negative")
    if output_size is not None and output_size != n * repeats:
        raise RuntimeError(
            f"repeat_interleave: Invalid output_size, expected {n * repeats} but got {output_size}"
        )
    wide = input.unsqueeze(dim + 1).expand(*shape[: dim + 1], repeats, *shape[dim + 1 :])  # type: ignore[attr-defined]
    made = wide.clone(memory_format=_contiguous())
    return flatten(made, dim, dim + 1)


# ------------------------------------------------------- flip, roll, rot90


def _same_shape(spec: Spec, **_: Any) -> Inferred:
    return Inferred((None,), ((tuple(spec.shape), spec.dtype),))


def _backwards(n: int, like: Tensor) -> Tensor:
    from dovetail.factories import arange

    return arange(n - 1, -1, -1, device=like._spec.device)


def _flip(input: Any, dims: tuple[int, ...]) -> Any:
    for dim in dims:
        input = input.index_select(dim, _backwards(input._spec.shape[dim], input))
    return input


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
    infer=_same_shape,
    decompose=_flip,
    gradient={"input": lambda g, dims: flip(g, dims)},
    reference=lambda x, dims: np.flip(x, dims),
    samples=_cases(((2, 3), ((0,),)), ((2, 3, 4), ((2, 0),)), ((3,), ((),)), ((0, 2), ((0, 1),))),
)


@operator(FLIP)
def flip(input: Tensor, *dims: Any) -> Tensor:
    """The order of the elements reversed along ``dims``, copied.

    Raises:
        RuntimeError: a dim named twice.
    """
    if not dims:
        raise TypeError('flip() missing 1 required positional arguments: "dims"')
    named = tuple(check_dim(n, input._spec.ndim) for n in _ints(dims))
    for n in named:
        if named.count(n) > 1:
            raise RuntimeError(f"dim {n} appears multiple times in the list of dims")
    if not input._spec.ndim:
        named = ()
    return call(FLIP, (input,), (named,))  # type: ignore[no-any-return]


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
    from dovetail.ops.joining import cat

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


@operator(ROLL)
def roll(input: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """Elements moved on by ``shifts`` along ``dims``, those at the end coming in at the start.

    Without ``dims`` the tensor is rolled as if it were flat.

    Raises:
        RuntimeError: not one shift per dim.
    """
    moves = _ints((shifts,))
    if not moves:
        raise RuntimeError("`shifts` required")
    named = _ints((() if dims is None else dims,))
    if not named and len(moves) == 1:
        flat = roll(flatten(input), moves, 0)
        return flat.reshape(input._spec.shape)  # type: ignore[attr-defined, no-any-return]
    if len(moves) != len(named):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(named)}"
        )
    named = tuple(check_dim(n, input._spec.ndim) for n in named)
    return call(ROLL, (input,), (moves, named))  # type: ignore[no-any-return]


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
        return flip(input, two).transpose(one, two)  # type: ignore[attr-defined, no-any-return]
    if turns == 2:
        return flip(input, one, two)
    if turns == 3:
        return flip(input, one).transpose(one, two)  # type: ignore[attr-defined, no-any-return]
    return input.clone(memory_format=_contiguous())  # type: ignore[attr-defined, no-any-return]


# -------------------------------------------------------------- order of dims


@publish("moveaxis")
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dims ``source`` at the places ``destination``, the others in their order: a view.

    Raises:
        RuntimeError: dims named twice, or not one place per dim.
    """
    ndim = input._spec.ndim
    if source.__class__ is int is destination.__class__ and ndim:
        order = list(range(ndim))
        order.insert(check_dim(destination, ndim), order.pop(check_dim(source, ndim)))
        return apply_view(register_view("permute"), input, (tuple(order),))
    here, there = _ints((source,)), _ints((destination,))
    if len(here) != len(there):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(here)} dims) should "
            f"contain the same number of dims as destination ({list(there)} dims)"
        )
    named = {}
    for label, dims in (("source", here), ("destination", there)):
        named[label] = [check_dim(n, ndim) for n in dims]
        if len(set(named[label])) < len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{label}` ({list(dims)})")
    if not ndim:
        return input._alias() if input._node is None else input.view(())  # type: ignore[attr-defined, no-any-return]
    rest = [i for i in range(ndim) if i not in named["source"]]
    order = [-1] * ndim
    for i, at in zip(named["source"], named["destination"], strict=True):
        order[at] = i
    remaining = iter(rest)
    return input.permute([next(remaining) if i < 0 else i for i in order])  # type: ignore[attr-defined, no-any-return]


def _T(self: Tensor) -> Tensor:
    """The dims in reverse order, a view."""
    ndim = self._spec.ndim
    return apply_view(register_view("permute"), self, (_REVERSED[ndim],)) if ndim else self


_REVERSED = tuple(tuple(range(n - 1, -1, -1)) for n in range(65))


def _mT(self: Tensor) -> Tensor:
    """Every matrix of a batch transposed, a view."""
    return apply_view(register_view("mT"), self)


@publish()
def adjoint(input: Tensor) -> Tensor:
    """Every matrix of a batch transposed and conjugated; a view of a real tensor."""
    if input._spec.ndim < 2:
        raise RuntimeError(
            "tensor.adjoint() is only supported on matrices or batches of matrices. Got "
            f"{input._spec.ndim}-D tensor."
        )
    turned = _mT(input)
    return turned.conj() if turned._spec.dtype.is_complex else turned  # type: ignore[attr-defined, no-any-return]


def _mH(self: Tensor) -> Tensor:
    """Every matrix of a batch transposed and conjugated."""
    if self._spec.ndim < 2:
        raise RuntimeError(
            "tensor.mH is only supported on matrices or batches of matrices. Got "
            f"{self._spec.ndim}-D tensor."
        )
    return adjoint(self)


def _H(self: Tensor) -> Tensor:
    """A matrix transposed and conjugated."""
    if self._spec.ndim not in (0, 2):
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {self._spec.ndim}-D "
            "tensor."
            + (" For batches of matrices, consider using tensor.mH" if self._spec.ndim > 2 else "")
        )
    return adjoint(self) if self._spec.ndim else self


for _name, _getter in (("T", _T), ("mT", _mT), ("H", _H), ("mH", _mH)):
    setattr(Tensor, _name, property(_getter))


# -------------------------------------------------------------- broadcasting


@publish()
def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """The tensor expanded to ``size``: a view with stride 0 where it repeats."""
    return input.expand(size)  # type: ignore[attr-defined, no-any-return]


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that all shapes broadcast to; a number counts as a shape of one dim.

    Raises:
        RuntimeError: two sizes differ and neither is 1.
    """
    out: list[int] = []
    for i, shape in enumerate(shapes):
        sizes = (shape,) if hasattr(shape, "__index__") else tuple(shape)
        out = [1] * (len(sizes) - len(out)) + out
        before = list(out)
        for k in range(1, len(sizes) + 1):
            n = sizes[-k].__index__()
            if n in (1, out[-k]):
                continue
            if out[-k] != 1 or n < 0:
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {n} at {-k}! Mismatching "
                    f"argument at index {i} had {sizes}; but expected shape should be "
                    f"broadcastable to {before}"
                )
            out[-k] = n
    return Size(out)


publish(method=False)(broadcast_shapes)


@publish(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Every tensor expanded to the shape that all broadcast to."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    shape = common_shape(*[tuple(x._spec.shape) for x in tensors])
    return tuple(x if tuple(x._spec.shape) == shape else x.expand(shape) for x in tensors)


def _at_least(ndim: int) -> Any:
    def function(*tensors: Any) -> Any:
        from dovetail.ops.joining import _at_least as widened

        if len(tensors) == 1:
            if isinstance(tensors[0], Tensor):
                return widened(tensors[0], ndim)
            tensors = tuple(tensors[0])
        return tuple(widened(x, ndim) for x in tensors)

    function.__name__ = function.__qualname__ = f"atleast_{ndim}d"
    function.__doc__ = f"Each tensor with at least {ndim} dims, as a view; a tuple of several."
    return publish(method=False)(function)


atleast_1d, atleast_2d, atleast_3d = _at_least(1), _at_least(2), _at_least(3)


@publish(method=False)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """The coordinates of a grid: one expanded view per vector.

    Args:
        indexing: ``ij`` (rows first, the default) or ``xy`` (the first two dims exchanged).

    Raises:
        RuntimeError: no vectors, dtypes that differ, or another ``indexing``.
    """
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for x in tensors:
        if x._spec.ndim > 1:
            raise RuntimeError(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: "
                f"{'  '.join(str(n) for n in x._spec.shape)}"
            )
        if x._spec.dtype is not tensors[0]._spec.dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    swaps = indexing == "xy" and len(tensors) >= 2
    if swaps:
        tensors = (tensors[1], tensors[0], *tensors[2:])
    shape = tuple(x._spec.numel for x in tensors)
    grids = []
    for i, x in enumerate(tensors):
        place = [1] * len(shape)
        place[i] = shape[i]
        grids.append(x.reshape(place).expand(shape))
    if swaps:
        grids[:2] = grids[1::-1]
    return tuple(grids)


@publish()
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``narrow``, copied."""
    part = input.narrow(dim, start, length)  # type: ignore[attr-defined]
    return part.clone(memory_format=_contiguous())  # type: ignore[no-any-return]
