"""weight_norm and its gradient in one launch: a slice of the weight for each work group.

Of few long slices the core's steps, whose sums are shared out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, outputs_first
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.similarity import FEW
from dovetail_kernels.fused.softmax import sides
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import element, program

__all__ = ["enter"]

MANY = 16
"""Slices that keep all cores busy, and neighbours in memory that one of its lines holds."""

FAR = 64
"""Neighbours where a slice is in several places, and is only read and written once."""

LONG = 1 << 16
"""Elements of a slice that are added up in a row, at most."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("weight_norm", "weight_norm_backward"):
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )


def _sizes(facts: Any) -> tuple[int, int, int]:
    """(outer, slices, inner)."""
    dim, shape = facts.attributes["dim"], tuple(facts.v.shape)
    return (1, 1, facts.v.numel) if dim == -1 else sides(shape, dim)


def _fits(facts: Any) -> bool:
    outer, slices, inner = _sizes(facts)
    if 0 < facts.v.numel <= FEW:
        return True
    near = FAR if outer > 1 and len(facts.outputs) == 1 else MANY
    return slices >= MANY and inner >= near and outer * inner <= LONG


def _specialised(facts: Any) -> Callable[..., None]:
    out, name = facts.outputs[0], facts.op.name
    device, work = device_of(out.device), accumulated(out.dtype)
    outer, slices, inner = _sizes(facts)
    size: Any = device.workers(slices, max(1, 2048 // (outer * inner)))
    if not device.is_cpu:
        size = (min(slices, device.units * 64) * device.group,), (device.group,)
    macros = {
        "T": dialect.VALUES[work.name],
        "GROUP": size[1][0],
        "IS_SLOPE": int(name == "weight_norm_backward"),
        **element(device, "IN", facts.v.dtype),
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "weight_norm", macros, (out.dtype, work), before=("fold",))
    numbers = [NO_OFFSETS, *(np.uint32(n) for n in (outer, slices, inner))]
    given, made = len(facts.inputs), len(facts.outputs)
    launch = device.launch(text, "weight_norm", given + made, numbers, size, name)
    return outputs_first(launch, given, made)
