"""Where in memory an index leads: flat places, worked out a part at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = [
    "BLOCK",
    "add_flat",
    "along_first",
    "at",
    "blocks_of",
    "fancy",
    "grid_of",
    "is_half",
    "take",
]

KEPT = 1 << 16
"""The most elements of an offset grid that a specialised kernel keeps between calls."""


def grid_of(shape: tuple[int, ...], strides: tuple[int, ...], dim: int) -> np.ndarray:
    """What the dims other than ``dim`` add to a flat place: size 1 along ``dim``."""
    total = np.zeros((1,) * len(shape), np.int64)
    for i, (n, step) in enumerate(zip(shape, strides, strict=True)):
        if i != dim and n > 1:
            place = [1] * len(shape)
            place[i] = n
            total = total + (np.arange(n) * step).reshape(place)
    return total


BLOCK = 1 << 15
"""So many places are worked out at a time: few enough to stay in the cache."""


def along_first(part: np.ndarray, first: int, last: int) -> np.ndarray:
    """What broadcasts along dim 0 as it is; of anything else, the same part of dim 0."""
    return part if part.shape[0] == 1 else part[first:last]


def blocks_of(
    where: tuple[int, ...], strides: tuple[int, ...], dim: int
) -> Callable[[np.ndarray], Iterator[tuple[slice, np.ndarray]]]:
    """From an index of shape ``where`` along ``dim`` to places in memory with these strides.

    The function returned goes through the index in parts of dim 0.
    """
    step = strides[dim]
    total = math.prod(where)
    others = total // where[dim]
    kept = grid_of(where, strides, dim) if others <= KEPT else None
    rows = max(1, BLOCK * where[0] // total)

    def blocks(index: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        grid = grid_of(where, strides, dim) if kept is None else kept
        for first in range(0, where[0], rows):
            part = slice(first, first + rows)
            places = index[part] * step if step != 1 else index[part]
            if others > 1:
                places = places + along_first(grid, first, first + rows)
            yield part, places

    return blocks


def at(whole: tuple[slice, ...], *places: Any) -> tuple[Any, ...]:
    """A NumPy index of some whole dims and what comes after them."""
    return (*whole, *places)


def fancy(index: np.ndarray, dim: int) -> tuple[Any, ...]:
    """NumPy's own index for arrays that are not dense."""
    grid = np.indices(index.shape, sparse=True)
    return (*grid[:dim], index, *grid[dim + 1 :])


def take(input: np.ndarray, index: np.ndarray, dim: int, out: np.ndarray) -> None:
    """Rows along ``dim``; the index is in range."""
    # "clip" keeps NumPy from buffering the output; the index has been checked.
    if input.flags.c_contiguous:
        input.take(index, dim, out, "clip")
    else:
        out[...] = input[at((slice(None),) * dim, index)]


def add_flat(out: np.ndarray, places: np.ndarray, src: np.ndarray) -> None:
    """Add to places of a one-dimensional array, some of them more than once."""
    np.add.at(out, places.reshape(-1), np.broadcast_to(src, places.shape).reshape(-1))


def is_half(array: np.ndarray) -> bool:
    """Whether a floating-point type of 16 bits."""
    return array.dtype.itemsize == 2 and array.dtype.kind not in "iu"
