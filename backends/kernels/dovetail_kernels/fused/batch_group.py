"""batch_norm on GPUs: the elements of each channel are shared out among work groups."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from operator import attrgetter
from typing import Any

import numpy as np

from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, joined_offsets, offsets
from dovetail_kernels.device import Device, Launch, device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.running import RUNNING, Running
from dovetail_kernels.source import element, program

__all__ = ["KERNELS", "MUCH", "specialised", "step"]

MUCH = 1 << 12
"""Elements of a channel that are worth several work groups."""

EACH = 16
"""Elements of a work item, at least, where there are several groups."""

BUSY = 8
"""Work groups for each compute unit."""

_buffer = attrgetter("buffer")

KERNELS = {
    "batch_norm_train": ("IS_TRAIN", "moments", "normal", ("IN", "WEIGHT", "BIAS"), 1),
    "batch_norm_train_backward": (
        "IS_BACKWARD", "slopes", "gradient", ("G", "IN", "MEAN", "VAR", "WEIGHT"), 4,
    ),
}  # fmt: skip
"""By operator: its macro, the first and the second kernel, the prefixes of the inputs, and how many
of these the first kernel reads."""


Launches = tuple[Launch, Launch, Callable[[], Any], Callable[[Any], None]]


def _launched(facts: Any, running: Running | None = None) -> Launches:
    """(the first and the second launch, what takes a buffer for the sums, what gives it back)."""
    macro, first_name, second_name, prefixes, read = KERNELS[facts.op.name]
    out = facts.outputs[0]
    device: Device = device_of(out.device)
    work = accumulated(out.dtype)
    images, channels, *size = out.shape
    places = prod(size)
    count = images * places
    parts = max(1, min(-(-device.units * BUSY // channels), count // (device.group * EACH)))
    chunk = -(-count // parts)
    parts = -(-count // chunk)
    macros: dict[str, Any] = {
        macro: 1,
        "HAS_RUNNING": int(running is not None),
        "SHARES": f"{dialect.VALUES[work.name]}8",
        "T": dialect.VALUES[work.name],
        "GROUP": device.group,
        **element(device, "OUT", out.dtype),
    }
    kinds = [out.dtype, work]
    for prefix, fact in zip(prefixes, facts.inputs, strict=True):
        kind = out.dtype if fact is None else fact.dtype
        kinds.append(kind)
        macros |= {f"HAS_{prefix}": int(fact is not None), **element(device, prefix, kind)}
    text = program(device, "batch_group", macros, kinds)
    number = np.dtype(work.numpy).type
    sizes = [np.int32(n) for n in (places, channels, count, parts, chunk)]
    sizes.append(number(facts.attributes["eps"]))
    groups = ((channels * parts * device.group,), (device.group,))
    outs, ins = len(facts.outputs), len(facts.inputs)
    first = device.launch(
        text, first_name, 1 + read, [*[np.uint64(0)] * read, *sizes], groups, facts.op.name
    )
    numbers, buffers = [NO_OFFSETS, *sizes], outs + ins + 1
    if running is not None:
        numbers += running.numbers
        buffers += RUNNING
    second = device.launch(text, second_name, buffers, numbers, groups, facts.op.name)
    return first, second, *device.room(channels * parts * 2 * work.itemsize)


def specialised(facts: Any) -> Any:
    """The two launches for inputs of these facts."""
    first, second, take, give = _launched(facts)
    ins, read = len(facts.inputs), KERNELS[facts.op.name][-1]
    absent = any(fact is None for fact in facts.inputs)

    def run(*arrays: Any) -> None:
        given, made = arrays[:ins], arrays[ins:]
        if absent:  # the first stands for it, and is not read
            given = tuple([given[0] if a is None else a for a in given])
        here, order = given[:read], made + given
        sums = take()
        try:
            first.with_numbers((sums, *map(_buffer, here)), offsets(*here))
            second.with_numbers((*map(_buffer, order), sums), joined_offsets(*order))
        finally:
            give(sums)

    return run


def step(facts: Any) -> Any:
    """batch_norm_train that takes its statistics into running ones."""
    out = facts.outputs[0]
    running = Running(facts, accumulated(out.dtype), 7)
    first, second, take, give = _launched(facts, running)

    def run(
        x: Any, weight: Any, bias: Any, mean: Any, var: Any, counter: Any, momentum: float,
        *outs: Any,
    ) -> None:  # fmt: skip
        counts = counter is not None
        order = (*outs, x, x if weight is None else weight, x if bias is None else bias)
        buffers, begins = running.place(*order, mean, var, counter if counts else mean)
        numbers = running.given(begins, momentum, counts)
        sums = take()
        try:
            first.with_numbers((sums, x.buffer), offsets(x))
            second.with_numbers((*buffers[:-RUNNING], sums, *buffers[-RUNNING:]), numbers)
        finally:
            give(sums)

    return run
