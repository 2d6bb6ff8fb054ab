"""segment_reduce and its gradient: a launch, which finds where segments are on its way."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.backend.sentences import LENGTHS
from dovetail_kernels import dialect
from dovetail_kernels.arrays import placing
from dovetail_kernels.device import device_of
from dovetail_kernels.faults import values_fault_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS, Team

__all__ = ["enter"]

WAYS = {"sum": 0, "mean": 0, "prod": 1, "amax": 2, "amin": 3}

MANY = 1 << 12
"""Segments of which a GPU's groups add up the lengths, each for itself."""


def _fits(facts: Any) -> bool:
    """There are segments of elements that an int counts."""
    many = (facts.outputs[0] if facts.op.name == "segment_reduce" else facts.result).numel
    n = facts.data.shape[facts.attributes["axis"]]
    if not many or n >= 1 << 31:
        return False
    is_short = facts.lengths is None or facts.lengths.shape[-1] <= MANY
    return bool(is_short or device_of(facts.data.device).is_cpu)


def _launch(facts: Any, kernel: str, buffers: int) -> Any:
    """The kernel, and the device's."""
    data, options = facts.data, facts.attributes
    device, work = device_of(data.device), accumulated(data.dtype)
    given = facts.offsets if facts.lengths is None else facts.lengths
    many = given.shape[-1] - (facts.lengths is None)
    axis, is_forward = options["axis"], kernel == "segments"
    outer, n, inner = prod(data.shape[:axis]), data.shape[axis], prod(data.shape[axis + 1 :])
    team = Team(device, work, outer * many, max(1, n // many), inner)
    way = WAYS[options["reduce"]]
    macros = {
        "IS_FORWARD": int(is_forward),
        "WAY": way if is_forward else min(way, 2),
        "IS_LENGTHS": int(facts.lengths is not None),
        "I": dialect.VALUES[given.dtype.name],
        "REAL": dialect.VALUES[work.name],
        "SIDE": team.width,
    }
    text = team.program("segments", macros, ("fault",), X=data.dtype)
    initial = options["initial"]
    numbers = [np.int32(options["reduce"] == "mean"), np.int32(initial is not None)]
    numbers.append(work.numpy.type(0 if initial is None else initial))
    if is_forward:
        numbers += [np.int32(not options["unsafe"]), values_fault_of("segment_reduce", *LENGTHS)]
    team.n = n
    launch = team.launch(
        text, kernel, buffers, numbers, "segment_reduce", sizes=(many, team.blocks)
    )
    return launch, device


def _forward(facts: Any) -> Callable[..., None]:
    launch, device = _launch(facts, "segments", 4)
    place, queue, faults = placing(3), launch.with_numbers, device.faults
    looks = facts.lengths is not None and not facts.attributes["unsafe"]

    def run(data: Any, lengths: Any, offsets: Any, out: Any) -> None:
        buffers, begins = place(out, data, offsets if lengths is None else lengths)
        queue((*buffers, faults), begins)
        if looks:
            device.suspect = True

    return run


def _backward(facts: Any) -> Callable[..., None]:
    launch, _ = _launch(facts, "segments_back", 5)
    place, queue = placing(5), launch.with_numbers

    def run(grad: Any, data: Any, lengths: Any, offsets: Any, result: Any, made: Any) -> None:
        queue(*place(made, grad, data, offsets if lengths is None else lengths, result))

    return run


def enter(table: KernelTable) -> None:
    """Enter them."""
    options: dict[str, Any] = {
        "dtypes": FLOATS, "layout": "contiguous", "specialize": True, "when": _fits,
    }  # fmt: skip
    table.add("segment_reduce", _forward, **options)
    table.add("segment_reduce_backward", _backward, **options)
