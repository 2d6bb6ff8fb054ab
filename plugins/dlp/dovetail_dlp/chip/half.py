"""Half precision: held in 16 bits, computed with in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["is_half", "widened"]

Array = Any


def is_half(kind: np.dtype) -> bool:
    """Whether it is float16 or bfloat16, which the units widen to float32."""
    return kind.itemsize == 2 and kind.kind not in "iu"


def widened(x: Array) -> Array:
    """Half precision as float32, the rest as it is."""
    return x.astype(np.float32) if is_half(x.dtype) else x
