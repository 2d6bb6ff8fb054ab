"""The device that is asked: its name, its dtypes, its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dovetail as dt
from dovetail import dtypes as d
from dovetail.backend.state import state_of

__all__ = ["Target"]


@dataclass(frozen=True)
class Target:
    """A device as the cases see it.

    Attributes:
        device: its name with its index, such as ``loop:0``.
        dtypes: the dtypes that it says it holds, in the order of ``dovetail.dtypes.ALL``.
        absent: the dtypes that it says it does not hold.
        count: how many devices its backend has.
    """

    device: str
    dtypes: tuple[d.dtype, ...]
    absent: tuple[d.dtype, ...]
    count: int

    @classmethod
    def of(cls, name: str) -> Target:
        """The device of this name.

        Raises:
            BackendUnavailable, RuntimeError: it cannot be used; the message says why.
        """
        device = dt.empty((1,), dtype=dt.uint8, device=name).device
        state = state_of(device)
        if state.info.limits.get("stand_in"):
            raise RuntimeError(f"{device} is a stand-in that computes nothing: it is not graded")
        held = tuple(k for k in d.ALL if k in state.dtypes)
        from dovetail.backend import registry

        count = registry.get(device.type).count
        return cls(str(device), held, tuple(k for k in d.ALL if k not in held), count)

    @property
    def type(self) -> str:
        """The device's name without its index."""
        return self.device.split(":")[0]

    def served(self, op: str) -> Sequence[Any]:
        """The entries of the device's table for an operator, the preferred first."""
        return state_of(dt.device(self.device)).table.entries(op)

    def floats(self) -> tuple[d.dtype, ...]:
        """Its floating-point dtypes."""
        return tuple(k for k in self.dtypes if k in d.FLOATING)

    def widest(self) -> d.dtype:
        """float64 where it has it, else float32."""
        return d.float64 if d.float64 in self.dtypes else d.float32
