"""Storage: fill, copy between any two dtypes and layouts; ranges are in ``ranges``.

Values differ from call to call, so what serves all of them is kept.
"""

from __future__ import annotations

from typing import Any

from dovetail.backend import EXPRESSIONS, KernelTable
from dovetail_kernels.arrays import Array, dense_strides, packed
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import Elementwise, ghost, given

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter the storage primitives."""
    table.add("fill", _fill, specialize=True)
    table.add("copy", _copy, specialize=True)
    table.add("flip", _flip, specialize=True)
    table.add("rearranged", _rearranged, layout="contiguous", specialize=True)


def _copy(facts: Any) -> Any:
    (source,), (target,) = facts.inputs, facts.outputs
    return Copy(device_of(target.device), ghost(source), ghost(target))


def _rearranged(facts: Any) -> Any:
    """A copy of the dims in their other order."""
    out, order = facts.outputs[0], facts.attributes["order"]
    split, size = facts.attributes["split"], out.dtype.itemsize
    steps = dense_strides(split, size)
    shape = tuple(split[i] for i in order)
    turned = Array(None, 0, shape, tuple(steps[i] for i in order), out.dtype)
    return Copy(device_of(out.device), turned, packed(turned))


def _flip(facts: Any) -> Any:
    """A copy of a view that goes backwards."""
    source, out = ghost(facts.inputs[0]), ghost(facts.outputs[0])
    dims = {dim % source.ndim for dim in facts.attributes["dims"]} if source.ndim else set()
    steps = tuple(-s if d in dims else s for d, s in enumerate(source.strides))
    last = sum((source.shape[d] - 1) * source.strides[d] for d in dims)
    copy = Copy(device_of(facts.outputs[0].device), _backwards(source, source, last, steps), out)

    def run(x: Any, y: Any) -> None:
        copy(_backwards(x, source, last, steps), y)

    return run


def _backwards(array: Any, like: Any, last: int, steps: tuple[int, ...]) -> Array:
    return Array(array.buffer, array.offset + last, like.shape, steps, like.dtype)


def _fill(facts: Any) -> Any:
    (out,) = facts.outputs
    device, kind = device_of(out.device), out.dtype

    def make() -> Elementwise:
        return Elementwise(device, "fill", EXPRESSIONS["fill"], [ghost(out)], (), kind)

    call = device.keep(("fill", out), make)
    values = ((0, given(facts.attributes["value"], kind)),)
    return lambda array: call.run((array,), values)
