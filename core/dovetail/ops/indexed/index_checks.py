"""Checks of indices, before a kernel runs, where they can be read without waiting for a device."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.backend.sentences import ALONG
from dovetail.backend.state import state_of
from dovetail.errors import OutOfRangeError
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "INDICES", "check_bounds", "checked_dim", "host_values", "need_tensor", "no_larger",
    "of_all_examples", "true_anywhere", "values_of",
]  # fmt: skip

INDICES = (d.int64, d.int32)

_FEW = 64
"""So many numbers are looked at faster one by one than by NumPy."""


def check_bounds(
    index: Tensor, size: int, sentence: str, dim: int = 0, *, wraps: bool = False
) -> None:
    """Look at every index, where the data is in host memory.

    Args:
        sentence: what is said of the first wrong index, with ``{index}``, ``{size}`` and ``{dim}``
            (see ``dovetail.backend.sentences``).
        wraps: indices from ``-size`` on count from the end.

    Raises:
        OutOfRangeError: one is outside.
    """
    spec = index._spec
    if not spec.numel or not state_of(spec.device).host_arrays:
        return
    array = host_values(index)
    low = -size if wraps else 0
    if spec.numel <= _FEW:
        listed = array.reshape(-1).tolist()
        if min(listed) >= low and max(listed) < size:
            return
    elif not wraps and spec.dtype is d.int64:
        # Seen as unsigned, a negative index is a huge one.
        if int(array.view(np.uint64).max()) < size:
            return
    elif int(array.min()) >= low and int(array.max()) < size:
        return
    wrong = int(array[(array < low) | (array >= size)].flat[0])
    raise OutOfRangeError(sentence.format(index=wrong, size=size, dim=dim))


def host_values(x: Tensor) -> np.ndarray:
    """The array of a tensor in host memory; of all examples inside of a vmap."""
    array: np.ndarray = of_all_examples(x)._materialize()
    return array


def values_of(x: Tensor) -> np.ndarray | None:
    """The array of a tensor, which waits for its device; None of a tensor without data."""
    if x._spec.device.type == "meta":
        return None
    found: Any = of_all_examples(x)
    return host_values(found if state_of(x._spec.device).host_arrays else found.detach().cpu())


def true_anywhere(flags: Any) -> bool:
    """Whether any element is true; of any example inside of a vmap."""
    return bool(of_all_examples(flags).any())


def of_all_examples(x: Tensor) -> Any:
    """``x``, or inside of a vmap the tensor of all examples, to look at and not to compute with."""
    while x._spec.batch is not None:
        x = x._array.value
    return x


def need_tensor(name: str, label: str, position: int, value: Any) -> Tensor:
    """``value``, or TypeError where it is no Tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}(): argument '{label}' (position {position}) must be Tensor, not "
            f"{type(value).__name__}"
        )
    return value


def checked_dim(name: str, input: Tensor, dim: int, index: Any) -> int:
    """``dim`` counted from the front, with the index looked at: its dtype and its values."""
    need_tensor(name, "index", 2, index)
    dim = check_dim(dim, input._spec.ndim)
    if index._spec.dtype not in INDICES:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    size = input._spec.shape[dim] if input._spec.ndim else 1
    check_bounds(index, size, ALONG, dim)
    return dim


def _at_least_1d(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape) or (1,)


def no_larger(index: Spec, other: Spec, dim: int | None) -> bool:
    """Whether no dim of ``index`` but ``dim`` is larger than that of ``other``."""
    pairs = zip(_at_least_1d(index.shape), _at_least_1d(other.shape), strict=True)
    return all(n <= m or i == dim for i, (n, m) in enumerate(pairs))
