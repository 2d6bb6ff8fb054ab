"""Places of elements that are not zero, of dense tensors on the host's cores: one launch or two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail_kernels.arrays import Array, offsets
from dovetail_kernels.device import Device
from dovetail_kernels.source import element, program

__all__ = ["IS_SET", "nonzero_of"]

CHUNK = 4096
"""Elements whose places are written at once; they are kept in 16 bits."""

LEAST = 4
"""Chunks that a work item has, at least."""

IS_SET = {True: "((v).x != 0 || (v).y != 0)", False: "((v) != 0)"}
"""Whether an element ``v`` is not zero, by whether it is complex."""


def nonzero_of(device: Device, source: Array, out: Array) -> Callable[[Any, Any], None]:
    """``run(input, out)`` for arrays like these."""
    kind, count = source.dtype, source.numel
    macros = {
        "NDIM": source.ndim,
        "CHUNK": CHUNK,
        "IS_SET(v)": IS_SET[kind.is_complex],
        **element(device, "X", kind),
    }
    text = program(device, "nonzero", macros, (kind,))
    chunks = -(-count // CHUNK)
    size = device.workers(chunks, LEAST)
    sizes = np.array([*source.shape, *[1] * (8 - source.ndim)], np.uint64)
    ends = [np.uint64(0), np.uint64(count), np.uint64(chunks)]
    first = device.launch(text, "found", 2, ends, size, "nonzero")
    numbers = [np.uint64(0), *ends, np.uint64(out.shape[0]), sizes]
    second = device.launch(text, "nonzero", 3, numbers, size, "nonzero")

    def alone(x: Any, y: Any) -> None:
        second.with_numbers((y.buffer, y.buffer, x.buffer), offsets(y, x))

    if size[0][0] == 1:  # it has all chunks, and none before them
        return alone

    def run(x: Any, y: Any) -> None:
        with device.scratch(chunks * 4) as (totals,):
            first.with_numbers((totals, x.buffer), offsets(x))
            second.with_numbers((y.buffer, totals, x.buffer), offsets(y, x))

    return run
