"""``where`` without branches, for every dtype of 1, 2, 4 or 8 bytes; masked_fill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_cpu.kernels.blocks import in_blocks, select

__all__ = ["enter"]


def masked_fill(facts: Any) -> Callable[..., None]:
    """A number or a 0-d array where a mask says so; the output may be the input itself."""
    kind, given = facts.outputs[0].dtype, facts.inputs[2]
    make: Any = lambda value: value
    if isinstance(given, type):
        whole = given is float and kind.category < 2
        make = lambda value: np.asarray(int(value) if whole else value).astype(kind.numpy)

    def run(input: np.ndarray, mask: np.ndarray, value: Any, out: np.ndarray) -> None:
        if input is not out:
            np.copyto(out, input)
        np.copyto(out, make(value), where=mask)

    return run


def _is_real(call: Any) -> bool:
    return call.inputs[2] is not complex or call.outputs[0].dtype.is_complex


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.add(
        "where",
        in_blocks(select),
        specialize=True,
        when=lambda f: f.outputs[0].dtype.itemsize <= 8,
    )
    table.add(
        "masked_fill", masked_fill, when=_is_real, scalars=True, specialize=True, in_place=True
    )
