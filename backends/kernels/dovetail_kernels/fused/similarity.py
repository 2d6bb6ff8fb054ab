"""normalize, cosine_similarity and their gradients of few elements in one launch, a vector for each
work item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, outputs_first
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.softmax import sides
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import element, program

__all__ = ["FEW", "enter"]

FEW = 1 << 14
"""Elements; of more of them the core's steps, which are shared out among all cores."""

KINDS = {
    "normalize": (0, 0),
    "cosine_similarity": (1, 0),
    "normalize_backward": (0, 1),
    "cosine_similarity_backward": (1, 1),
}
"""By record: whether it is of two tensors, and whether it is a gradient."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in KINDS:
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )


def _fits(facts: Any) -> bool:
    whole = facts.inputs[KINDS[facts.op.name][1]]
    return bool(0 < whole.numel <= FEW)


def _specialised(facts: Any) -> Callable[..., None]:
    is_pair, is_slope = KINDS[facts.op.name]
    out, whole = facts.outputs[0], facts.inputs[is_slope]
    device, work = device_of(out.device), accumulated(out.dtype)
    outer, size, inner = sides(tuple(whole.shape), facts.attributes["dim"])
    macros = {
        "T": dialect.VALUES[work.name],
        "IS_PAIR": is_pair,
        "IS_SLOPE": is_slope,
        **element(device, "IN", whole.dtype),
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "similarity", macros, (out.dtype, work))
    eps = np.dtype(work.numpy).type(facts.attributes["eps"])
    numbers = [NO_OFFSETS, *(np.uint32(n) for n in (outer * inner, size, inner)), eps]
    lines = device.workers(outer * inner, max(1, 2048 // size))
    given, made = len(facts.inputs), len(facts.outputs)
    launch = device.launch(text, "similarity", given + made, numbers, lines, facts.op.name)
    return outputs_first(launch, given, made)
