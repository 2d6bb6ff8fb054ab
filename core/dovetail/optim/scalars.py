"""The numbers that an optimizer keeps as 0-d tensors."""

from __future__ import annotations

from typing import Any

import dovetail
from dovetail.tensor import Tensor

__all__ = ["Mirror", "scalar_dtype", "scalar_of"]


def scalar_dtype(fused: bool = False) -> Any:
    """The dtype of counts in an optimizer's state: float64 only where that is the default."""
    wide = dovetail.get_default_dtype() is dovetail.float64
    return dovetail.float64 if wide and not fused else dovetail.float32


def scalar_of(value: float, device: Any, fused: bool = False) -> Tensor:
    """A 0-d tensor of an optimizer's state."""
    return dovetail.full((), value, dtype=scalar_dtype(fused), device=device)


class Mirror:
    """Numbers of 0-d tensors as they were last written or read here, so that none is waited for.

    What somebody else wrote shows in a tensor's version, and is read.
    """

    def __init__(self) -> None:
        self._noted: dict[int, tuple[Any, int, float]] = {}

    def note(self, scalar: Any, value: float) -> float:
        """Remember what a tensor holds: ``value`` in its dtype, which is returned."""
        held = float(scalar.dtype.numpy.type(value))
        self._noted[id(scalar)] = (scalar, scalar._version, held)
        return held

    def read(self, scalar: Any, counted: int = 0) -> float:
        """A tensor's number; ``counted``: it was written so often since, 1 added each time."""
        noted = self._noted.get(id(scalar))
        if noted is not None and noted[0] is scalar and scalar._version == noted[1] + counted:
            return self.note(scalar, noted[2] + counted)
        return self.note(scalar, scalar.item())
