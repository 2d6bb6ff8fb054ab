"""Putting tensors together (cat, stack, …) and taking them apart (split, chunk, unbind, …).

Taking apart makes views: all parts of one call share one node, so that backward puts their gradients
together once instead of adding up as many tensors of the whole shape as there are parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import observe, raw
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import BackwardInfo, Node, OutputNode, next_sequence
from dovetail.dispatch import call
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import draw
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.ops.views import _linked
from dovetail.promotion import promote_types
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "cat", "chunk", "column_stack", "dsplit", "dstack", "hsplit", "hstack", "split",
    "split_with_sizes", "stack", "tensor_split", "unbind", "unsafe_chunk", "vsplit", "vstack",
]  # fmt: skip


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
            parts.append(g.new_zeros((0,)) if need else None)  # type: ignore[attr-defined]
            continue
        n = spec.shape[dim]
        parts.append(g.narrow(dim, at, n) if need else None)  # type: ignore[attr-defined]
        at += n
    return tuple(parts)


def _cat_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases: tuple[tuple[int, tuple[tuple[int, ...], ...]], ...] = (
        (0, ((2, 3), (1, 3), (0, 3))),
        (1, ((2, 3), (2, 1))),
        (-1, ((2, 2, 3), (2, 2, 2))),
        (0, ((5,),)),
        (0, ((0,), (4,), (2,))),
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
    reference=lambda tensors, dim=0: np.concatenate(tensors, dim),
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
    return call(CAT, tensors, (check_dim(dim, ndim),))  # type: ignore[no-any-return]


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
        part if need else None for part, need in zip(unbind(g, dim), needs, strict=True)
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
    return call(STACK, tensors, (dim,))  # type: ignore[no-any-return]


def _at_least(x: Tensor, ndim: int) -> Tensor:
    if ndim == 1:
        return x.reshape(1) if not x._spec.ndim else x  # type: ignore[attr-defined, no-any-return]
    shape = tuple(x._spec.shape)
    if len(shape) >= ndim:
        return x
    if ndim == 2:
        return x.reshape(1, *(shape or (1,)))  # type: ignore[attr-defined, no-any-return]
    wide = {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}[len(shape)]
    return x.reshape(wide)  # type: ignore[attr-defined, no-any-return]


def _non_empty(name: str, tensors: Any) -> tuple[Tensor, ...]:
    tensors = _listed(name, tensors)
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return tensors  # type: ignore[no-any-return]


@publish(method=False, out=True)
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side: along dim 1, or dim 0 for vectors."""
    parts = [_at_least(x, 1) for x in _non_empty("hstack", tensors)]
    return cat(parts, 0 if parts[0]._spec.ndim == 1 else 1)


@publish("row_stack", method=False, out=True)
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """One below the other: along dim 0, vectors as rows."""
    return cat([_at_least(x, 2) for x in _non_empty("vstack", tensors)], 0)


@publish(method=False, out=True)
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """One behind the other: along dim 2."""
    return cat([_at_least(x, 3) for x in _non_empty("dstack", tensors)], 2)


@publish(method=False, out=True)
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Along dim 1, vectors and numbers as columns."""
    parts = _non_empty("column_stack", tensors)
    return hstack([x.reshape(x.numel(), 1) if x._spec.ndim < 2 else x for x in parts])  # type: ignore[attr-defined]


# ------------------------------------------------------------- taking apart


class _Parts:
    """What taking a tensor apart does to one spec: a view and a place per part, one node."""

    __slots__ = ("info", "parts")
    served_by = "view"

    def __init__(self, parts: list[tuple[Spec, int]], info: BackwardInfo) -> None:
        self.parts = parts
        self.info = info

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        made = tuple([_linked(x, spec, offset) for spec, offset in self.parts])
        node = x._node
        if node is not None and mode.grad and made:
            n = Node()
            n.info = self.info
            n.sequence = next_sequence()
            n.next = (node,)
            n.saved = ()
            n.outputs = len(made)
            for i, t in enumerate(made):
                t._node = OutputNode(n, i)
        return made


def _parts_record(name: str) -> OpDef:
    return OpDef(
        name,
        kind="view",
        infer=lambda spec, **_: Inferred((None,), ()),
        outputs=0,
        method=False,
        public=False,
    )


_RECORDS = {name: _parts_record(f"{name}_parts") for name in ("split", "unbind")}


def _apart(x: Tensor, kind: str, name: str, key: tuple[Any, ...]) -> tuple[Tensor, ...]:
    memo = x._spec.memo
    plan = memo.get((name, key))
    if plan is None:
        plan = memo[name, key] = _parts_plan(x._spec, kind, name, *key)
    if observe.active:
        return observe.run(_RECORDS[kind], plan, (x,))  # type: ignore[no-any-return]
    return plan(x)  # type: ignore[no-any-return]


def _parts_plan(spec: Spec, kind: str, name: str, dim: int, sizes: Any) -> _Parts:
    before, after, step = spec.shape[:dim], spec.shape[dim + 1 :], spec.strides[dim]
    if kind == "unbind":
        strides = spec.strides[:dim] + spec.strides[dim + 1 :]
        part = spec_of((*before, *after), spec.dtype, spec.device, strides)
        parts = [(part, i * step) for i in range(spec.shape[dim])]
    else:
        starts = itertools.accumulate(sizes, initial=0)
        parts = [
            (
                spec_of((*before, n, *after), spec.dtype, spec.device, spec.strides),
                start * step if n else 0,
            )
            for n, start in zip(sizes, starts, strict=False)
        ]
    specs = tuple(p for p, _ in parts)
    join = stack if kind == "unbind" else cat

    def back(g: list[Any]) -> Any:
        some = next(x for x in g if x is not None)
        nothing = some.new_zeros(())
        return join(
            [nothing.expand(s.shape) if x is None else x for x, s in zip(g, specs, strict=True)],
            dim,
        )

    return _Parts(parts, BackwardInfo(name, ((back, (0,)),), (), (spec,), None, specs))


@publish()
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of every index of a dim, without that dim.

    Raises:
        IndexError: a 0-d tensor, or no such dim.
    """
    spec = input._spec
    if not spec.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return _apart(input, "unbind", "unbind", (check_dim(dim, spec.ndim), None))


