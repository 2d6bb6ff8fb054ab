"""What the core passes to kernels: a place in a device's memory, as numbers alone."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

from dovetail.backend import StridedView, collapse
from dovetail.dtypes import dtype as DType
from dovetail_dlp.machine.tile import dense_strides

__all__ = [
    "DEVICE_SHIFT", "Region", "at_least_1d", "dense", "expanded", "flattened", "merged_keys",
    "picked", "sides",
]  # fmt: skip

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


def sides(shape: tuple[int, ...], dim: int) -> tuple[int, int, int]:
    """How many elements are before, in and after a dim; a 0-d shape counts as (1,)."""
    shape = shape or (1,)
    return prod(shape[:dim]), shape[dim], prod(shape[dim + 1 :])


def dense(x: Region, shape: tuple[int, ...]) -> Region:
    """A dense region in another shape."""
    return Region(x.address, shape, dense_strides(shape, x.dtype.itemsize), x.dtype)


def at_least_1d(x: Region) -> Region:
    """A 0-d region as one of one element."""
    return x if x.shape else Region(x.address, (1,), (x.dtype.itemsize,), x.dtype)


def picked(x: Region, i: int) -> Region:
    """Element ``i`` along the first dim."""
    return Region(x.address + i * x.strides[0], x.shape[1:], x.strides[1:], x.dtype)


def expanded(x: Region, lead: tuple[int, ...]) -> Region:
    """A region of matrices broadcast to leading dims ``lead``."""
    own = len(x.shape) - 2
    pairs = zip(x.shape[:own], x.strides, lead[len(lead) - own :], strict=False)
    steps = (0,) * (len(lead) - own) + tuple(s if n == m else 0 for n, s, m in pairs)
    return Region(x.address, (*lead, *x.shape[own:]), (*steps, *x.strides[own:]), x.dtype)


def flattened(x: Region) -> Region | None:
    """Three dims, the leading ones merged; None where strides do not allow it."""
    moving = [(n, s) for n, s in zip(x.shape[:-2], x.strides, strict=False) if n > 1]
    for (_, outer), (n, inner) in pairwise(moving):
        if outer != n * inner:
            return None
    shape = (prod(x.shape[:-2]), *x.shape[-2:])
    return Region(x.address, shape, (moving[-1][1] if moving else 0, *x.strides[-2:]), x.dtype)


def merged_keys(*regions: Region) -> list[Any]:
    """``(shape, strides, dtype)`` of regions of one shape with the fewest dims; the last leads."""
    loops = collapse(*(StridedView(None, 0, *r.key) for r in reversed(regions)))
    keys = []
    for region, strides in zip(regions, reversed(loops.strides), strict=True):
        steps = tuple(s * region.dtype.itemsize for s in strides) if loops.shape else ()
        keys.append((loops.shape, steps, region.dtype))
    return keys
