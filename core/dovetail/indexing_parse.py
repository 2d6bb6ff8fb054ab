"""Reading an index expression: ``x[1, ..., None, mask]`` becomes one view and some index arrays.

Everything that only moves the origin, the strides or the shape (ints, slices, ``None``, ``...``) is
folded into a single (shape, strides, offset), so a chain of selections makes no tensor in between.
What selects by value (masks, integer arrays, lists, ``True``) is returned beside it. The meaning is
PyTorch's, which differs from NumPy's in two places: an int next to an index array is applied first
and does not count as one, and steps must be positive.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from dovetail import dtypes as d
from dovetail.warning import warn

__all__ = ["BOUNDS", "Advanced", "Parsed", "expression", "is_mask", "parse", "plain_key"]


class Advanced(NamedTuple):
    """One index by value, and the dimension of the view where it starts.

    Attributes:
        position: the first dimension of the view that it indexes.
        value: a Tensor, or an ndarray of int64, uint8 or bool; a mask spans ``value.ndim`` dims.
        dim: that dimension in the tensor itself, for messages.
    """

    position: int
    value: Any
    dim: int


class Parsed(NamedTuple):
    """What an index expression means for a tensor of known shape and strides.

    Attributes:
        shape, strides: of the view, in elements.
        offset: elements from the tensor's first element to the view's.
        steps: the kinds of view that were applied, in order: ``select slice unsqueeze``; empty
            where the view is the tensor itself.
        key: the index expression of the view alone, hashable; see :func:`expression`.
        advanced: the indices by value, in order; empty for a plain view.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    steps: list[str]
    key: tuple[Any, ...]
    advanced: list[Advanced]


_ONE_ROW = np.zeros(1, np.int64)
_NO_ROW = np.zeros(0, np.int64)
_WHOLE = (None, None, None)
_MASKS = frozenset((d.bool_, d.uint8, np.dtype(np.bool_), np.dtype(np.uint8)))
BOUNDS = frozenset((int, type(None)))


def plain_key(index: Any) -> tuple[Any, ...] | None:
    """A hashable form of an index of ints, slices, ``None`` and ``...``; None for any other.

    Slices become ``(start, stop, step)``: they are not hashable before Python 3.12. The key starts
    with ``"[]"``, so that it can stand beside others in one dictionary.
    """
    key: list[Any] = ["[]"]
    for item in index if index.__class__ is tuple else (index,):
        if item.__class__ is slice:
            item = (item.start, item.stop, item.step)
            # An equal float or bool would find the plan of the int and never be looked at.
            for bound in item:
                if bound.__class__ not in BOUNDS:
                    return None
        elif item.__class__ is not int and item is not None and item is not Ellipsis:
            return None
        key.append(item)
    return tuple(key)


