"""Indices out of range, found where a device finds them: by the kernel that is given them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dovetail.backend.sentences import ALONG, FLAT, IN_SELF, TARGET
from dovetail.errors import OutOfRangeError

__all__ = ["INDEXED", "check_indices", "wrapped_index"]

INDEXED = {
    **dict.fromkeys(("gather", "scatter", "scatter_add", "scatter_reduce"), (1, 0, ALONG)),
    **dict.fromkeys(("index", "index_put", "index_add", "index_copy", "index_fill"), (1, 0, ALONG)),
    "gather_backward": (1, -1, ALONG),
    **dict.fromkeys(("index_select", "embedding"), (1, 0, IN_SELF)),
    **dict.fromkeys(("index_select_backward", "embedding_backward"), (1, -1, IN_SELF)),
    "embedding_sum": (1, 0, IN_SELF),
    "bag_largest": (1, 0, IN_SELF),
    "one_hot": (0, -1, ALONG),
    "cross_entropy": (1, 0, TARGET),
    "cross_entropy_backward": (2, 1, TARGET),
}
"""Kernel -> (the place of its index, of what that is an index into, the core's sentence)."""


def check_indices(
    name: str, arrays: Sequence[Any], attributes: Mapping[str, Any], own: str = ""
) -> None:
    """Look at every index that a kernel is given.

    Args:
        own: what is said of an index out of range in this call; empty: what the kernel's operator
            says.

    Raises:
        OutOfRangeError: one is out of range.
    """
    if name not in INDEXED:
        return
    place, of, sentence = INDEXED[name]
    index: np.ndarray = arrays[place]
    shape = arrays[of].shape
    dim = attributes.get("dim", 0)
    if sentence is TARGET:
        dim = min(1, len(shape) - 1)
    if name == "one_hot":
        dim = len(shape) - 1
    size = math.prod(shape[dim : dim + attributes.get("count", 1)])
    low = -size if name == "index_fill" else 0
    wrong = (index < low) | (index >= size)
    if "ignore_index" in attributes:
        wrong &= index != attributes["ignore_index"]
    if wrong.any():
        raise OutOfRangeError((own or sentence).format(index=index[wrong][0], dim=dim, size=size))


def wrapped_index(facts: Any) -> Any:
    """The kernel that brings indices into range, which knows the numbers that the user gave."""
    size, dim = facts.attributes["size"], facts.attributes["dim"]
    sentence = FLAT if dim is None else ALONG

    def kernel(given: Any, out: Any) -> None:
        index = given.open()
        wrong = (index < -size) | (index >= size)
        if wrong.any():
            raise OutOfRangeError(sentence.format(index=index[wrong][0], size=size, dim=dim))
        np.copyto(out.open(), np.where(index < 0, index + size, index))

    return kernel
