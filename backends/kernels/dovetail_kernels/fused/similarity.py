"""normalize and cosine_similarity of few elements in one launch, a vector for each work item."""

from __future__ import annotations

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
"""Elements; of more of them the core's steps, which are shared out among all cores."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("normalize", "cosine_similarity"):
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )


def _fits(facts: Any) -> bool:
    return bool(0 < facts.inputs[0].numel <= FEW)


def _specialised(facts: Any) -> Callable[..., None]:
    (out,), source = facts.outputs, facts.inputs[0]
    device, work, name = device_of(out.device), accumulated(out.dtype), facts.op.name
    outer, size, inner = sides(tuple(source.shape), facts.attributes["dim"])
    is_pair = len(facts.inputs) == 2
    macros = {
        "T": dialect.VALUES[work.name],
        "IS_PAIR": int(is_pair),
        **element(device, "IN", source.dtype),
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "similarity", macros, (out.dtype, work))
    eps = np.dtype(work.numpy).type(facts.attributes["eps"])
    numbers = [NO_OFFSETS, *(np.uint32(n) for n in (outer * inner, size, inner)), eps]
    lines = device.workers(outer * inner, max(1, 2048 // size))
    launch = device.launch(text, "similarity", 2 + is_pair, numbers, lines, name)
    place, queue = placing(2 + is_pair), launch.with_numbers

    def by_length(x: Any, out: Any) -> None:
        queue(*place(out, x))

    def beside(x: Any, y: Any, out: Any) -> None:
        queue(*place(out, x, y))

    return beside if is_pair else by_length
