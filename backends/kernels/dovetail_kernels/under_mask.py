"""Rows under a mask, read with their count and written, of dense tensors on the host's cores: one
launch, and two to write many."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.backend.sentences import FEW_ROWS, OTHER_ROWS
from dovetail.dtypes import bool_
from dovetail_kernels.arrays import NO_OFFSETS, offsets, placing
from dovetail_kernels.device import Device, device_of, known
from dovetail_kernels.faults import rows_fault_of
from dovetail_kernels.nonzero import CHUNK, FEW, IS_SET, LEAST
from dovetail_kernels.source import element, moved, program

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter them."""
    options: dict[str, Any] = {"layout": "contiguous", "specialize": True}
    table.add("rows_counted", _rows, when=_is_few, **options)
    table.add("put_under_mask", _put, when=_is_on_host, in_place=True, **options)


def _is_on_host(call: Any) -> bool:
    device = known(call.outputs[0].device)
    return device is not None and device.is_cpu and bool(call.input.numel and call.mask.ndim)


def _is_few(call: Any) -> bool:
    return _is_on_host(call) and call.input.numel <= FEW


def _program(device: Device, itemsize: int) -> str:
    macros = {
        "W": moved("X", itemsize=itemsize)["X_MEMORY"],
        "CHUNK": CHUNK,
        "IS_SET(v)": IS_SET[False],
        **element(device, "X", bool_),
    }
    return program(device, "under_mask", macros, (bool_,), ("fault", "found"))


def _rows(facts: Any) -> Callable[..., None]:
    out, lines = facts.outputs[0], facts.mask.numel
    device = device_of(out.device)
    numbers = [NO_OFFSETS, np.uint64(lines), np.uint64(out.numel // lines)]
    text = _program(device, out.dtype.itemsize)
    launch = device.launch(text, "rows", 4, numbers, ((1,), (1,)), "index")
    queue, place = launch.with_numbers, placing(4)

    def run(input: Any, mask: Any, out: Any, count: Any) -> None:
        queue(*place(out, count, input, mask))

    return run


def _put(facts: Any) -> Callable[..., None]:
    out, lines, given = facts.outputs[0], facts.mask.numel, facts.values
    device, is_exact = device_of(out.device), facts.attributes["is_exact"]
    chunks = -(-lines // CHUNK)
    size = device.workers(chunks, LEAST)
    rest = tuple(out.shape[facts.mask.ndim :])
    if is_exact:
        fault = rows_fault_of("index_put", OTHER_ROWS, tuple(given.shape), rest)
    else:
        fault = rows_fault_of("masked_scatter", FEW_ROWS, (), ())
    numbers = [NO_OFFSETS, *(np.uint64(n) for n in (lines, prod(rest), chunks, given.shape[0]))]
    numbers += [np.int32(is_exact), fault, np.int32(0)]
    text, name = _program(device, out.dtype.itemsize), facts.op.title
    launch = device.launch(text, "put_rows", 6, numbers, size, name)
    ends = [np.uint64(n) for n in (0, lines, chunks)]
    count = device.launch(text, "found", 2, ends, size, name)
    queue, place, faults = launch.with_numbers, placing(4), device.faults
    copies = len(numbers) - 1, np.int32(1).tobytes()
    keeps = len(numbers) - 1, np.int32(0).tobytes()
    is_one = size[0][0] == 1

    def run(input: Any, mask: Any, values: Any, out: Any) -> None:
        is_in_place = input.buffer is out.buffer and input.offset == out.offset
        buffers, begins = place(out, input, mask, values)
        begins = (*begins, keeps if is_in_place else copies)
        if is_one:
            queue((*buffers, mask.buffer, faults), begins)
        else:
            with device.scratch(chunks * 4) as (totals,):
                count.with_numbers((totals, mask.buffer), offsets(mask))
                queue((*buffers, totals, faults), begins)
        device.suspect = True

    return run
