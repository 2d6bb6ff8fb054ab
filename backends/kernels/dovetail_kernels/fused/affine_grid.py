"""affine_grid and its gradient: a launch each."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import element, program

__all__ = ["enter"]


def _made(facts: Any) -> Callable[..., None]:
    (given,), (out,) = facts.inputs, facts.outputs
    device, name = device_of(out.device), facts.op.name
    if not out.numel:
        return lambda *arrays: None
    grid = out if name == "affine_grid" else given
    images, *sizes, ndim = grid.shape
    group = 1 if device.is_cpu else min(64, device.group)
    macros = {
        "IS_FORWARD": int(grid is out),
        "IS_CPU": int(device.is_cpu),
        "NDIM": ndim,
        "GROUP": group,
        "T": dialect.VALUES[accumulated(out.dtype).name],
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "affine_grid", macros, (out.dtype,))
    numbers = [
        NO_OFFSETS,
        np.uint32(images),
        np.array([*[1] * (3 - ndim), *sizes, 0], np.int32),
        np.int32(facts.attributes["align"]),
    ]
    if grid is out:
        rows = grid.numel // ndim // sizes[-1]
        each = 4096 // (sizes[-1] * ndim)
        size = device.workers(rows, max(1, each)) if device.is_cpu else device.workers(grid.numel)
    else:
        groups = images * ndim
        size = (groups * group,), (group,)
        if device.is_cpu:
            size = device.workers(groups, max(1, 4096 // prod(sizes)))
    launch = device.launch(text, name, 2, numbers, size, name)
    place, queue = placing(2), launch.with_numbers

    def run(given: Any, out: Any) -> None:
        queue(*place(out, given))

    return run


def _fits(facts: Any) -> bool:
    """32 bits count the elements, and there are some, or nothing to compute."""
    (given,), (out,) = facts.inputs, facts.outputs
    return not out.numel or all(0 < t.numel < 1 << 31 for t in (given, out))


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("affine_grid", "affine_grid_backward"):
        table.add(name, _made, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits)
