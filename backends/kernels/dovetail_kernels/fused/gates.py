"""prelu and glu, with their gradients: a launch each, but for the gradient of one weight of many
elements."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import Expression, KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, START, Array, dense_strides, joined, placing
from dovetail_kernels.device import Device, device_of
from dovetail_kernels.elementwise import Elementwise
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.softmax import sides
from dovetail_kernels.fused.team import FLOATS, Team
from dovetail_kernels.source import element, program

__all__ = ["enter"]

FEW = 1 << 14
"""Elements of a channel's gradient that are not shared out."""

SHARES = 256
"""Work groups of a GPU at most that share out the gradient of one weight."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name, function, when in (
        ("glu", _glu, _is_one_dtype),
        ("glu_backward", _glu, _is_one_dtype),
        ("prelu", _prelu, _is_one_dtype),
        ("prelu_backward", _prelu_backward, _is_whole),
    ):
        table.add(name, function, dtypes=FLOATS, layout="contiguous", specialize=True, when=when)


def _is_one_dtype(facts: Any) -> bool:
    return facts.outputs[0].numel > 0 and len({s.dtype for s in facts.inputs}) == 1


def _glu(facts: Any) -> Callable[..., None]:
    (out,), source, name = facts.outputs, facts.inputs[-1], facts.op.name
    device, work = device_of(out.device), accumulated(out.dtype)
    outer, n, inner = sides(tuple(source.shape), facts.attributes["dim"])
    team = Team(device, work, outer, n // 2 * inner)
    macros = {"IS_BACKWARD": int(len(facts.inputs) == 2)}
    text = team.program("glu", macros, IN=source.dtype, OUT=out.dtype)
    count = 1 + len(facts.inputs)
    launch = team.launch(text, name, count, label=name, sizes=())
    place, queue = placing(count), launch.with_numbers

    def gate(x: Any, out: Any) -> None:
        queue(*place(out, x))

    def slopes(grad: Any, x: Any, out: Any) -> None:
        queue(*place(out, grad, x))

    return slopes if macros["IS_BACKWARD"] else gate


def _dense(shape: tuple[int, ...], dtype: Any) -> Array:
    return Array(None, 0, shape, dense_strides(shape, dtype.itemsize), dtype)


def _prelu(facts: Any) -> Callable[..., None]:
    (out,), weight = facts.outputs, facts.weight
    shape, channels = tuple(out.shape), weight.numel
    first = _dense(shape, out.dtype)
    by = () if channels == 1 else (channels, *[1] * (len(shape) - 2))
    views = [first, first, _dense(by, out.dtype).expand(shape)]
    expression = Expression(2, {"float": "x0 > 0 ? x0 : x0 * x1"})
    return Elementwise(device_of(out.device), "prelu", expression, views, (), out.dtype, 0).kernel


def _channels(facts: Any) -> tuple[int, int, int]:
    """(outer, channels, inner) of a call, one channel where there is one weight."""
    shape, count = tuple(facts.outputs[0].shape), facts.weight.numel
    if count == 1 or len(shape) < 2:
        return 1, count, prod(shape)
    return shape[0], count, prod(shape[2:])


def _is_whole(facts: Any) -> bool:
    """Whether each channel is small, or its parts are long; or there is one."""
    if not _is_one_dtype(facts):
        return False
    outer, channels, inner = _channels(facts)
    if channels == 1:
        return True
    if outer * channels * inner <= FEW:
        return True
    device = device_of(facts.outputs[0].device)
    return channels >= 4 * device.units and inner >= (16 if device.is_cpu else device.group // 4)


def _prelu_backward(facts: Any) -> Callable[..., None]:
    out, of_weight = facts.outputs
    device, work = device_of(out.device), accumulated(out.dtype)
    outer, channels, inner = _channels(facts)
    total, is_shared = outer * channels * inner, channels == 1 and inner > FEW
    if is_shared:
        channels = _shares(device, total)
        inner = -(-total // channels)
    group = 1 if device.is_cpu else device.group
    macros = {
        "T": dialect.VALUES[work.name],
        "GROUP": group,
        **element(device, "IN", out.dtype),
        **element(device, "OUT", out.dtype),
        **element(device, "SUM", work if is_shared else of_weight.dtype),
    }
    text = program(device, "prelu", macros, (out.dtype, work))
    sizes = joined((outer, channels, inner, total, int(not is_shared)), 8, np.uint64)
    each = max(1, outer * inner)
    groups = device.workers(channels, max(1, 4096 // each))[0][0] if device.is_cpu else channels
    size = (min(groups, 1 << 16) * group,), (group,)
    launch = device.launch(text, "prelu_backward", 5, [NO_OFFSETS, sizes], size, "prelu_backward")
    place, queue = placing(5), launch.with_numbers

    def run(grad: Any, x: Any, weight: Any, out: Any, of_weight: Any) -> None:
        queue(*place(out, of_weight, grad, x, weight))

    if not is_shared:
        return run
    finish = device.launch(
        text, "prelu_finish", 2, [NO_OFFSETS, np.uint32(channels)], ((1,), (1,)), "prelu_backward"
    )
    place_finish = placing(2)

    def in_shares(grad: Any, x: Any, weight: Any, out: Any, of_weight: Any) -> None:
        with device.scratch(channels * work.itemsize) as (block,):
            (first, _, *rest), begins = place(out, START, grad, x, weight)
            queue((first, block, *rest), begins)
            (first, _), begins = place_finish(of_weight, START)
            finish.with_numbers((first, block), begins)

    return in_shares


def _shares(device: Device, total: int) -> int:
    return device.units * 4 if device.is_cpu else min(SHARES, -(-total // FEW))
