"""repeat: one copy, whose source stays in place along what is new."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import Array, dense_strides
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.source import MOST

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add("repeat", _specialised, when=_fits, specialize=True)


def _fits(facts: Any) -> bool:
    (out,) = facts.outputs
    return bool(out.numel and out.is_contiguous and 2 * out.ndim <= MOST)


def _specialised(facts: Any) -> Callable[..., None]:
    (spec,), (made,) = facts.inputs, facts.outputs
    source, out = ghost(spec), ghost(made)
    new = out.ndim - source.ndim
    sizes = ((1,) * new) + source.shape
    steps = ((0,) * new) + source.strides
    repeats = facts.attributes["repeats"]
    shape = tuple(n for pair in zip(repeats, sizes, strict=True) for n in pair)
    strides = tuple(s for step in steps for s in (0, step))
    copy = Copy(
        device_of(made.device),
        Array(None, 0, shape, strides, out.dtype),
        Array(None, 0, shape, dense_strides(shape, out.itemsize), out.dtype),
    )
    return copy.__call__
