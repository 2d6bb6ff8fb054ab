"""What kernels find wrong with the indices they are given, and what the host raises for it.

A kernel that is given indices has the device's buffer ``faults`` as its last one and, as its last
number, :func:`fault_of` its operator (``src/fault.cl``). It reads and writes nothing outside, and
puts down the first index that is out of range. Who queues it sets the device's ``suspect``, and
where values come to the host next, the device looks at the buffer and raises :func:`found`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

__all__ = ["ALONG", "FLAT", "IN_SELF", "TARGET", "WORDS", "IndexFault", "fault_of", "found"]

WORDS = 8
"""32-bit words of the buffer."""

ALONG = "index {index} is out of bounds for dimension {dim} with size {size}"
FLAT = "out of range: tried to access index {index} on a tensor of {size} elements."
IN_SELF = "index out of range in self: index {index}, size {size}"
TARGET = "Target {index} is out of bounds."

_THERE = 2

_known: list[tuple[str, str, int]] = []


class IndexFault(IndexError, RuntimeError):
    """An index that a kernel found to be out of range; the host raises the one or the other."""


@functools.cache
def fault_of(name: str, sentence: str, dim: int = 0) -> Any:
    """The number that kernels of an operator report by.

    Args:
        name: the operator.
        sentence: what the core says of such an index, with ``{index}``, ``{size}`` and ``{dim}``.
    """
    _known.append((name, sentence, dim))
    return np.uint32(_known.index((name, sentence, dim)))


def found(words: np.ndarray) -> IndexFault | None:
    """What the buffer (uint32) says; None: nothing, or not yet."""
    if words[0] != _THERE:
        return None
    name, sentence, dim = _known[int(words[1])]
    index, size = words[2:6].view(np.int64).tolist()
    text = sentence.format(index=index, size=size, dim=dim)
    return IndexFault(f"{text} ({name}, found when values were asked for)")