def expression(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """The index that a key of :func:`plain_key` stands for."""
    return tuple(slice(*item) if item.__class__ is tuple else item for item in key[1:])


def parse(
    shape: tuple[int, ...], strides: tuple[int, ...], index: Any, tensor_type: type[Any]
) -> Parsed:
    """Read ``index`` for a tensor of this shape and these strides.

    Args:
        index: what stands between the brackets.
        tensor_type: the class of tensors, which may be indices themselves.

    Raises:
        IndexError: too many indices, an int out of bounds, or no index at all (``x["a"]``).
        ValueError: a slice whose step is not positive.

    Example:
        >>> parse((4, 5), (5, 1), (slice(1, 3), 2), object)[:3]
        ((2,), (5,), 7)
    """
    items = index if index.__class__ is tuple else _as_items(index, tensor_type)
    ndim = len(shape)
    if len(items) > ndim:
        _check_count(shape, items, index, tensor_type)
    new_shape: list[int] = []
    new_strides: list[int] = []
    steps: list[str] = []
    key: list[Any] = ["[]"]
    advanced: list[Advanced] = []
    offset = 0
    at = 0  # the tensor's dimension that the next item speaks of
    for item in items:
        kind = item.__class__
        if kind is slice:
            if at >= ndim:
                _too_many(ndim)
            size, stride = shape[at], strides[at]
            at += 1
            if item.start is None and item.stop is None and item.step is None:
                key.append(_WHOLE)
            else:
                start, stop, step = item.indices(size)
                key.append((start, stop, step))
                if step < 1:
                    raise ValueError("step must be greater than zero")
                if start or step != 1 or stop != size:
                    offset += start * stride
                    size = (stop - start + step - 1) // step if stop > start else 0
                    stride *= step
                    steps.append("slice")
            new_shape.append(size)
            new_strides.append(stride)
            continue
        if kind is not int:
            if item is None:
                # The stride that a dim of size 1 gets is never used; this one is PyTorch's.
                new_strides.append(shape[at] * strides[at] if at < ndim else 1)
                new_shape.append(1)
                key.append(None)
                steps.append("unsqueeze")
                continue
            if item is Ellipsis:
                stop = max(at, min(ndim, at + ndim - _count(items, tensor_type)))
                key += [_WHOLE] * (stop - at)
                new_shape += shape[at:stop]
                new_strides += strides[at:stop]
                at = stop
                continue
            item = _by_value(item, tensor_type)
            if item.__class__ is bool:
                advanced.append(Advanced(len(new_shape), _ONE_ROW if item else _NO_ROW, at))
                new_strides.append(shape[at] * strides[at] if at < ndim else 1)
                new_shape.append(1)
                key.append(None)
                steps.append("unsqueeze")
                continue
            if item.__class__ is not int:
                spans = item.ndim if is_mask(item) else 1
                if at + spans > ndim:
                    _too_many(ndim)
                advanced.append(Advanced(len(new_shape), item, at))
                key += [_WHOLE] * spans
                new_shape += shape[at : at + spans]
                new_strides += strides[at : at + spans]
                at += spans
                continue
        if at >= ndim:
            _too_many(ndim)
        size = shape[at]
        if not -size <= item < size:
            raise IndexError(f"index {item} is out of bounds for dimension {at} with size {size}")
        offset += (item + size if item < 0 else item) * strides[at]
        at += 1
        key.append(item)
        steps.append("select")
    new_shape += shape[at:]
    new_strides += strides[at:]
    return Parsed(tuple(new_shape), tuple(new_strides), offset, steps, tuple(key), advanced)


def is_mask(value: Any) -> bool:
    """Whether an index array selects by truth (bool, and uint8 as PyTorch has it)."""
    return value.dtype in _MASKS


def _too_many(ndim: int) -> NoReturn:
    raise IndexError(f"too many indices for tensor of dimension {ndim}")


def _count(items: Sequence[Any], tensor_type: type[Any]) -> int:
    """How many dimensions the items speak of; ``None``, ``...``, ``True`` and ``False`` of none."""
    count = 0
    for item in items:
        if isinstance(item, (tensor_type, np.ndarray)) and is_mask(item):
            count += item.ndim
        elif isinstance(item, (list, tuple, range)):
            array = _index_array(item)
            count += array.ndim if is_mask(array) else 1
        elif item is not None and item is not Ellipsis and item is not True and item is not False:
            count += 1
    return count


def _check_count(shape: tuple[int, ...], items: Sequence[Any], index: Any, kind: type[Any]) -> None:
    if _count(items, kind) <= len(shape):
        return
    if not shape and index.__class__ is not tuple:
        if isinstance(index, slice):
            if index.indices(0)[2] < 1:
                raise ValueError("step must be greater than zero")
            raise IndexError("slice() cannot be applied to a 0-dim tensor.")
        if isinstance(index, int) or hasattr(index, "__index__"):
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python "
                "or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
            )
    _too_many(len(shape))


# ------------------------------------------------------- what is not an int, slice, None or ...


def _as_items(index: Any, tensor_type: type[Any]) -> Sequence[Any]:
    """An index that is no plain tuple, as the sequence of its parts."""
    if isinstance(index, tuple):
        return index
    if _reads_as_tuple(index, tensor_type):
        warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated and will be "
            "changed in pytorch 2.9; use x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this "
            "will be interpreted as tensor index, x[torch.tensor(seq)], which will result either "
            "in an error or a different result",
            UserWarning,
        )
        return tuple(index)
    return (index,)


def _reads_as_tuple(index: Any, tensor_type: type[Any]) -> bool:
    """PyTorch's (once NumPy's) rule: a short list that holds lists, slices or tensors."""
    if not isinstance(index, (list, range)) or len(index) >= 32:
        return False
    return any(
        item is None or item is Ellipsis
        or isinstance(item, (tensor_type, slice, list, tuple, range, str, bytes, np.ndarray))
        for item in index
    )  # fmt: skip


def _by_value(item: Any, tensor_type: type[Any]) -> Any:
    """An int, a bool, a Tensor of at least one dimension, or an ndarray of at least one."""
    if item is True or item is False:
        return item
    if not isinstance(item, tensor_type):
        if isinstance(item, (list, tuple, range, np.ndarray, str, bytes)):
            item = _index_array(item)
        else:
            try:
                return operator.index(item)
            except TypeError:
                name = type(item).__name__
                if isinstance(item, np.generic):
                    name = f"numpy.{name}"
                raise IndexError(
                    "only integers, slices (`:`), ellipsis (`...`), None and long or byte "
                    f"Variables are valid indices (got {name})"
                ) from None
    is_batched = isinstance(item, tensor_type) and item._spec.batch is not None
    if item.ndim or (is_batched and not is_mask(item)):  # in a vmap each row has its own
        return item
    if is_mask(item):
        return bool(item.item())
    return int(item.item()) if _is_integral(item) else item


def _is_integral(item: Any) -> bool:
    return getattr(item.dtype, "numpy", item.dtype).kind in "iu"


def _index_array(item: Any) -> np.ndarray:
    """Lists, ranges and arrays as an index array: masks stay masks, other numbers become int64."""
    if isinstance(item, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(item).__name__}'")
    array = np.array(item)  # a copy: backward may want it after the caller has changed his own
    if array.dtype.kind not in "iufb":
        raise TypeError(
            f"an index must hold integers or bools, got {array.dtype} in a {type(item).__name__}"
        )
    if array.dtype.kind == "b" or array.dtype == np.uint8:
        return array
    return array.astype(np.int64, copy=False)
