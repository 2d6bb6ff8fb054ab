"""Places of elements that are not zero, of dense tensors on the host's cores: one launch or two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail_kernels.arrays import START, Array, offsets
from dovetail_kernels.device import Device
from dovetail_kernels.source import element, program

__all__ = ["CHUNK", "FEW", "IS_SET", "LEAST", "counted_of", "nonzero_of"]

CHUNK = 4096
"""Elements whose places are written at once; they are kept in 16 bits."""

LEAST = 4
"""Chunks that a work item has, at least."""

FEW = CHUNK * LEAST
"""Elements that one work item goes through, of which what is found has a block large enough for
all."""

IS_SET = {True: "((v).x != 0 || (v).y != 0)", False: "((v) != 0)"}
"""Whether an element ``v`` is not zero, by whether it is complex."""


def _program(device: Device, source: Array) -> str:
    macros = {
        "NDIM": source.ndim,
        "CHUNK": CHUNK,
        "IS_SET(v)": IS_SET[source.dtype.is_complex],
        **element(device, "X", source.dtype),
    }
    return program(device, "nonzero", macros, (source.dtype,), ("found",))


def _numbers(source: Array, out: Array, *, counts: bool) -> list[Any]:
    """Those of the kernel that writes places."""
    sizes = np.array([*source.shape, *[1] * (8 - source.ndim)], np.uint64)
    chunks = -(-source.numel // CHUNK)
    numbers = [np.uint64(n) for n in (0, 0, 0, source.numel, chunks, out.shape[0], counts)]
    return [*numbers, sizes]


def counted_of(device: Device, source: Array, out: Array) -> Callable[[Any, Any, Any], None]:
    """``run(input, out, count)`` of few elements, with room for all of them."""
    text, numbers = _program(device, source), _numbers(source, out, counts=True)
    launch = device.launch(text, "nonzero", 3, numbers, ((1,), (1,)), "nonzero")
    queue = launch.with_numbers

    def run(x: Any, y: Any, count: Any) -> None:
        queue((y.buffer, count.buffer, x.buffer), offsets(y, count, x))

    return run


def nonzero_of(device: Device, source: Array, out: Array) -> Callable[[Any, Any], None]:
    """``run(input, out)`` for arrays like these."""
    text, count = _program(device, source), source.numel
    chunks = -(-count // CHUNK)
    size = device.workers(chunks, LEAST)
    ends = [np.uint64(0), np.uint64(count), np.uint64(chunks)]
    first = device.launch(text, "found", 2, ends, size, "nonzero")
    second = device.launch(text, "nonzero", 3, _numbers(source, out, counts=False), size, "nonzero")

    def alone(x: Any, y: Any) -> None:
        second.with_numbers((y.buffer, y.buffer, x.buffer), offsets(y, START, x))

    if size[0][0] == 1:  # it has all chunks, and none before them
        return alone

    def run(x: Any, y: Any) -> None:
        with device.scratch(chunks * 4) as (totals,):
            first.with_numbers((totals, x.buffer), offsets(x))
            second.with_numbers((y.buffer, totals, x.buffer), offsets(y, START, x))

    return run
