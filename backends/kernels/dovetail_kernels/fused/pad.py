"""pad, by a value or by elements, its gradient, and roll: in one launch, which puts what is inside
and what is beyond its ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import finfo, float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, joined, outputs_first, placing
from dovetail_kernels.bits import BITS
from dovetail_kernels.device import device_of
from dovetail_kernels.source import MOST, element, moved, program

__all__ = ["enter"]


ENDS = {"reflect": 1, "replicate": 2, "circular": 3}
"""Beyond the ends; 0 is a value."""

MAPS = {0: "(at)", 1: "mirrored(at, n)", 2: "nearest(at, n)", 3: "again(at, n)"}


def enter(table: KernelTable) -> None:
    """Enter them."""
    options: dict[str, Any] = {"layout": "contiguous", "specialize": True}
    table.add("pad", _by_value, when=_fits, **options)
    table.add("pad_ends", _by_elements, when=_is_small, **options)
    table.add("pad_ends_backward", _back, when=_is_small, dtypes=(float32, float64), **options)
    table.add("roll", _rolled, when=_is_small, **options)


def _is_small(facts: Any) -> bool:
    """Row-major tensors of some elements."""
    (source,), (out,) = facts.inputs, facts.outputs
    fits = out.dtype.itemsize <= 8 and 0 < out.ndim <= MOST and out.numel < 1 << 62
    return bool(fits and source.numel and out.numel and out.is_contiguous)


def _fits(facts: Any) -> bool:
    """Row-major tensors of some elements; a value that every number of the dtype's class holds."""
    (source,), (out,) = facts.inputs, facts.outputs
    value, kind = facts.attributes["value"], out.dtype
    holds = value == 0
    if kind.category == 2 and isinstance(value, (int, float)):
        holds = not math.isfinite(value) or abs(value) <= finfo(kind).max
    is_small = kind.itemsize <= 8 and 0 < out.ndim <= MOST and max(out.shape) < 1 << 31
    return bool(holds and is_small and source.numel and out.numel and out.is_contiguous)


def _by_value(facts: Any) -> Callable[..., None]:
    (source,), (out,) = facts.inputs, facts.outputs
    sides = facts.attributes["sides"]
    before = [*[0] * (out.ndim - len(sides)), *[side[0] for side in sides]]
    value = np.asarray(facts.attributes["value"]).astype(out.dtype.numpy)
    return _padded(facts, source.shape, out.shape, before, source.shape, 0, 0, value)


def _by_elements(facts: Any) -> Callable[..., None]:
    (source,), (out,) = facts.inputs, facts.outputs
    sides = facts.attributes["sides"]
    sides = [*[(0, 0)] * (out.ndim - len(sides)), *sides]
    before, lengths = [side[0] for side in sides], list(source.shape)
    ends, start, step = ENDS[facts.attributes["mode"]], 0, 1
    if ends == 3:  # what is cut off does not come again
        for d in reversed(range(out.ndim)):
            lengths[d] += min(sides[d][0], 0) + min(sides[d][1], 0)
            start += max(-sides[d][0], 0) * step
            step *= source.shape[d]
        before = [max(n, 0) for n in before]
    return _padded(facts, source.shape, out.shape, before, lengths, start, ends)


def _back(facts: Any) -> Callable[..., None]:
    (grad,), (out,) = facts.inputs, facts.outputs
    device, ends = device_of(out.device), ENDS[facts.attributes["mode"]]
    sides = [*[(0, 0)] * 3, *facts.attributes["sides"]][-3:]
    inner, places = ([1, 1, 1, *x.shape][-3:] for x in (out, grad))
    before, first, count = [side[0] for side in sides], [0] * 3, [*inner]
    if ends == 3:  # what is cut off does not come again
        first = [max(-n, 0) for n in before]
        count = [n + min(a, 0) + min(b, 0) for n, (a, b) in zip(inner, sides, strict=True)]
        before = [max(n, 0) for n in before]
    macros = {
        "T": dialect.VALUES[out.dtype.name],
        "IS_CPU": int(device.is_cpu),
        "MAP(at, n)": MAPS[ends],
        **element(device, "X", out.dtype),
    }
    text = program(device, "pad_back", macros, (out.dtype,), before=("ends",))
    lines = out.numel // out.shape[-1]
    numbers = [NO_OFFSETS, np.uint64(lines)]
    numbers += [
        joined(values, 8, np.int64).view(np.uint64)
        for values in (inner, first, count, places, before)
    ]
    size = device.workers(lines, max(1, 2048 // out.shape[-1]))
    if not device.is_cpu:
        size = device.workers(out.numel)
    launch = device.launch(text, "pad_back", 2, numbers, size, facts.op.name)
    return outputs_first(launch, 1, 1)


def _rolled(facts: Any) -> Callable[..., None]:
    (source,) = facts.inputs
    dims, shifts = facts.attributes["dims"], facts.attributes["shifts"]
    shape = source.shape
    before = [0] * len(shape)
    for shift, dim in zip(shifts, dims, strict=True):
        before[dim] = (before[dim] + shift) % shape[dim]
    return _padded(facts, shape, shape, before, shape, 0, ENDS["circular"])


def _padded(
    facts: Any, inner: Sequence[int], outer: Sequence[int], before: Sequence[int],
    lengths: Sequence[int], start: int, ends: int, value: Any = None,
) -> Callable[..., None]:  # fmt: skip
    """The launch.

    Args:
        lengths: per dim, after how many elements it begins anew.
        start: the element that it begins with.
    """
    (out,) = facts.outputs
    device, size, ndim = device_of(out.device), out.dtype.itemsize, len(outer)
    bits, kind = BITS[size]

    def eight(values: Any) -> Any:
        return np.array([1] * (MOST - ndim) + [*values], np.int64)

    macros = {
        "WORD": moved("X", itemsize=size)["X_MEMORY"],
        "BITS": bits,
        "IS_CPU": int(device.is_cpu),
        "NDIM": ndim,
        "ENDS": ends,
        "MAP(at, n)": MAPS[ends],
    }
    text = program(device, "pad", macros, (), before=("ends",))
    count = math.prod(outer)
    numbers = [NO_OFFSETS, np.uint64(start), np.uint64(count // outer[-1])]
    numbers += [eight(outer), eight(inner), eight(before), eight(lengths)]
    numbers.append(kind(0) if value is None else value.view(kind)[()])
    launch = device.launch(text, "pad", 2, numbers, device.workers(count), facts.op.name)
    place, queue = placing(2), launch.with_numbers

    def run(input: Any, out: Any) -> None:
        queue(*place(out, input))

    return run
