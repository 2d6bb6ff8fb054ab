"""The array type of the backend's kernels: elements of a buffer, reached by strides."""

from __future__ import annotations

from typing import Any

from dovetail.backend import StridedView
from dovetail.dtypes import dtype as DType

__all__ = ["Array"]


class Array(StridedView):
    """A :class:`StridedView` that trusts the core: one is made for each tensor, so it is cheap.

    ``offset`` and ``strides`` are in bytes.
    """

    __slots__ = ()

    def __init__(
        self,
        buffer: Any,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: DType,
    ) -> None:
        self.buffer = buffer
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
