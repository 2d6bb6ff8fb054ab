"""Other shapes of the same elements: flatten, unflatten, movedim, T, mT, H.

What PyTorch gives as a view is a view here.
"""

from __future__ import annotations

import math
from typing import Any

from dovetail import observe
from dovetail.memory_formats import contiguous_format
from dovetail.ops.expose import publish
from dovetail.ops.layout.views import apply_view, view_record
from dovetail.shapes import as_ints
from dovetail.tensor import Tensor, check_dim
from dovetail.warning import warn

__all__ = [
    "adjoint", "expand_as", "flatten", "movedim", "narrow_copy", "ravel", "reshape_as",
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
        return plan(input)
    start, end = check_dim(start_dim, spec.ndim), check_dim(end_dim, spec.ndim)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not spec.ndim:
        return input.reshape(1)
    if start == end:
        return input
    shape = tuple(spec.shape)
    joined = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    result: Tensor = input.reshape(joined)
    if ("view", (joined,)) in spec.memo:
        spec.memo[key] = spec.memo["view", (joined,)]
    return result


@publish()
def ravel(input: Tensor) -> Tensor:
    """All elements in one dim; a copy only where they do not lie in order."""
    return input.reshape(-1) if input._spec.numel else input.reshape(0)


@publish()
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dim as several, whose sizes multiply up to its own; one of them may be -1.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    shape = tuple(input._spec.shape)
    dim = check_dim(dim, len(shape))
    sizes = as_ints((sizes,)) if not hasattr(sizes, "__index__") else (sizes,)
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
    return input.view(*shape[:dim], *sizes, *shape[dim + 1 :])


def _by_shape(name: str) -> Any:
    plain = getattr(Tensor, name)

    def method(self: Tensor, other: Tensor) -> Tensor:
        return plain(self, tuple(other._spec.shape))

    method.__name__ = name + "_as"
    method.__qualname__ = f"Tensor.{method.__name__}"
    method.__doc__ = f"``{name}`` with the other tensor's shape."
    setattr(Tensor, method.__name__, method)
    return method


view_as, reshape_as, expand_as = (_by_shape(name) for name in ("view", "reshape", "expand"))


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
        return apply_view(view_record("permute"), input, (tuple(order),))
    here, there = as_ints((source,)), as_ints((destination,))
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
        return input._alias() if input._node is None else input.view(())
    rest = [i for i in range(ndim) if i not in named["source"]]
    order = [-1] * ndim
    for i, at in zip(named["source"], named["destination"], strict=True):
        order[at] = i
    remaining = iter(rest)
    return input.permute([next(remaining) if i < 0 else i for i in order])


def _T(self: Tensor) -> Tensor:
    """The dims in reverse order, a view."""
    ndim = self._spec.ndim
    return apply_view(view_record("permute"), self, (_REVERSED[ndim],)) if ndim else self


_REVERSED = tuple(tuple(range(n - 1, -1, -1)) for n in range(65))


def _mT(self: Tensor) -> Tensor:
    """Every matrix of a batch transposed, a view."""
    return apply_view(view_record("mT"), self)


@publish()
def adjoint(input: Tensor) -> Tensor:
    """Every matrix of a batch transposed and conjugated; a view of a real tensor."""
    if input._spec.ndim < 2:
        raise RuntimeError(
            "tensor.adjoint() is only supported on matrices or batches of matrices. Got "
            f"{input._spec.ndim}-D tensor."
        )
    turned = _mT(input)
    return turned.conj() if turned._spec.dtype.is_complex else turned


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


@publish()
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``narrow``, copied."""
    part = input.narrow(dim, start, length)
    return part.clone(memory_format=contiguous_format)


def _resize(self: Tensor, *sizes: Any) -> Tensor:
    """Another shape of as many elements; deprecated, as in PyTorch: ``reshape`` is the same.

    Raises:
        RuntimeError: another number of elements.
    """
    return _resized(self, as_ints(sizes), "resize")


def _resize_as(self: Tensor, tensor: Tensor) -> Tensor:
    """The shape of a tensor of as many elements; deprecated, as in PyTorch: see ``reshape_as``.

    Raises:
        RuntimeError: another number of elements.
    """
    return _resized(self, tuple(tensor._spec.shape), "resize_as")


def _resized(x: Tensor, sizes: tuple[int, ...], name: str) -> Tensor:
    warn(f"non-inplace {name} is deprecated", UserWarning)
    if math.prod(sizes) != x._spec.numel or min(sizes, default=0) < 0:
        raise RuntimeError(
            f"requested resize to {'x'.join(map(str, sizes))} ({math.prod(sizes)} elements in "
            f"total), but the given tensor has a size of {'x'.join(map(str, x._spec.shape))} "
            f"({x._spec.numel} elements). autograd's resize can only change the shape of a given "
            "tensor, while preserving the number of elements. "
        )
    result: Tensor = x.contiguous().view(sizes)
    return result


for _name, _method in (("resize", _resize), ("resize_as", _resize_as)):
    _method.__name__, _method.__qualname__ = _name, f"Tensor.{_name}"
    setattr(Tensor, _name, _method)
