"""Ways for the same values to lie in memory. Non-contiguous is the rule; contiguous is one of six.

Memory that belongs to no element is filled with values that show when they are read: NaN in
floats, extreme numbers in integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d

__all__ = ["LAYOUTS", "filler", "place", "place_all"]


def filler(dtype: d.dtype) -> Any:
    """What fills memory that nothing should read."""
    if dtype is d.bool_:
        return True
    if dtype.category == 1:
        return d.iinfo(dtype).max - 3
    return math.nan


def place(array: np.ndarray, layout: str, device: Any) -> tuple[Any, np.ndarray]:
    """``array`` on a device in a layout, and the values that it then shows.

    The values are the array's own, but for ``expanded``, where one dim repeats its first.
    """
    return _PLACES[layout](array, device)


def place_all(value: Any, layout: str, device: Any, expands: bool = True) -> tuple[Any, Any]:
    """:func:`place` for every array in nested lists and tuples; everything else as it is.

    Args:
        expands: integer arrays may repeat values too; False where they are indices to write to,
            which then would collide.
    """
    if isinstance(value, np.ndarray):
        if layout == "expanded" and not expands and value.dtype.kind in "iu":
            layout = "contiguous"
        return place(value, layout, device)
    if isinstance(value, (list, tuple)):
        pairs = [place_all(v, layout, device, expands) for v in value]
        kind = type(value)
        return kind(p[0] for p in pairs), kind(p[1] for p in pairs)
    return value, value


def _base(shape: tuple[int, ...], like: np.ndarray) -> np.ndarray:
    base = np.empty(shape, like.dtype)
    base[...] = np.asarray(filler(d.from_numpy_dtype(like.dtype))).astype(like.dtype)
    return base


def _strides(shape: tuple[int, ...]) -> list[int]:
    strides: list[int] = []
    step = 1
    for n in reversed(shape):
        strides.insert(0, step)
        step *= max(n, 1)
    return strides


def _contiguous(array: np.ndarray, device: Any) -> tuple[Any, np.ndarray]:
    return dt.tensor(np.ascontiguousarray(array).reshape(array.shape), device=device), array


def _offset(array: np.ndarray, device: Any) -> tuple[Any, np.ndarray]:
    base = _base((array.size + 8,), array)
    base[3 : 3 + array.size] = array.reshape(-1)
    flat = dt.tensor(base, device=device)
    return flat.as_strided(array.shape, _strides(array.shape), 3), array


def _transposed(array: np.ndarray, device: Any) -> tuple[Any, np.ndarray]:
    if array.ndim < 2:
        return _stepped(array, device)
    turned, _ = _contiguous(array.transpose(), device)
    return turned.permute(tuple(reversed(range(array.ndim)))), array


def _stepped(array: np.ndarray, device: Any) -> tuple[Any, np.ndarray]:
    if not array.ndim:
        return _offset(array, device)
    base = _base((*array.shape[:-1], 2 * array.shape[-1] + 1), array)
    base[..., 1::2] = array
    flat = dt.tensor(base.reshape(-1), device=device)
    strides = _strides(base.shape)
    strides[-1] = 2
    return flat.as_strided(array.shape, strides, min(1, flat.numel())), array


def _expanded(array: np.ndarray, device: Any) -> tuple[Any, np.ndarray]:
    dims = [i for i, n in enumerate(array.shape) if n > 1]
    if not dims or not array.size:
        return _offset(array, device)
    first = np.take(array, [0], dims[0])
    tensor, _ = _contiguous(array, device)  # other values lie behind those that are repeated
    tensor = tensor.narrow(dims[0], 0, 1).expand(*array.shape)
    return tensor, np.broadcast_to(first, array.shape).copy()


def _mixed(array: np.ndarray, device: Any) -> tuple[Any, np.ndarray]:
    """Dims in another order, steps in the innermost, gaps between the rows, and an offset."""
    if not array.ndim:
        return _offset(array, device)
    turned = np.moveaxis(array, 0, -1)
    base = _base((*turned.shape[:-1], 3 * turned.shape[-1] + 2), array)
    base[..., 2 : 2 + 3 * turned.shape[-1] : 3] = turned
    flat = dt.tensor(np.concatenate([_base((5,), array), base.reshape(-1)]), device=device)
    strides = _strides(base.shape)
    strides[-1] = 3
    view = flat.as_strided(turned.shape, strides, 7 if array.size else 0)
    return view.permute((array.ndim - 1, *range(array.ndim - 1))), array


_PLACES: dict[str, Callable[[np.ndarray, Any], tuple[Any, np.ndarray]]] = {
    "contiguous": _contiguous,
    "offset": _offset,
    "transposed": _transposed,
    "stepped": _stepped,
    "expanded": _expanded,
    "mixed": _mixed,
}

LAYOUTS = tuple(_PLACES)
"""Their names, the easiest first."""
