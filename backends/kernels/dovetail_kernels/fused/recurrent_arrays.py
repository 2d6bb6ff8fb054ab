"""The tensors of a recurrent kernel as its arguments; see ``src/recurrent_values.cl``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect, mathematics
from dovetail_kernels.device import Device
from dovetail_kernels.folds import accumulated
from dovetail_kernels.source import program
from dovetail_kernels.tiles import usual
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["RecurrentText"]


class RecurrentText:
    """A program of a recurrent kernel, whose tensors are of one dtype.

    Args:
        device: where.
        dtype: that of all tensors.
        names: the tensors that the kernel takes, in order.

    Attributes:
        work: the dtype that is computed in.
        width: units that are computed at a time.
    """

    def __init__(self, device: Device, dtype: DType, names: Sequence[str]) -> None:
        self.device, self.dtype, self.names = device, dtype, tuple(names)
        self.work = accumulated(dtype)
        self.width = usual(device, self.work).width if device.is_cpu else 1

    def places(self) -> list[Any]:
        """The numbers that come first: an offset for each tensor."""
        return [np.uint64(0)] * len(self.names)

    def program(self, name: str, macros: dict[str, Any], before: Sequence[str] = ()) -> str:
        """The text of ``src/name.cl``."""
        w, kind, memory = self.width, dialect.VALUES[self.work.name], dialect.TYPES[self.dtype.name]
        (exp, tanh), own = mathematics.taken(
            (("exp", w), ("tanh", w)), kind, is_own=self.device.is_cpu
        )
        made: dict[str, Any] = {
            "T": kind,
            "W": w,
            "VECTOR": f"{kind}{w}" if w > 1 else kind,
            "EXP(x)": f"{exp}(x)",
            "TANH(x)": f"{tanh}(x)",
            "LANES_LOADED(p)": f"vload{w}(0, p)",
            "LANES_STORED(v, p)": f"vstore{w}(v, 0, p)",
            "ARRAYS": ", ".join(f"global {memory} *all_{n}" for n in self.names),
            "ARRAY_PLACES": "".join(f", ulong offset_{n}" for n in self.names),
            "ARRAYS_FOUND": " ".join(
                f"global {memory} *{n} = all_{n} + offset_{n};" for n in self.names
            ),
            **{f"HAS_{n}": 1 for n in self.names},
            **lanes(self.device, "E", self.dtype, w, side=False),
            **lanes(self.device, "K", self.work, w, side=False),
        }
        kinds = (self.dtype, self.work)
        helpers = vector_helpers(kinds, w) + "\n" + own
        files = ("recurrent_values", *before)
        return program(self.device, name, made | macros, kinds, files, helpers)
