"""histogram and histogramdd of few points on the host's cores, in one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import NO_OFFSETS, joined, placing
from dovetail_kernels.device import device_of, known
from dovetail_kernels.source import element, program

__all__ = ["enter"]

FEW = 1 << 14
"""Numbers, and bins."""


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add("histogram_binned", _specialised, layout="contiguous", specialize=True, when=_fits)


def _fits(facts: Any) -> bool:
    (out,), sizes = facts.outputs, facts.attributes["sizes"]
    device = known(out.device)
    same = all(x is None or x.dtype is out.dtype for x in facts.inputs)
    is_small = 0 < facts.points.numel <= FEW and 0 < out.numel <= FEW and len(sizes) <= 8
    return device is not None and device.is_cpu and same and is_small


def _specialised(facts: Any) -> Callable[..., None]:
    (out,), sizes = facts.outputs, facts.attributes["sizes"]
    device, has_weight = device_of(out.device), facts.weight is not None
    macros = {"HAS_WEIGHT": int(has_weight), **element(device, "X", out.dtype)}
    text = program(device, "binned", macros, (out.dtype,))
    n, dims = facts.points.shape
    numbers = [NO_OFFSETS, np.uint64(n), np.uint32(dims), np.uint64(out.numel)]
    numbers.append(joined(sizes, 8, np.uint64))
    launch = device.launch(text, "binned", 4, numbers, ((1,), (1,)), "histogram")
    place, queue = placing(4), launch.with_numbers

    def run(points: Any, edges: Any, weight: Any, hist: Any) -> None:
        queue(*place(hist, points, edges, weight if has_weight else points))

    return run
