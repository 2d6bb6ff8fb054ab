"""Spec: the facts about a tensor that decide which kernel runs: shape, strides, dtype, device.

Specs are interned, so that two tensors of the same kind share one object and the dispatcher finds
its plan by identity. Equality is never needed for meaning: a Spec that fell out of the table and
was made again only costs a cache miss.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from dovetail.dtypes import dtype as DType
from dovetail.late_binding import PLANS

if TYPE_CHECKING:
    from dovetail.device import device as Device

__all__ = [
    "Size", "Spec", "clear_views", "contiguous_strides", "forget_specs", "ordered_strides",
    "real_layout", "spec_of",
]  # fmt: skip


def _size(position: int, value: Any) -> int:
    is_array = getattr(value, "ndim", 0) > 0
    if is_array or not hasattr(value, "__index__"):
        raise TypeError(
            f"torch.Size() takes an iterable of 'int' (item {position} is '{type(value).__name__}')"
        )
    return int(value.__index__())


class Size(tuple[int, ...]):
    """A tensor's shape: a tuple of ints that prints as ``torch.Size([2, 3])``.

    Raises:
        TypeError: something is not an integer.
    """

    __slots__ = ()

    def __new__(cls, sizes: Any = ()) -> Size:
        made: Size = tuple.__new__(cls, sizes)
        for n in made:
            if n.__class__ is not int:
                return tuple.__new__(cls, [_size(i, n) for i, n in enumerate(made)])
        return made

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return reduce(operator.mul, self, 1)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(repr, self))}])"

    def __getitem__(self, index: Any) -> Any:
        item = tuple.__getitem__(self, index)
        return Size(item) if isinstance(index, slice) else item

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, other))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple.__add__(tuple(other), self))

    def __mul__(self, times: Any) -> Size:
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple[type, tuple[tuple[int, ...]]]:
        return Size, (tuple(self),)


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides, in elements, of a dense tensor (a dim of size 0 counts as 1)."""
    strides = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= n if n > 1 else 1
    return tuple(reversed(strides))


def ordered_strides(shape: tuple[int, ...], rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Dense strides of ``shape``, the dims ordered as the strides of the ``rows`` order them.

    Of two dims the first row that tells them apart decides; where none does they are row-major.
    A stride of 0 tells nothing. Source: PyTorch's ``TensorIterator`` and ``infer_dense_strides``.
    """

    def is_slower(a: int, b: int) -> int:
        for row in rows:
            if row[a] and row[b]:
                if row[a] != row[b]:
                    return 1 if row[a] > row[b] else -1
                if shape[a] > shape[b]:
                    return 1
        return 0

    order = list(reversed(range(len(shape))))  # the fastest dim first
    for i in range(1, len(order)):
        moving = i
        for j in range(i - 1, -1, -1):
            answer = is_slower(order[j], order[moving])
            if answer < 0:
                break
            if answer > 0:
                order[j], order[moving] = order[moving], order[j]
                moving = j
    strides, step = [0] * len(shape), 1
    for dim in order:
        strides[dim] = step
        step *= shape[dim]
    return tuple(strides)


class Spec:
    """Shape, strides (in elements), dtype and device of a tensor; made by :func:`spec_of` only.

    Attributes:
        shape: a :class:`Size`.
        strides: in elements, never negative.
        numel, ndim, nbytes: element count, dimension count, bytes of a dense copy.
        span: elements from the first to the last that the strides reach, inclusive.
        is_contiguous: dense and row-major.
        layout: ``"contiguous"``, ``"broadcast"`` (dense but for stride 0) or ``"strided"``.
        is_dense: every element of ``span`` is reached once (some permutation is contiguous).
    """

    batch: Any = None  # what a vmap hides of the tensor; see func/batched.py

    __slots__ = (
        "device",
        "dtype",
        "is_contiguous",
        "is_dense",
        "layout",
        "memo",
        "nbytes",
        "ndim",
        "numel",
        "shape",
        "span",
        "strides",
    )

    def __init__(
        self, shape: tuple[int, ...], strides: tuple[int, ...], dtype: DType, device: Device
    ) -> None:
        self.shape = Size(shape)
        self.strides = strides
        self.dtype = dtype
        self.device = device
        self.ndim = len(shape)
        self.numel = self.shape.numel()
        self.nbytes = self.numel * dtype.itemsize
        self.span = (
            1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if self.numel else 0
        )
        pairs = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
        dense = contiguous_strides(tuple(n for n, _ in pairs))
        self.is_contiguous = not self.numel or tuple(s for _, s in pairs) == dense
        self.is_dense = self.is_contiguous or (
            self.span == self.numel and all(s > 0 for _, s in pairs) and _no_gaps(pairs)
        )
        if self.is_contiguous:
            self.layout = "contiguous"
        else:
            real = [(n, s) for n, s in pairs if s]
            dense = contiguous_strides(tuple(n for n, _ in real))
            is_broadcast = tuple(s for _, s in real) == dense
            self.layout = "broadcast" if is_broadcast else "strided"
        self.memo: dict[Any, Any] = {}  # what view operators computed from this spec

    def __repr__(self) -> str:
        return f"Spec({tuple(self.shape)}, {self.strides}, {self.dtype.name}, {self.device})"

    def to(self, *, dtype: DType | None = None, device: Device | None = None) -> Spec:
        """The same shape and strides with another dtype or device."""
        return spec_of(self.shape, dtype or self.dtype, device or self.device, self.strides)

    def dense(self, dtype: DType | None = None, device: Device | None = None) -> Spec:
        """A dense spec of the same shape: strides kept when dense already, else their order.

        This is PyTorch's ``preserve_format``.
        """
        strides = self.strides
        if not self.is_dense:
            found = self.memo.get("dense")
            if found is None:
                found = self.memo["dense"] = ordered_strides(tuple(self.shape), (strides,))
            strides = found
        return spec_of(self.shape, dtype or self.dtype, device or self.device, strides)


def _no_gaps(pairs: list[tuple[int, int]]) -> bool:
    step = 1
    for n, s in sorted(pairs, key=operator.itemgetter(1)):
        if s != step:
            return False
        step *= n
    return True


_interned: dict[Any, Spec] = {}
_LIMIT = 1 << 16


def spec_of(
    shape: tuple[int, ...],
    dtype: DType,
    device: Device,
    strides: tuple[int, ...] | None = None,
) -> Spec:
    """The Spec for these facts; ``strides`` of None means dense row-major."""
    key = (shape, strides, dtype, device)
    found = _interned.get(key)
    if found is None:
        full = contiguous_strides(shape) if strides is None else tuple(strides)
        exact = (shape, full, dtype, device)
        found = _interned.get(exact)
        if found is None:
            found = Spec(tuple(shape), full, dtype, device)
        if len(_interned) > _LIMIT:
            PLANS.clear()  # nobody would find them by new specs
            _interned.clear()
        _interned[key] = _interned[exact] = found
    return found


def real_layout(spec: Spec) -> Spec:
    """A complex spec as pairs of real numbers."""
    strides = (*[s * 2 for s in spec.strides], 1)
    return spec_of((*spec.shape, 2), spec.dtype.to_real(), spec.device, strides)


def clear_views() -> None:
    """Forget what view operators computed from specs."""
    for spec in list(_interned.values()):
        spec.memo.clear()


def forget_specs(is_gone: Callable[[Device], bool]) -> None:
    """Let go of the specs of devices that have gone."""
    for key in [k for k in list(_interned) if is_gone(k[3])]:
        _interned.pop(key, None)
