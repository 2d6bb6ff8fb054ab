"""Taking tensors apart into views: split, chunk, unbind and their like.

All parts of one call share one node, so that backward puts their gradients together once instead of
adding up as many tensors of the whole shape as there are parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from dovetail import observe
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import BackwardInfo, JointNode, OutputNode, next_sequence
from dovetail.late_binding import BATCHED, QUANTIZED
from dovetail.ops.expose import publish
from dovetail.ops.layout.joining import cat, stack
from dovetail.ops.layout.views import _linked
from dovetail.ops.schema import Inferred, OpDef
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "chunk", "dsplit", "hsplit", "split", "split_with_sizes", "tensor_split", "unbind",
    "unsafe_chunk", "vsplit",
]  # fmt: skip


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
            n = JointNode()
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
        return observe.run(_RECORDS[kind], plan, (x,))
    return plan(x)


def _parts_plan(spec: Spec, kind: str, name: str, dim: int, sizes: Any) -> Any:
    if spec.batch is not None:
        plain = _parts_plan(spec.batch.logical, kind, name, dim, sizes)
        return BATCHED.view_plan(spec, plain, lambda x: _apart(x, kind, name, (dim + 1, sizes)))
    if spec.dtype.category < 0:
        return QUANTIZED.view_plan(name, lambda ints: _apart(ints, kind, name, (dim, sizes)))
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
        if any(x is None for x in g):
            nothing = next(x for x in g if x is not None).new_zeros(())
            pairs = zip(g, specs, strict=True)
            g = [nothing.expand(s.shape) if x is None else x for x, s in pairs]
        return join(g, dim)

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


@publish("unsafe_split")
def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive parts along ``dim``: of one size (the last may be less), or as listed.

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


@publish("unsafe_split_with_sizes")
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
def tensor_split(
    input: Tensor, indices_or_sections: Any = None, dim: int = 0,
    *, sections: Any = None, indices: Any = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Views of parts along ``dim``: so many of nearly equal size, or cut at the listed indices.

    Args:
        indices_or_sections: a number, or indices, or a tensor of either; also as ``sections=`` or
            ``indices=``.

    Raises:
        RuntimeError: no sections, or a 0-d tensor.
    """
    given = [x for x in (indices_or_sections, sections, indices) if x is not None]
    if len(given) != 1:
        raise TypeError(f"tensor_split(): sections or indices must be given once, got {len(given)}")
    (indices_or_sections,) = given
    spec = input._spec
    if not spec.ndim:
        raise RuntimeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    dim = check_dim(dim, spec.ndim)
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    n = spec.shape[dim]
    if isinstance(indices_or_sections, int):
        count = indices_or_sections
        if count <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {count}")
        sizes = tuple(n // count + (i < n % count) for i in range(count))
        return _apart(input, "split", "split_with_sizes", (dim, sizes))
    cuts = [slice(0, int(i)).indices(n)[1] for i in indices_or_sections]
    parts = zip([0, *cuts], [*cuts, n], strict=True)
    return tuple(input.narrow(dim, start, max(stop - start, 0)) for start, stop in parts)


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
