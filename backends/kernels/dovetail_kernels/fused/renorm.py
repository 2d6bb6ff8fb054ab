"""renorm of few elements in one launch; of more the core's steps, whose sums are shared out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.softmax import sides
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import element, program

__all__ = ["enter"]

FEW = 1 << 14
"""Elements."""

TINY = 1e-7

NORMS = {
    1.0: ("((sum) + fabs(v))", "(sum)"),
    2.0: ("((sum) + (v) * (v))", "sqrt(sum)"),
    math.inf: ("larger(sum, fabs(v))", "(sum)"),
}
"""By order: what an element adds, and what is made of the sum."""

GENERAL = ("((sum) + pow(fabs(v), p))", "pow(sum, 1 / p)")


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add(
        "renorm", _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
    )


def _fits(facts: Any) -> bool:
    return bool(0 < facts.inputs[0].numel <= FEW)


def _specialised(facts: Any) -> Callable[..., None]:
    (out,), (source,) = facts.outputs, facts.inputs
    device, work = device_of(out.device), accumulated(out.dtype)
    outer, slices, inner = sides(tuple(source.shape), facts.attributes["dim"])
    order = facts.attributes["p"]
    added, root = NORMS.get(order, GENERAL)
    macros = {
        "T": dialect.VALUES[work.name],
        "ADDED(sum, v)": added,
        "JOINED(a, b)": "larger(a, b)" if math.isinf(order) else "((a) + (b))",
        "ROOT(sum)": root,
        **element(device, "IN", source.dtype),
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "renorm", macros, (out.dtype, work))
    kind = np.dtype(work.numpy).type
    numbers: list[Any] = [NO_OFFSETS, *(np.uint32(n) for n in (outer, slices, inner))]
    numbers += [kind(facts.attributes["maxnorm"]), kind(TINY), kind(order)]
    size = device.workers(slices, max(1, 2048 // (outer * inner)))
    launch = device.launch(text, "renorm", 2, numbers, size, "renorm")
    place, queue = placing(2), launch.with_numbers
    return lambda x, out: queue(*place(out, x))
