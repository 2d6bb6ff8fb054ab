"""What a loopback kernel is given: a region of a device's memory that the host cannot read."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Array"]


class Array:
    """A region of a device's memory: what kernels take, and what the host cannot read.

    Attributes:
        index: the device that it is on.
    """

    __slots__ = ("_data", "index")

    def __init__(self, data: np.ndarray, index: int) -> None:
        self._data = data
        self.index = index

    def open(self) -> np.ndarray:
        """The elements, for a kernel."""
        return self._data

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("the host read device memory; copy it with d2h")

    __iter__ = __len__ = __getitem__ = __setitem__ = __array__
