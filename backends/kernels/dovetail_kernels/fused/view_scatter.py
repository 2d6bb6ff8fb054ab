"""A copy of a tensor with one of its views written over: select_scatter, slice_scatter and their
like are two copies, of the whole and of what is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import Array
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import ghost, seen

__all__ = ["enter"]

Steps = Sequence[int]
Window = tuple[tuple[int, ...], int]
"""Strides and begin of a view, in the unit of the strides."""


def _selected(steps: Steps, dim: int, index: int) -> Window:
    return (*steps[:dim], *steps[dim + 1 :]), index * steps[dim]


def _sliced(steps: Steps, dim: int, start: int, length: int, step: int) -> Window:
    return (*steps[:dim], steps[dim] * step, *steps[dim + 1 :]), start * steps[dim]


def _diagonal(steps: Steps, offset: int, dim1: int, dim2: int) -> Window:
    rest = [s for i, s in enumerate(steps) if i not in (dim1, dim2)]
    begin = max(-offset, 0) * steps[dim1] + max(offset, 0) * steps[dim2]
    return (*rest, steps[dim1] + steps[dim2]), begin


WINDOWS: dict[str, Callable[..., Window]] = {
    "select_scatter": _selected,
    "slice_scatter": _sliced,
    "diagonal_scatter": _diagonal,
}


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in WINDOWS:
        table.add(name, _specialised, specialize=True)


def _specialised(facts: Any) -> Callable[..., None]:
    source, src, out = (ghost(x) for x in (*seen(facts), *facts.outputs))
    device = device_of(facts.outputs[0].device)
    strides, begin = WINDOWS[facts.op.name](out.strides, *facts.attributes["arguments"])
    shape, kind = src.shape, out.dtype
    whole = Copy(device, source, out)
    part = Copy(device, src, Array(None, 0, shape, strides, kind)) if src.numel else None

    def run(input: Any, src: Any, out: Any) -> None:
        if input.buffer is not out.buffer or input.offset != out.offset:
            whole(input, out)
        if part is not None:
            part(src, Array(out.buffer, out.offset + begin, shape, strides, kind))

    return run
