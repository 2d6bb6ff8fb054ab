"""From masks and integer arrays to the one index that ``index`` and ``index_put`` take.

Where all of them can be read on the host they are checked and brought together by NumPy, before any
kernel runs. Indices that live on a device are not waited for: those that count from the end are
brought into range there, and the device says which are not in range.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from dovetail import dtypes as d
from dovetail import raw
from dovetail.backend.sentences import ALONG
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.errors import OutOfRangeError
from dovetail.indexing_parse import Advanced, is_mask
from dovetail.ops.indexed.index_checks import host_values
from dovetail.ops.indexed.wrapping import WRAPPED_INDEX
from dovetail.ops.schema import OpDef
from dovetail.spec import spec_of
from dovetail.tensor import Tensor, new_tensor
from dovetail.warning import warn

__all__ = ["check_kinds", "from_array", "together"]


class _Block(NamedTuple):
    """An index by value, brought to a flat index over ``dims`` dims of ``size`` elements."""

    dim: int
    dims: int
    size: int
    value: Any  # int64: an ndarray in range where it can be read, else a Tensor
    tensor: Tensor | None = None  # the user's own index, where that is the same


_KINDS = frozenset((d.int64, d.int32, np.dtype(np.int64), np.dtype(np.int32)))


def check_kinds(shape: tuple[int, ...], advanced: list[Advanced]) -> None:
    """Check dtypes, and that masks have the shape of what they mask.

    Raises:
        IndexError: an index of another dtype, or a mask of another shape.
    """
    for position, value, _ in advanced:
        if value.dtype in _KINDS:
            continue
        if not is_mask(value):
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        if value.dtype.name == "uint8":
            warn(
                "indexing with dtype torch.uint8 is now deprecated, please use a dtype "
                "torch.bool instead.",
                UserWarning,
            )
        for i, n in enumerate(value.shape):
            if n != shape[position + i]:
                raise IndexError(
                    f"The shape of the mask {list(value.shape)} at index {i} does not match "
                    f"the shape of the indexed tensor {list(shape)} at index {position + i}"
                )


def _on_host(value: Any, x: Tensor) -> bool:
    """Whether the values can be read here and now without waiting for a device.

    Raises:
        RuntimeError: the index is on a device that is neither the host nor ``x``'s.
    """
    if not isinstance(value, Tensor):
        return True
    if value._spec.device.type == "meta" or value._spec.batch is not None:
        return False
    if state_of(value._spec.device).host_arrays:
        return True
    if value._spec.device is x._spec.device:
        return False
    raise RuntimeError(
        "indices should be either on cpu or on the same device as the indexed tensor "
        f"({x.device}), got one on {value.device}"
    )


def _host_block(entry: Advanced, shape: tuple[int, ...], check: bool) -> _Block:
    position, value, dim = entry
    array = value._materialize() if isinstance(value, Tensor) else value
    if is_mask(array):
        size = math.prod(shape[position : position + array.ndim])
        return _Block(position, array.ndim, size, np.flatnonzero(array))
    size = shape[position]
    # As unsigned numbers the negative ones are the largest: one pass finds what is out of range.
    if array.size and int(np.maximum.reduce(array.view(_UNSIGNED[array.dtype]), None)) >= size:
        array = _into_range(array, size, dim, check)
    elif isinstance(value, Tensor) and array.dtype == np.int64:
        return _Block(position, 1, size, array, value)
    return _Block(position, 1, size, array.astype(np.int64, copy=False))


_UNSIGNED = {np.dtype(np.int64): np.uint64, np.dtype(np.int32): np.uint32}


def _into_range(array: np.ndarray, size: int, dim: int, check: bool) -> np.ndarray:
    if not check:
        return array % max(size, 1)
    outside = (array < -size) | (array >= size)
    if outside.any():
        wrong = array[outside][0]
        raise OutOfRangeError(ALONG.format(index=wrong, dim=dim, size=size))
    return np.where(array < 0, array + size, array)


def _device_block(
    entry: Advanced, shape: tuple[int, ...], x: Tensor, before: int, wrap: OpDef
) -> _Block:
    """``before``: how many places the digits before this one have; 0: it is the only one."""
    position, value, dim = entry
    if not isinstance(value, Tensor):
        value = from_array(value, x)
    elif value._spec.device is not x._spec.device:
        value = value.to(x._spec.device)
    count = value.ndim if is_mask(value) else 1
    size = math.prod(shape[position : position + count])
    if is_mask(value):
        return _Block(position, count, size, value.reshape(-1).nonzero().reshape(-1))
    if value._spec.batch is not None and state_of(value._spec.device).host_arrays:
        _into_range(host_values(value), size, dim, x._spec.numel > 0)
    # Reading the values back to check them would stop the device.
    value = value.to(d.int64)
    if not x._spec.numel:  # nothing can be read or written, so nobody asks
        return _Block(position, 1, size, value.remainder(size) if size else value)
    # An index outside must leave the number outside that all digits make, whatever the others are.
    value = call(wrap, (value,), (size, dim, -before * size))
    return _Block(position, 1, size, value)


def from_array(array: np.ndarray, x: Tensor) -> Tensor:
    """A host array as a tensor on ``x``'s device; shares memory where it can."""
    kind = d.int64 if array.dtype == np.int64 else d.from_numpy_dtype(array.dtype)
    state = state_of(x._spec.device)
    if not array.flags.c_contiguous:
        array = array.copy()
    if state.host_arrays:
        return new_tensor(spec_of(array.shape, kind, state.device), array)
    if x.is_meta:
        return raw.empty(spec_of(array.shape, kind, state.device))
    return raw.from_host(array, kind, state)


