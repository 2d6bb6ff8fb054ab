"""batch_norm in training, its gradient, and with given statistics: a launch each."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import placing
from dovetail_kernels.device import Launch, device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused import batch_group
from dovetail_kernels.fused.running import Running
from dovetail_kernels.fused.team import FLOATS, Team

__all__ = ["enter"]

KERNELS = {
    "batch_norm_train": ("train", "IS_TRAIN", ("IN", "WEIGHT", "BIAS")),
    "batch_norm_train_backward": (
        "backward",
        "IS_BACKWARD",
        ("G", "IN", "MEAN", "VAR", "WEIGHT"),
    ),
    "batch_norm_eval": ("evaluate", "IS_EVAL", ("IN", "MEAN", "VAR", "WEIGHT", "BIAS")),
}
"""By operator: the kernel, its macro, and the prefixes of its inputs."""


def _launched(facts: Any, running: Running | None = None, *, counts: bool = False) -> Launch:
    """The kernel over all channels.

    Args:
        running: there are statistics that it takes the batch's into, which are in one buffer.
        counts: and a counter of batches.
    """
    kernel, macro, prefixes = KERNELS[facts.op.name]
    out = facts.outputs[0]
    device, work = device_of(out.device), accumulated(out.dtype)
    images, channels, *size = out.shape
    places = prod(size)
    has_statistics = kernel != "evaluate"
    team = Team(device, work, 1, images, channels)  # channels that are neighbours
    if places > 1 or not team.side:
        lines = channels if has_statistics else channels * images
        team = Team(device, work, lines, places, each=images if has_statistics else 1)
    macros = {
        macro: 1,
        "HAS_RUNNING": int(running is not None),
        "HAS_COUNTER": int(counts),
        "SHARES": f"{dialect.VALUES[work.name]}8",
        "LANES": team.width,
    } | {f"HAS_{p}": int(fact is not None) for p, fact in zip(prefixes, facts.inputs, strict=True)}
    kinds = {
        p: out.dtype if fact is None else fact.dtype
        for p, fact in zip(prefixes, facts.inputs, strict=True)
    }
    text = team.program("batch_norm", macros, OUT=out.dtype, T=work, **kinds)
    number = np.dtype(work.numpy).type
    more = [number(facts.attributes["eps"])]
    if has_statistics:
        more.append(number(images * places))
    buffers = len(facts.outputs) + len(facts.inputs)
    if running is not None:
        more += running.numbers
        buffers += 1 + counts  # both of the batch's are one, and two running ones
    return team.launch(text, kernel, buffers, more, facts.op.name, (channels, images))


def _is_shared(facts: Any) -> bool:
    """Whether a channel's elements are for several work groups."""
    out = facts.outputs[0]
    much = out.numel // out.shape[1] >= batch_group.MUCH
    return much and not device_of(out.device).is_cpu and facts.op.name in batch_group.KERNELS


def _specialised(facts: Any) -> Any:
    if _is_shared(facts):
        return batch_group.specialised(facts)
    launch = _launched(facts)
    count = len(facts.inputs)
    place = placing(count + len(facts.outputs))

    def run(*arrays: Any) -> None:
        first = arrays[0]  # stands for what is absent, and is not read
        given = [first if a is None else a for a in arrays[:count]]
        launch.with_numbers(*place(*arrays[count:], *given))

    return run


def _step(facts: Any) -> Any:
    """batch_norm_train that takes its statistics into running ones."""
    if _is_shared(facts):
        return batch_group.step(facts)
    running = Running(facts, accumulated(facts.outputs[0].dtype), 4)
    device, usual = device_of(facts.outputs[0].device), running.usual
    queues: list[Any] = [None, None]  # by whether there is a counter

    def queue_of(counts: bool) -> Any:
        made = queues[counts] = device.fitting(
            lambda: _launched(facts, running, counts=counts)
        ).with_numbers
        return made

    def run(
        x: Any, weight: Any, bias: Any, mean: Any, var: Any, counter: Any, momentum: float,
        out: Any, of_mean: Any, of_var: Any,
    ) -> None:  # fmt: skip
        if weight is None:
            weight = x
        if bias is None:
            bias = x
        if (
            x.offset or weight.offset or bias.offset or mean.offset or var.offset or out.offset
            or of_mean.offset or (counter is not None and counter.offset)
        ):  # fmt: skip
            last = mean if counter is None else counter
            _, begins = running.place(out, of_mean, of_var, x, weight, bias, mean, var, last)
            numbers = running.given(begins, momentum, True)
        else:
            numbers = usual(of_var.offset, momentum)
        buffers: tuple[Any, ...]
        if counter is None:
            queue = queues[0] or queue_of(False)
            buffers = (
                out.buffer, of_mean.buffer, x.buffer, weight.buffer, bias.buffer, mean.buffer,
                var.buffer,
            )  # fmt: skip
        else:
            queue = queues[1] or queue_of(True)
            buffers = (
                out.buffer, of_mean.buffer, x.buffer, weight.buffer, bias.buffer, mean.buffer,
                var.buffer, counter.buffer,
            )  # fmt: skip
        queue(buffers, numbers)

    return run


def _fits(facts: Any) -> bool:
    return bool(0 < facts.outputs[0].numel < 1 << 31)


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in KERNELS:
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )
    table.add(
        "batch_norm_step", _step, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
    )
