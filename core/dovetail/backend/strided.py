"""Strided views of raw buffers: the array type of a device whose memory has no arrays of its own.

``Runtime.view`` may return a :class:`StridedView` as it is. What a kernel launcher then asks of
several of them at once is here: one shape for all (:func:`broadcast`), the fewest loops that reach
every element (:func:`collapse`), and whether 32 bits are enough for an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from dovetail.dtypes import dtype as DType

__all__ = ["Loops", "StridedView", "broadcast", "collapse", "needs_64_bit"]

Shape = tuple[int, ...]


class StridedView:
    """Elements of a buffer, reached by strides.

    Args:
        buffer: what ``Runtime.alloc`` returned; never looked into.
        offset: bytes from the buffer's start to the first element.
        shape: the size of each dim.
        strides: bytes from one element to the next, per dim; 0 repeats, never negative.
        dtype: the elements' type.

    Raises:
        ValueError: shape and strides differ in length, or an offset or stride is negative or no
            multiple of the element's size.

    Example:
        >>> from dovetail.dtypes import float32
        >>> rows = StridedView("handle", 0, (3, 4), (16, 4), float32)
        >>> rows.numel, rows.itemsize, rows.is_contiguous, rows.span
        (12, 4, True, 48)
        >>> columns = StridedView("handle", 8, (4, 3), (4, 16), float32)
        >>> columns.is_contiguous, columns.element_strides, columns.element_offset
        (False, (1, 4), 2)
    """

    __slots__ = ("buffer", "dtype", "offset", "shape", "strides")

    def __init__(
        self, buffer: Any, offset: int, shape: Shape, strides: Shape, dtype: DType
    ) -> None:
        if len(shape) != len(strides):
            raise ValueError(
                f"StridedView: shape and strides must have one number per dim, got {shape} and "
                f"{strides}"
            )
        size = dtype.itemsize
        for step in (offset, *strides):
            if step < 0 or step % size:
                raise ValueError(
                    f"StridedView: offset and strides must be multiples of {size} bytes "
                    f"({dtype.name}) of at least 0, got offset {offset} and strides {strides}"
                )
        self.buffer = buffer
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        """How many dims."""
        return len(self.shape)

    @property
    def numel(self) -> int:
        """How many elements; 1 without dims."""
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def element_offset(self) -> int:
        """Elements from the buffer's start to the first element."""
        return self.offset // self.dtype.itemsize

    @property
    def element_strides(self) -> Shape:
        """Elements from one element to the next, per dim."""
        size = self.dtype.itemsize
        return tuple(s // size for s in self.strides)

    @property
    def span(self) -> int:
        """Bytes from the first element's first to the last one's last; 0 where there are none."""
        if not self.numel:
            return 0
        pairs = zip(self.shape, self.strides, strict=True)
        return self.dtype.itemsize + sum((n - 1) * s for n, s in pairs)

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements lie row-major without gaps; a dim of size 1 may have any stride."""
        step = self.dtype.itemsize
        if not self.numel:
            return True
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and stride != step:
                return False
            step *= n
        return True

    def expand(self, shape: Sequence[int]) -> StridedView:
        """The same elements repeated to ``shape`` with stride 0.

        Raises:
            ValueError: a dim is neither 1 nor the size that is wanted.
        """
        shape = tuple(shape)
        lead = len(shape) - len(self.shape)
        own = zip(self.shape, self.strides, shape[max(lead, 0) :], strict=False)
        if lead < 0 or any(n not in (1, m) for n, _, m in own):
            raise ValueError(
                f"StridedView.expand: every dim must be 1 or the size wanted, got {self.shape} "
                f"for {shape}"
            )
        pairs = zip(self.shape, self.strides, shape[lead:], strict=True)
        strides = (0,) * lead + tuple(s if n == m else 0 for n, s, m in pairs)
        return StridedView(self.buffer, self.offset, shape, strides, self.dtype)

    def __repr__(self) -> str:
        return (
            f"StridedView(offset={self.offset}, shape={self.shape}, strides={self.strides}, "
            f"{self.dtype.name})"
        )


def broadcast(*views: StridedView) -> tuple[StridedView, ...]:
    """The views, each expanded to the shape that all of them broadcast to.

    Raises:
        ValueError: two sizes of a dim differ and neither is 1.

    Example:
        >>> from dovetail.dtypes import int8
        >>> row = StridedView("a", 0, (4,), (1,), int8)
        >>> column = StridedView("b", 0, (3, 1), (1, 1), int8)
        >>> broadcast(row, column)
        (StridedView(offset=0, shape=(3, 4), strides=(0, 1), int8),
         StridedView(offset=0, shape=(3, 4), strides=(1, 0), int8))
    """
    ndim = max((v.ndim for v in views), default=0)
    shape = []
    for dim in range(-ndim, 0):
        sizes = {v.shape[dim] for v in views if v.ndim >= -dim} - {1}
        if len(sizes) > 1:
            shapes = " and ".join(str(v.shape) for v in views)
            raise ValueError(f"broadcast: sizes must be equal or 1, got shapes {shapes}")
        shape.append(sizes.pop() if sizes else 1)
    return tuple(v if v.shape == tuple(shape) else v.expand(shape) for v in views)


class Loops(NamedTuple):
    """Nested loops over the elements of several operands, the outermost first.

    Attributes:
        shape: how often each loop runs, none of them once; ``()``: there is one element.
        strides: per operand, the elements that each loop moves it by.
    """

    shape: Shape
    strides: tuple[Shape, ...]

    @property
    def numel(self) -> int:
        """How many elements each operand has (repeated ones counted each time)."""
        return prod(self.shape)

    @property
    def is_contiguous(self) -> bool:
        """Whether element ``i`` of every operand is ``i`` elements from its first."""
        return not self.shape or (len(self.shape) == 1 and {s for (s,) in self.strides} == {1})


def collapse(*views: StridedView, keep_order: bool = False) -> Loops:
    """The fewest loops that reach every element of all views together, the output's given first.

    Dims of size 1 are dropped, the rest is ordered by the first view's strides (the next one's
    where it has none), and neighbours are merged where every view allows it.

    Args:
        views: operands of one shape (see :func:`broadcast`).
        keep_order: keep the order of the dims, for a kernel whose elements have an order.

    Raises:
        ValueError: the shapes differ, or there is no view.

    Example:
        >>> from dovetail.dtypes import float32
        >>> out = StridedView("a", 0, (2, 3, 4), (48, 16, 4), float32)
        >>> collapse(out, out)
        Loops(shape=(24,), strides=((1,), (1,)))
        >>> bias = StridedView("b", 0, (4,), (4,), float32)
        >>> collapse(*broadcast(out, bias))
        Loops(shape=(6, 4), strides=((4, 1), (0, 1)))
    """
    shapes = {v.shape for v in views}
    if len(shapes) != 1:
        raise ValueError(
            f"collapse: all views must have one shape, got {', '.join(map(str, shapes)) or 'none'};"
            " broadcast them first"
        )
    (shape,) = shapes
    if 0 in shape:
        return Loops((0,), ((1,),) * len(views))
    steps = [v.element_strides for v in views]
    dims = [(n, tuple(s[i] for s in steps)) for i, n in enumerate(shape) if n != 1]
    if not keep_order:
        dims.sort(key=lambda dim: dim[1], reverse=True)
    merged: list[tuple[int, Shape]] = []
    for n, moves in dims:
        if merged:
            outer, by = merged[-1]
            if all(a == b * n for a, b in zip(by, moves, strict=True)):
                merged[-1] = (outer * n, moves)
                continue
        merged.append((n, moves))
    strides = tuple(tuple(moves[k] for _, moves in merged) for k in range(len(views)))
    return Loops(tuple(n for n, _ in merged), strides)


def needs_64_bit(*views: StridedView) -> bool:
    """Whether an index of some element, or their number, does not fit into 31 bits.

    Example:
        >>> from dovetail.dtypes import int8
        >>> needs_64_bit(StridedView("a", 0, (2**31 - 1,), (1,), int8))
        False
        >>> needs_64_bit(StridedView("a", 0, (2,), (2**31,), int8))
        True
    """
    limit = 1 << 31
    return any(v.numel >= limit or v.offset + v.span > (limit - 1) * v.itemsize for v in views)