def _broadcast(blocks: list[_Block]) -> tuple[int, ...]:
    shapes = [tuple(b.value.shape) for b in blocks]
    if shapes.count(shapes[0]) == len(shapes):
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = ", ".join(str(list(s)) for s in shapes)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}"
        ) from None


def together(
    x: Tensor, advanced: list[Advanced], wrap: OpDef = WRAPPED_INDEX
) -> tuple[Tensor, Tensor, int, int]:
    """``x`` with the indexed dims side by side, their one index, where they start, how many.

    Args:
        wrap: ``wrapped_index``, by the name of which an index out of range is told.

    Raises:
        IndexError: wrong dtype, mask shape, out of bounds, or shapes that do not broadcast.
    """
    shape = tuple(x._spec.shape)
    check_kinds(shape, advanced)
    on_host = all([_on_host(entry.value, x) for entry in advanced])  # noqa: C419 (checks each)
    if on_host:
        check = x._spec.numel > 0
        blocks = [_host_block(entry, shape, check) for entry in advanced]
    else:
        blocks, before = [], int(len(advanced) > 1)
        for entry in advanced:
            blocks.append(_device_block(entry, shape, x, before, wrap))
            before *= blocks[-1].size
    selected = _broadcast(blocks)
    if x._spec.numel == 0 and 0 not in selected and any(b.size == 0 for b in blocks):
        raise IndexError("index is out of bounds for dimension with size 0")
    dim, count = blocks[0].dim, sum([b.dims for b in blocks])
    if len(blocks) == 1:
        flat = blocks[0].value if blocks[0].tensor is None else blocks[0].tensor
    else:
        if any(a.dim + a.dims != b.dim for a, b in itertools.pairwise(blocks)):
            named = [i for b in blocks for i in range(b.dim, b.dim + b.dims)]
            x = x.permute(*named, *[i for i in range(x.ndim) if i not in named])
            dim = 0
        # Several indices count like the digits of one number.
        flat = blocks[0].value
        for block in blocks[1:]:
            flat = flat * block.size + block.value
    if not isinstance(flat, Tensor):
        flat = from_array(flat, x)
    elif flat._spec.device is not x._spec.device:
        flat = flat.to(x._spec.device)
    return x, flat, dim, count
