"""What the core passes to kernels: a place in a device's memory, as numbers alone."""

from __future__ import annotations

from typing import Any

from dovetail.dtypes import dtype as DType

__all__ = ["DEVICE_SHIFT", "Region"]

DEVICE_SHIFT = 44
"""Bits of an address that say where on a device; those above are the device's number plus 1."""


class Region:
    """Elements at an address of a device; the host cannot reach them.

    Attributes:
        address: of the first element; the device is in its upper bits.
        shape, dtype: of the elements.
        strides: bytes, per dim.
    """

    __slots__ = ("address", "key")

    def __init__(self, address: int, shape: Any, strides: Any, dtype: DType) -> None:
        self.address = address
        self.key = (shape, strides, dtype)

    shape = property(lambda self: self.key[0])
    strides = property(lambda self: self.key[1])
    dtype = property(lambda self: self.key[2])

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("the host cannot read device memory; copy it with .cpu()")

    def __repr__(self) -> str:
        return f"Region({self.address:#x}, shape={self.shape}, {self.dtype.name})"
