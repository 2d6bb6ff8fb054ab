"""A Python number as the bits of an element, for kernels that move elements as words."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32, float64

__all__ = ["BITS", "bits_of", "remembering"]

BITS = {
    1: ("uchar", np.uint8),
    2: ("ushort", np.uint16),
    4: ("uint", np.uint32),
    8: ("ulong", np.uint64),
}
"""By size in bytes, what the value's bits are: in C, and of NumPy."""

_PACKED = {float32: struct.Struct("=f").pack, float64: struct.Struct("=d").pack}
_MOST = 1 << 10


def remembering(make: Callable[[Any, DType], Any]) -> Callable[[Any, DType], Any]:
    """Decorator of what makes something of a Python number and a dtype: the last of them are kept,
    and of a float that becomes one the bytes are found as quickly as that."""
    known: dict[tuple[Any, type, DType], Any] = {}

    @functools.wraps(make)
    def find(value: Any, kind: DType) -> Any:
        if value.__class__ is float:
            pack = _PACKED.get(kind)
            if pack is not None:
                try:
                    return pack(value)
                except OverflowError:  # infinite in this dtype
                    pass
        key = (value, value.__class__, kind)
        found = known.get(key)
        if found is None:
            found = make(value, kind)
            # Zeros of both signs are equal, and NaN is never found again.
            if value == value and (value != 0 or value.__class__ is int):
                if len(known) >= _MOST:
                    known.clear()
                known[key] = found
        return found

    return find


@remembering
def bits_of(value: Any, kind: DType) -> bytes:
    """The bytes of a Python number as an element."""
    if kind.category == 1 and value.__class__ is float:
        value = int(value)
    with np.errstate(all="ignore"):
        return np.asarray(value).astype(kind.numpy).tobytes()
