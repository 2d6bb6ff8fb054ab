"""Shapes brought together: broadcast_to, broadcast_tensors, atleast_1d, meshgrid; all are views."""

from __future__ import annotations

from typing import Any

from dovetail.ops.expose import publish
from dovetail.ops.families import broadcast_shapes as common_shape
from dovetail.spec import Size
from dovetail.tensor import Tensor

__all__ = [
    "at_least", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_shapes",
    "broadcast_tensors", "broadcast_to", "meshgrid",
]  # fmt: skip


@publish()
def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """The tensor expanded to ``size``: a view with stride 0 where it repeats."""
    return input.expand(size)


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


def at_least(x: Tensor, ndim: int) -> Tensor:
    """``x`` with dims of size 1 added up to ``ndim``, as ``atleast_1d`` and its like do."""
    if ndim == 1:
        return x.reshape(1) if not x._spec.ndim else x
    shape = tuple(x._spec.shape)
    if len(shape) >= ndim:
        return x
    if ndim == 2:
        return x.reshape(1, *(shape or (1,)))
    wide = {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}[len(shape)]
    return x.reshape(wide)


def _atleast(ndim: int) -> Any:
    def function(*tensors: Any) -> Any:
        if len(tensors) == 1:
            if isinstance(tensors[0], Tensor):
                return at_least(tensors[0], ndim)
            tensors = tuple(tensors[0])
        return tuple(at_least(x, ndim) for x in tensors)

    function.__name__ = function.__qualname__ = f"atleast_{ndim}d"
    function.__doc__ = f"Each tensor with at least {ndim} dims, as a view; a tuple of several."
    return publish(method=False)(function)


atleast_1d, atleast_2d, atleast_3d = _atleast(1), _atleast(2), _atleast(3)


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
