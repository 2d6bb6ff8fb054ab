"""Type promotion: PyTorch's rules, with 0-d tensors and Python numbers, in one place.

Source: PyTorch's ``tensor_attributes.html#type-promotion-doc``. Operands come in three ranks:
tensors with dims, 0-d tensors, Python numbers. A lower rank only matters when its category
(bool < integral < floating < complex) is higher.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from dovetail import dtypes as d
from dovetail.dtypes import dtype as DType

if TYPE_CHECKING:
    from dovetail.spec import Spec

__all__ = ["can_cast", "number_dtype", "promote_specs", "promote_types", "result_type"]

_INT_ORDER = (d.bool_, d.int8, d.int16, d.int32, d.int64)


@cache
def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest dtype that both can be promoted to, as PyTorch's table has it."""
    for given in (type1, type2):
        if not isinstance(given, DType):
            raise TypeError(f"promote_types: expected a dtype, got {given!r}")
    if type1 is type2:
        return type1
    low, high = sorted((type1, type2), key=lambda t: (t.category, t.itemsize))
    if high.category == 3:
        wide = low in (d.float64, d.complex128) or high is d.complex128
        return d.complex128 if wide else d.complex64
    if high.category == 2:
        if low.category < 2:
            return high
        if {low, high} == {d.float16, d.bfloat16}:
            return d.float32
        return high
    if d.uint8 in (low, high):
        other = low if high is d.uint8 else high
        if other is d.bool_:
            return d.uint8
        return d.int16 if other is d.int8 else other
    return max(low, high, key=_INT_ORDER.index)


def number_dtype(kind: type) -> DType:
    """The dtype of a Python number of this type: bool, int64, the default float or complex."""
    if kind is bool:
        return d.bool_
    if kind is int:
        return d.int64
    default = d.get_default_dtype()
    return default if kind is float else default.to_complex()


def _combine(higher: DType | None, lower: DType | None) -> DType | None:
    if higher is None or lower is None:
        return lower if higher is None else higher
    if higher.is_complex:
        return higher
    if higher.is_floating_point:
        return higher.to_complex() if lower.is_complex else higher
    if higher is d.bool_ or lower.category >= 2:
        return promote_types(higher, lower)
    return higher


def promote_specs(operands: Iterable[Spec | type | None]) -> DType:
    """The common dtype of operands given as specs (tensors) or types (Python numbers)."""
    ranks: list[DType | None] = [None, None, None]
    for x in operands:
        if x is None:
            continue
        if isinstance(x, type):
            rank, kind = 2, number_dtype(x)
        else:
            rank, kind = (0 if x.ndim else 1), x.dtype
        seen = ranks[rank]
        ranks[rank] = kind if seen is None else promote_types(seen, kind)
    result = _combine(ranks[0], _combine(ranks[1], ranks[2]))
    assert result is not None, "promotion of nothing"
    return result


def result_type(tensor: Any, other: Any) -> DType:
    """The dtype that an operation on these two (tensors or Python numbers) gives.

    Raises:
        TypeError: something else was given.

    Example:
        >>> import dovetail as dt
        >>> dt.result_type(dt.tensor([1, 2], dtype=dt.int32), 1.0)
        torch.float32
    """
    for x in (tensor, other):
        if not hasattr(x, "_spec") and type(x) not in (bool, int, float, complex):
            raise TypeError(
                f"result_type() takes tensors and numbers, got {type(tensor).__name__} and "
                f"{type(other).__name__}"
            )
    return promote_specs([getattr(x, "_spec", type(x)) for x in (tensor, other)])


def can_cast(from_: DType, to: DType) -> bool:
    """Whether promotion rules let ``from_`` be written into ``to`` (no category is lost).

    Raises:
        TypeError: one is no dtype.
    """
    for name, kind in (("from_", from_), ("to", to)):
        if not isinstance(kind, DType):
            raise TypeError(
                f"can_cast(): argument '{name}' must be torch.dtype, not {type(kind).__name__}"
            )
    return from_.category <= to.category
