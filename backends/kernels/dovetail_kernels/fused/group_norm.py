"""group_norm: one launch forward, and one or two backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import NO_OFFSETS, Array, placing
from dovetail_kernels.device import Device, device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS, Team

__all__ = ["enter"]

FEW = 1 << 14
"""Elements whose gradient is one launch, however few its groups are: a launch costs as much."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name, function in (
        ("group_norm", _forward),
        ("group_norm_train", _forward),
        ("group_norm_backward", _backward),
    ):
        table.add(name, function, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits)


def _fits(facts: Any) -> bool:
    return bool(0 < facts.outputs[0].numel < 1 << 31)


def _sizes(facts: Any) -> tuple[int, int, int]:
    """(images, groups, channels of a group)."""
    shape, groups = facts.outputs[0].shape, facts.attributes["num_groups"]
    return shape[0], groups, shape[1] // groups


def _forward(facts: Any) -> Callable[..., None]:
    x, weight, bias = facts.inputs
    out, *statistics = facts.outputs
    device, work = device_of(out.device), accumulated(out.dtype)
    images, groups, channels = _sizes(facts)
    lines = images * groups
    team = Team(device, work, lines, out.numel // lines)
    kinds = {
        "OUT": out.dtype,
        "IN": x.dtype,
        "WEIGHT": x.dtype if weight is None else weight.dtype,
        "BIAS": x.dtype if bias is None else bias.dtype,
    }
    macros = {
        "IS_BACKWARD": 0,
        "HAS_STATISTICS": int(bool(statistics)),
        "HAS_WEIGHT": int(weight is not None),
        "HAS_BIAS": int(bias is not None),
    }
    text = team.program("group_norm", macros, **kinds)
    eps = np.dtype(work.numpy).type(facts.attributes["eps"])
    sizes = (channels, groups, images)
    count = 4 + len(statistics)
    launch = team.launch(text, "group_norm", count, [eps], facts.op.name, sizes)
    place, queue = placing(count), launch.with_numbers

    # What is absent is not read, and an array that is there stands for it.
    if statistics:

        def keeping(x: Any, weight: Any, bias: Any, out: Any, mean: Any, root: Any) -> None:
            weight = x if weight is None else weight
            queue(*place(out, x, weight, x if bias is None else bias, mean, root))

        return keeping

    def run(x: Any, weight: Any, bias: Any, out: Any) -> None:
        queue(*place(out, x, x if weight is None else weight, x if bias is None else bias))

    return run


def _is_whole(device: Device, numel: int, groups: int) -> bool:
    """Whether a team takes a group of all images."""
    return numel <= FEW or (device.is_cpu and groups >= 4 * device.units)


def _backward(facts: Any) -> Callable[..., None]:
    grad, x, mean, root, weight = facts.inputs
    out = facts.outputs[0]
    device, work = device_of(out.device), accumulated(out.dtype)
    images, groups, channels = _sizes(facts)
    n = channels * (out.numel // (images * groups * channels))
    whole = _is_whole(device, out.numel, groups)
    each = images if whole else 1
    team = Team(device, work, images * groups // each, n, each=each)
    kinds = {
        "OUT": out.dtype,
        "G": grad.dtype,
        "IN": x.dtype,
        "MEAN": mean.dtype,
        "ROOT": root.dtype,
        "WEIGHT": x.dtype if weight is None else weight.dtype,
    }
    macros = {"IS_BACKWARD": 1, "IS_WHOLE": int(whole), "HAS_WEIGHT": int(weight is not None)}
    text, name = team.program("group_norm", macros, **kinds), facts.op.name
    launch = team.launch(text, "backward", 8, label=name, sizes=(channels, groups, images))
    place, queue = placing(8), launch.with_numbers
    if whole:

        def run(
            grad: Any, x: Any, mean: Any, root: Any, weight: Any, out: Any, of_weight: Any,
            of_bias: Any,
        ) -> None:  # fmt: skip
            weight = x if weight is None else weight
            queue(*place(out, of_weight, of_bias, grad, x, mean, root, weight))

        return run
    every = groups * channels
    numbers = [NO_OFFSETS, np.int32(images), np.int32(every)]
    size = device.workers(every, max(1, 4096 // images))
    sums = device.launch(text, "gathered", 3, numbers, size, name)
    place_sums, room = placing(3), images * every * work.itemsize

    def in_parts(
        grad: Any, x: Any, mean: Any, root: Any, weight: Any, out: Any, of_weight: Any, of_bias: Any
    ) -> None:
        with device.scratch(2 * room) as (block,):
            parts, more = (Array(block, at, (), (), work) for at in (0, room))
            weight = x if weight is None else weight
            queue(*place(out, parts, more, grad, x, mean, root, weight))
            sums.with_numbers(*place_sums(of_weight, of_bias, parts))

    return in_parts
