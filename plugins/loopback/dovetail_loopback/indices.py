"""Indices out of range, found where a device finds them: by the kernel that is given them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["check_indices"]

_ALONG = "index {index} is out of bounds for dimension {dim} with size {size}"
_IN_SELF = "index out of range in self"
_TARGET = "Target {index} is out of bounds."

_INDEXED = {
    **dict.fromkeys(("gather", "scatter", "scatter_add", "scatter_reduce"), (1, 0, _ALONG)),
    **dict.fromkeys(
        ("index", "index_put", "index_add", "index_copy", "index_fill"), (1, 0, _ALONG)
    ),
    "gather_backward": (1, -1, _ALONG),
    **dict.fromkeys(("index_select", "embedding"), (1, 0, _IN_SELF)),
    **dict.fromkeys(("index_select_backward", "embedding_backward"), (1, -1, _IN_SELF)),
    "bag_largest": (1, 0, _IN_SELF),
    "one_hot": (0, -1, _ALONG),
    "cross_entropy": (1, 0, _TARGET),
    "cross_entropy_backward": (2, 1, _TARGET),
}
"""Kernel -> (the place of its index, of what that is an index into, the core's sentence)."""


def check_indices(name: str, arrays: Sequence[Any], attributes: Mapping[str, Any]) -> None:
    """Look at every index that a kernel is given.

    Raises:
        IndexError: one is out of range.
    """
    if name not in _INDEXED:
        return
    place, of, sentence = _INDEXED[name]
    index: np.ndarray = arrays[place]
    shape = arrays[of].shape
    dim = attributes.get("dim", 0)
    if sentence is _TARGET:
        dim = min(1, len(shape) - 1)
    if name == "one_hot":
        dim = len(shape) - 1
    size = math.prod(shape[dim : dim + attributes.get("count", 1)])
    wrong = (index < 0) | (index >= size)
    if "ignore_index" in attributes:
        wrong &= index != attributes["ignore_index"]
    if wrong.any():
        raise IndexError(sentence.format(index=index[wrong][0], dim=dim, size=size))