def _need_dims(name: str, spec: Spec) -> None:
    if not spec.ndim:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")


def _even(n: int, size: int) -> tuple[int, ...]:
    """Parts of ``size``, the last as long as what is left; one empty part of nothing."""
    if not n:
        return (0,)
    whole, rest = divmod(n, size)
    return (size,) * whole + ((rest,) if rest else ())


@publish()
def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive parts along ``dim``: all of one size (the last may be less), or as listed.

    Raises:
        RuntimeError: sizes that are negative or do not add up.
    """
    spec = tensor._spec
    _need_dims("split", spec)
    if not hasattr(split_size_or_sections, "__index__"):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    dim = check_dim(dim, spec.ndim)
    size = split_size_or_sections.__index__()
    n = spec.shape[dim]
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if not size and n:
        raise RuntimeError(
            f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}"
        )
    return _apart(tensor, "split", "split", (dim, _even(n, size)))


@publish()
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive parts of the listed sizes along ``dim``.

    Raises:
        RuntimeError: sizes that are negative or do not add up.
    """
    spec = input._spec
    _need_dims("split", spec)
    dim = check_dim(dim, spec.ndim)
    sizes = tuple(n.__index__() for n in split_sizes)
    if any(n < 0 for n in sizes):
        raise RuntimeError(
            "split_with_sizes expects split_sizes have only non-negative entries, but got "
            f"split_sizes={list(sizes)}"
        )
    if sum(sizes) != spec.shape[dim]:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {spec.shape[dim]} (input "
            f"tensor's size at dimension {dim}), but got split_sizes={list(sizes)}"
        )
    return _apart(input, "split", "split_with_sizes", (dim, sizes))


@publish("unsafe_chunk")
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of at most ``chunks`` equal parts along ``dim``; the last may be smaller.

    Raises:
        RuntimeError: ``chunks`` is not positive.
    """
    spec = input._spec
    _need_dims("chunk", spec)
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = check_dim(dim, spec.ndim)
    n = spec.shape[dim]
    if not n:
        return _apart(input, "split", "split_with_sizes", (dim, (0,) * chunks))
    return _apart(input, "split", "split", (dim, _even(n, -(-n // chunks))))


unsafe_chunk = chunk


@publish()
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of parts along ``dim``: so many of nearly equal size, or cut at the listed indices.

    Raises:
        RuntimeError: no sections, or a 0-d tensor.
    """
    spec = input._spec
    if not spec.ndim:
        raise RuntimeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    dim = check_dim(dim, spec.ndim)
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()  # type: ignore[attr-defined]
    n = spec.shape[dim]
    if isinstance(indices_or_sections, int):
        count = indices_or_sections
        if count <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {count}")
        sizes = tuple(n // count + (i < n % count) for i in range(count))
        return _apart(input, "split", "split_with_sizes", (dim, sizes))
    cuts = [slice(0, int(i)).indices(n)[1] for i in indices_or_sections]
    parts = zip([0, *cuts], [*cuts, n], strict=True)
    return tuple(
        input.narrow(dim, start, max(stop - start, 0))  # type: ignore[attr-defined]
        for start, stop in parts
    )


def _along(name: str, place: int, at_least: int) -> Any:
    def function(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        ndim = input._spec.ndim
        if ndim < at_least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {at_least} dimension, but got a "
                f"tensor with {ndim} dimensions!"
            )
        dim = 0 if ndim == 1 else place
        n = input._spec.shape[dim]
        if isinstance(indices_or_sections, int) and n % max(indices_or_sections, 1):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {dim}, but the size of the "
                f"dimension {n} is not divisible by the split_size {indices_or_sections}!"
            )
        return tensor_split(input, indices_or_sections, dim)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``tensor_split`` along dim {place}" + (
        " (0 for a vector)." if at_least < 2 else "."
    )
    return publish()(function)


hsplit = _along("hsplit", 1, 1)
vsplit = _along("vsplit", 0, 2)
dsplit = _along("dsplit", 2, 3)
