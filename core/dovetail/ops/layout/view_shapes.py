"""Views of all elements under another shape: view, permute, transpose, expand, squeeze, …"""

from __future__ import annotations

from typing import Any

from dovetail.ops.layout.views import view_operator
from dovetail.shapes import as_ints, fill_in, viewed_strides
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = ["expand", "permute", "squeeze", "t", "transpose", "unsqueeze"]


def _reshape_back(g: Tensor, spec: Spec, *_: Any) -> Tensor:
    return g.reshape(spec.shape)


def _view_prepare(spec: Spec, *shape: Any) -> tuple[Any, ...]:
    return (fill_in(as_ints(shape), spec.numel),)


@view_operator("view", prepare=_view_prepare, gradient=_reshape_back, public=False)
def _view(spec: Spec, shape: tuple[int, ...]) -> Any:
    """The same elements under another shape, without copying."""
    strides = viewed_strides(spec, shape)
    if strides is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return shape, strides, 0


def _dims(dims: tuple[Any, ...], ndim: int) -> tuple[int, ...]:
    return tuple(check_dim(n, ndim) for n in as_ints(dims))


def _permute_prepare(spec: Spec, *order: Any, dims: Any = None) -> tuple[Any, ...]:
    if dims is not None and order:
        raise TypeError("permute() got multiple values for argument 'dims'")
    order = as_ints(order if dims is None else (dims,))
    if len(order) != spec.ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {spec.ndim} is not "
            f"equal to len(dims) = {len(order)}"
        )
    order = tuple(check_dim(n, spec.ndim) for n in order)
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return (order,)


def _unpermute(g: Tensor, spec: Spec, order: tuple[int, ...]) -> Tensor:
    return g.permute(sorted(range(len(order)), key=order.__getitem__))


@view_operator("permute", prepare=_permute_prepare, gradient=_unpermute)
def permute(spec: Spec, dims: tuple[int, ...]) -> Any:
    """Dims in another order: ``dims[i]`` is the old dim at place i."""
    return tuple(spec.shape[n] for n in dims), tuple(spec.strides[n] for n in dims), 0


def _transpose_prepare(spec: Spec, dim0: int, dim1: int) -> tuple[Any, ...]:
    return check_dim(dim0, spec.ndim), check_dim(dim1, spec.ndim)


def _not_two_dims(input: Tensor, *dims: Any) -> Exception:
    return TypeError(
        f"transpose() takes 2 dims but {len(dims)} were given: it exchanges two; "
        f"permute({', '.join(map(str, dims))}) puts all of them in an order"
    )


@view_operator(
    "transpose",
    prepare=_transpose_prepare,
    gradient=lambda g, spec, a, b: g.transpose(a, b),
    aliases=("swapaxes", "swapdims"),
    surplus=_not_two_dims,
)
def transpose(spec: Spec, dim0: int, dim1: int) -> Any:
    """Two dims exchanged."""
    order = list(range(spec.ndim))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return tuple(spec.shape[n] for n in order), tuple(spec.strides[n] for n in order), 0


@view_operator("t", gradient=lambda g, spec: g.t())
def t(spec: Spec) -> Any:
    """A matrix transposed; tensors of fewer dims as they are.

    Raises:
        RuntimeError: more than two dims.
    """
    if spec.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {spec.ndim}D")
    return tuple(spec.shape[::-1]), spec.strides[::-1], 0


@view_operator("mT", gradient=lambda g, spec: g.mT, public=False)
def _mT(spec: Spec) -> Any:
    if spec.ndim < 2:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got "
            f"{spec.ndim}-D tensor."
        )
    order = (*range(spec.ndim - 2), spec.ndim - 1, spec.ndim - 2)
    return tuple(spec.shape[n] for n in order), tuple(spec.strides[n] for n in order), 0


def _expand_prepare(spec: Spec, *sizes: Any) -> tuple[Any, ...]:
    target = as_ints(sizes)
    lead = len(target) - spec.ndim
    if lead < 0:
        raise RuntimeError(
            f"expand(): the number of sizes provided ({len(target)}) must be greater or equal to "
            f"the number of dimensions in the tensor ({spec.ndim})"
        )
    shape = []
    for i, n in enumerate(target):
        have = spec.shape[i - lead] if i >= lead else 1
        if n == -1 and i >= lead:
            n = have
        if n < 0 or (have not in (1, n)):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(target)}.  Tensor sizes: "
                f"{list(spec.shape)}"
            )
        shape.append(n)
    return (tuple(shape),)


@view_operator(
    "expand", prepare=_expand_prepare, gradient=lambda g, spec, shape: g.sum_to_size(spec.shape)
)
def expand(spec: Spec, shape: tuple[int, ...]) -> Any:
    """Dims of size 1 (and new leading dims) repeated without copying; -1 keeps a size."""
    lead = len(shape) - spec.ndim
    strides = (0,) * lead + tuple(
        s if n == m else 0 for n, s, m in zip(spec.shape, spec.strides, shape[lead:], strict=True)
    )
    return shape, strides, 0


def _squeeze_prepare(spec: Spec, dim: Any = None) -> tuple[Any, ...]:
    if dim is None:
        dims = tuple(range(spec.ndim))
    elif isinstance(dim, (tuple, list)):
        dims = tuple(check_dim(n, spec.ndim) for n in dim)
        twice = [n for n in dims if dims.count(n) > 1]
        if twice:
            raise RuntimeError(f"dim {twice[0]} appears multiple times in the list of dims")
    else:
        dims = (check_dim(dim, spec.ndim),)
    return (tuple(n for n in dims if n < spec.ndim and spec.shape[n] == 1),)


@view_operator("squeeze", prepare=_squeeze_prepare, gradient=_reshape_back)
def squeeze(spec: Spec, dims: tuple[int, ...]) -> Any:
    """Without dims of size 1: all of them, or those named."""
    keep = [i for i in range(spec.ndim) if i not in dims]
    return tuple(spec.shape[i] for i in keep), tuple(spec.strides[i] for i in keep), 0


@view_operator(
    "unsqueeze",
    prepare=lambda spec, dim: (check_dim(dim, spec.ndim + 1),),
    gradient=lambda g, spec, dim: g.squeeze(dim),
)
def unsqueeze(spec: Spec, dim: int) -> Any:
    """A new dim of size 1 at ``dim``."""
    step = spec.shape[dim] * spec.strides[dim] if dim < spec.ndim else 1
    shape = (*spec.shape[:dim], 1, *spec.shape[dim:])
    return shape, (*spec.strides[:dim], step, *spec.strides[dim:]), 0
