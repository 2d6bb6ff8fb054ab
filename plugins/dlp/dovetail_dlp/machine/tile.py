"""What a kernel's instructions work on: places in on-chip memory, in GDRAM, and numbers."""

from __future__ import annotations

from math import prod
from typing import Any

from dovetail.dtypes import dtype as DType

__all__ = ["Argument", "Buffer", "Scalar", "Tile", "dense_strides"]

Shape = tuple[int, ...]


def dense_strides(shape: Shape, itemsize: int) -> Shape:
    """Row-major strides in bytes."""
    strides, step = [], itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


class Buffer:
    """On-chip memory of one task.

    Attributes:
        space: ``nram``, ``wram`` or ``shared``.
        address: bytes from the memory's start.
        pending: a DMA that has been started and not waited for: ``"load"``, ``"store"`` or empty.
        is_written: something was written to it.
        is_alive: False when the tile of a loop that it was made in is over.
        terms: products of int8 that the longest of the sums in it has.
    """

    __slots__ = (
        "address", "is_alive", "is_written", "nbytes", "number", "pending", "space", "terms",
    )  # fmt: skip

    def __init__(self, space: str, address: int, nbytes: int, number: int) -> None:
        self.space, self.address, self.nbytes, self.number = space, address, nbytes, number
        self.pending = ""
        self.is_written = False
        self.is_alive = True
        self.terms = 0


class Argument:
    """A kernel's argument in GDRAM, by its place in the call."""

    __slots__ = ("number",)
    space = "gdram"
    address = 0

    def __init__(self, number: int) -> None:
        self.number = number


class Scalar:
    """A number that a launch is given, plus a constant."""

    __slots__ = ("constant", "number")

    def __init__(self, number: int, constant: Any = 0) -> None:
        self.number, self.constant = number, constant

    def __add__(self, other: Any) -> Scalar:
        return Scalar(self.number, self.constant + other)

    __radd__ = __add__


class Tile:
    """An N-dimensional place in memory; slicing and reshaping make others over the same memory.

    Attributes:
        shape: the size of each dim.
        dtype: of the elements.
        strides: bytes from one element to the next, per dim.
        offset: bytes from the memory's start.
    """

    __slots__ = ("dtype", "home", "offset", "shape", "strides")

    def __init__(self, home: Any, offset: int, shape: Shape, strides: Shape, dtype: DType) -> None:
        self.home, self.offset, self.shape = home, offset, shape
        self.strides, self.dtype = strides, dtype

    @property
    def size(self) -> int:
        """How many elements."""
        return prod(self.shape)

    @property
    def ndim(self) -> int:
        """How many dims."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def is_dense(self) -> bool:
        """Row-major without gaps."""
        step = self.dtype.itemsize
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and stride != step:
                return False
            step *= n
        return True

    @property
    def rows(self) -> int:
        """How many dense pieces a DMA moves it in."""
        step, dense = self.dtype.itemsize, 1
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and stride != step:
                break
            step *= n
            dense *= n
        return max(1, prod(self.shape) // max(1, dense))

    @property
    def flat(self) -> Tile:
        """One dim; the tile must be dense."""
        return self.reshape(self.size)

    def __getitem__(self, key: Any) -> Tile:
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            fill = len(self.shape) - len(keys) + 1
            keys = keys[:at] + (slice(None),) * fill + keys[at + 1 :]
        if len(keys) > len(self.shape):
            raise IndexError(f"a tile of shape {self.shape} has no {len(keys)} dims")
        keys += (slice(None),) * (len(self.shape) - len(keys))
        offset, shape, strides = self.offset, [], []
        for part, n, stride in zip(keys, self.shape, self.strides, strict=True):
            if isinstance(part, slice):
                start, stop, step = part.indices(n)
                if step < 1:
                    raise IndexError(f"a tile's slices go forward, got step {step}")
                offset += start * stride
                shape.append(max(0, -(-(stop - start) // step)))
                strides.append(stride * step)
            else:
                if not -n <= part < n:
                    raise IndexError(f"index {part} is out of range for a dim of size {n}")
                offset += (part + n if part < 0 else part) * stride
        return Tile(self.home, offset, tuple(shape), tuple(strides), self.dtype)

    def reshape(self, *shape: int) -> Tile:
        """The same elements in another shape; one dim may be -1, and the tile must be dense.

        Raises:
            ValueError: the sizes differ, or the tile has gaps.
        """
        if -1 in shape:
            rest = -prod(shape)
            shape = tuple(self.size // rest if n == -1 else n for n in shape)
        if prod(shape) != self.size or not (self.is_dense or not self.size):
            kind = "dense" if self.is_dense else "strided"
            raise ValueError(f"reshape: a {kind} tile of shape {self.shape} cannot be {shape}")
        return Tile(
            self.home, self.offset, shape, dense_strides(shape, self.dtype.itemsize), self.dtype
        )

    def transpose(self, *dims: int) -> Tile:
        """Dims in another order."""
        shape = tuple(self.shape[d] for d in dims)
        return Tile(self.home, self.offset, shape, tuple(self.strides[d] for d in dims), self.dtype)

    def expand(self, *shape: int) -> Tile:
        """Dims of size 1, and dims before the first, repeated by stride 0."""
        lead = len(shape) - len(self.shape)
        strides = (0,) * lead + tuple(
            s if n == m else 0
            for n, s, m in zip(self.shape, self.strides, shape[lead:], strict=True)
        )
        return Tile(self.home, self.offset, tuple(shape), strides, self.dtype)

    def view(self, dtype: DType) -> Tile:
        """The same bytes as another dtype; a dense tile of one dim, where the sizes differ.

        Raises:
            ValueError: the bytes are no whole number of elements, or the tile has gaps.
        """
        if dtype.itemsize == self.dtype.itemsize:
            return Tile(self.home, self.offset, self.shape, self.strides, dtype)
        if self.ndim != 1 or not self.is_dense or self.nbytes % dtype.itemsize:
            raise ValueError(f"view: {self!r} has no whole number of {dtype.name} in a row")
        shape = (self.nbytes // dtype.itemsize,)
        return Tile(self.home, self.offset, shape, (dtype.itemsize,), dtype)

    def __repr__(self) -> str:
        return f"{self.home.space} tile of shape {self.shape}, {self.dtype.name}"
