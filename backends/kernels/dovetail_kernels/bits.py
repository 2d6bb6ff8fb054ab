"""A Python number as the bits of an element, for kernels that move elements as words."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32, float64

__all__ = ["BITS", "bits_of"]

BITS = {
    1: ("uchar", np.uint8),
    2: ("ushort", np.uint16),
    4: ("uint", np.uint32),
    8: ("ulong", np.uint64),
}
"""By size in bytes, what the value's bits are: in C, and of NumPy."""

_PACKED = {float32: struct.Struct("=f").pack, float64: struct.Struct("=d").pack}
_MOST = 1 << 10
_known: dict[tuple[Any, type, DType], bytes] = {}


def bits_of(value: Any, kind: DType) -> bytes:
    """The bytes of a Python number as an element."""
    if value.__class__ is float:
        pack = _PACKED.get(kind)
        if pack is not None:
            try:
                return pack(value)
            except OverflowError:  # infinite in this dtype
                pass
    key = (value, value.__class__, kind)
    found = _known.get(key)
    if found is None:
        if kind.category < 2 and value.__class__ is float:
            value = int(value)
        with np.errstate(all="ignore"):
            found = np.asarray(value).astype(kind.numpy).tobytes()
        # Zeros of both signs are equal, and NaN is never found again.
        if value == value and (value != 0 or value.__class__ is int):
            if len(_known) >= _MOST:
                _known.clear()
            _known[key] = found
    return found
