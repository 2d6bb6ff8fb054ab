"""The norm of many tensors together, and what scales, unscales or bounds them: clip_grad_norm_ and
its like.

The core says what they compute, in ``ops/layers/gradient_norms.py``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import accumulate
from math import prod
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.device import Device, Launch, owner_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import element, program

__all__ = ["enter"]

CHUNK = 1 << 12
"""Elements that a work group takes at once, and that are added up before others join them."""

FEW = 1 << 14
"""Elements of one work group: to share them out, and to add up the shares, takes as long."""

MANY = (8, 30)
"""Tensors of one launch: a driver takes its time for each, there or not. The buffers and numbers of
30 are 1000 bytes, and a device need not take more than 1024 as a kernel's arguments."""

GROUPS = 256
"""Work groups of a launch at most, each of which leaves a number."""

NORMS = {
    1.0: {
        "IS_NORM": 1,
        "ADDED(sum, v)": "((sum) + fabs(v))", "JOINED(a, b)": "((a) + (b))",
        "ROOT(sum)": "(sum)",
    },
    2.0: {
        "IS_NORM": 1,
        "ADDED(sum, v)": "square_more(sum, v)", "JOINED(a, b)": "((a) + (b))",
        "ROOT(sum)": "sqrt(sum)",
    },
    math.inf: {
        "IS_NORM": 1,
        "ADDED(sum, v)": "larger(sum, fabs(v))", "JOINED(a, b)": "larger(a, b)",
        "ROOT(sum)": "(sum)",
    },
}  # fmt: skip
"""By order, what is made of an element and of sums."""

CLIPS = {
    order: {"IS_CLIP": 1, **{k: v for k, v in macros.items() if k != "IS_NORM"}}
    for order, macros in NORMS.items()
}

_SCALE, _BOUND, _UNSCALE = {"IS_SCALE": 1}, {"IS_BOUND": 1}, {"IS_UNSCALE": 1}


class _Part(NamedTuple):
    """A launch for the tensors from one index to another; ``padding``: how many buffers more it
    takes."""

    start: int
    stop: int
    padding: int
    launch: Launch


class _Plan(NamedTuple):
    """The launches for tensors that lie so; those of a norm leave so many numbers."""

    parts: list[_Part]
    left: int


_shape, _offset, _buffer = map(attrgetter, ("shape", "offset", "buffer"))


def _plan(arrays: Sequence[Any], kernel: str, macros: dict[str, Any], others: int) -> Any:
    """(the device, the plan of a kernel for these tensors, kept).

    Args:
        others: buffers besides.
    """
    device = owner_of(arrays[0].buffer)
    offsets = [*map(_offset, arrays)]
    lies = tuple(offsets) if any(offsets) else ()
    key = ("norms", kernel, arrays[0].dtype, *macros.values(), *map(_shape, arrays), lies)
    made = device.kept.get(key)
    if made is None:
        made = device.fitting(lambda: _planned(device, arrays, kernel, macros, others))
        device.remember(key, made)
    return device, made


def _planned(
    device: Device, arrays: Sequence[Any], kernel: str, macros: dict[str, Any], others: int
) -> _Plan | bool:
    if kernel == "norm_clip_step" and sum(prod(a.shape) for a in arrays) > FEW:
        return False  # for one work group
    many = MANY[len(arrays) > MANY[0]]
    dtype, parts, first = arrays[0].dtype, [], 0
    text = _text(device, dtype, many, macros)
    group = 1 if device.is_cpu else device.group
    shares = []
    for start in range(0, len(arrays), many):
        here = arrays[start : start + many]
        counts = [prod(a.shape) for a in here]
        *firsts, count = accumulate((-(-n // CHUNK) for n in counts), initial=0)
        groups = _groups(device, sum(counts), count)
        rows = (counts, [a.offset // dtype.itemsize for a in here])
        numbers = [_padded(row, many, 0) for row in rows]
        numbers += [_padded(firsts, many, count), np.uint64(count)]
        shares.append((start, start + len(here), many - len(here), groups, numbers))
    is_all = len(shares) == 1 and shares[0][3] == 1
    for start, stop, padding, groups, numbers in shares:
        own = _own(kernel, dtype, first, is_all)
        size = (groups * group,), (group,)
        launch = device.launch(text, kernel, many + others, [*numbers, *own], size, kernel)
        parts.append(_Part(start, stop, padding, launch))
        first += groups
    return _Plan(parts, 0 if is_all else first)


def _groups(device: Device, numel: int, chunks: int) -> int:
    """Work groups for so many elements in so many chunks."""
    if numel <= FEW:
        return 1
    return min(chunks, device.units * 4 if device.is_cpu else GROUPS)


def _own(kernel: str, dtype: DType, first: int, is_all: bool) -> list[Any]:
    kind = accumulated(dtype).numpy.type
    return {
        "norm_step": [np.uint32(first), np.uint32(is_all)],
        "norm_scale_step": [np.uint64(0), kind(1)],
        "norm_clip_step": [kind(1)],
        "bound_step": [kind(1)],
        "unscale_step": [np.uint64(0), np.uint64(0)],
    }[kernel]


def _text(device: Device, dtype: DType, many: int, macros: dict[str, Any]) -> str:
    work = accumulated(dtype)
    names = [f"p{t}" for t in range(many)]
    is_read = "IS_NORM" in macros
    memory = "global const IN_MEMORY" if is_read else "global OUT_MEMORY"
    given = {
        "T": dialect.VALUES[work.name],
        "MANY": many,
        "CHUNK": CHUNK,
        "GROUP": 1 if device.is_cpu else device.group,
        "ARGUMENTS": ", ".join(f"{memory} *{name}" for name in names),
        "POINTERS": ", ".join(names),
        **element(device, "IN", dtype),
        **element(device, "OUT", dtype),
        **macros,
    }
    return program(device, "norms", given, (dtype, work))


def _padded(values: Sequence[int], many: int, filler: int) -> Any:
    return np.array([*values, *[filler] * (many - len(values))], np.uint64)


def _buffers(arrays: Sequence[Any], part: _Part) -> list[Any]:
    buffers = [*map(_buffer, arrays[part.start : part.stop])]
    return buffers + buffers[:1] * part.padding


def norm_step(arrays: Sequence[Any], outs: Sequence[Any], *, order: float) -> None:
    """The norm of them all, into a new tensor of one element."""
    out = outs[0].buffer
    macros = NORMS[order]
    device, plan = _plan(arrays, "norm_step", macros, 2)
    if not plan.left:
        part = plan.parts[0]
        part.launch(*_buffers(arrays, part), out, out)
        return
    dtype = arrays[0].dtype
    work = accumulated(dtype)
    with device.scratch(plan.left * work.itemsize) as (block,):
        for part in plan.parts:
            part.launch(*_buffers(arrays, part), out, block)
        group = 1 if device.is_cpu else device.group
        text = _text(device, dtype, MANY[0], macros)
        key = ("norm_finish", text)
        finish = device.keep(
            key,
            lambda: device.launch(
                text, "norm_finish", 2, [np.uint32(0)], ((group,), (group,)), "norm_step"
            ),
        )
        finish.with_numbers((out, block), ((0, np.uint32(plan.left)),))


@functools.lru_cache(maxsize=64)
def _numbers(dtype: DType, begin: int | None, most: float) -> tuple[tuple[int, Any], ...]:
    """A launch's numbers behind those of the tensors; the same object where they are the same."""
    bound = accumulated(dtype).numpy.type(most).tobytes()
    return ((4, bound),) if begin is None else ((4, np.uint64(begin).tobytes()), (5, bound))


def norm_scale_step(arrays: Sequence[Any], totals: Sequence[Any], *, most: float) -> None:
    """Each times ``most`` by the total, where that is less than 1."""
    total = totals[0]
    _, plan = _plan(arrays, "norm_scale_step", _SCALE, 1)
    numbers = _numbers(total.dtype, total.offset // total.dtype.itemsize, most)
    for part in plan.parts:
        part.launch.with_numbers((*_buffers(arrays, part), total.buffer), numbers)


def norm_clip_step(
    arrays: Sequence[Any], outs: Sequence[Any], *, order: float, most: float
) -> None:
    """:func:`norm_step`, then :func:`norm_scale_step` by that."""
    if len(arrays) <= MANY[-1]:
        _, plan = _plan(arrays, "norm_clip_step", CLIPS[order], 1)
        if plan:
            part = plan.parts[0]
            numbers = _numbers(arrays[0].dtype, None, most)
            part.launch.with_numbers((*_buffers(arrays, part), outs[0].buffer), numbers)
            return
    norm_step(arrays, outs, order=order)
    norm_scale_step(arrays, outs, most=most)


def bound_step(arrays: Sequence[Any], *, most: float) -> None:
    """Each element brought into [-most, most]."""
    _, plan = _plan(arrays, "bound_step", _BOUND, 0)
    numbers = _numbers(arrays[0].dtype, None, most)
    for part in plan.parts:
        part.launch.with_numbers(_buffers(arrays, part), numbers)


def unscale_step(arrays: Sequence[Any], founds: Sequence[Any], factors: Sequence[Any]) -> None:
    """Each times a float32 factor; a float32 that is 0 becomes 1 where one is not finite."""
    others = (founds[0], factors[0])
    _, plan = _plan(arrays, "unscale_step", _UNSCALE, len(others))
    numbers = tuple([(4 + i, (a.offset // 4).to_bytes(8, "little")) for i, a in enumerate(others)])
    for part in plan.parts:
        part.launch.with_numbers((*_buffers(arrays, part), *map(_buffer, others)), numbers)


def enter(table: KernelTable) -> None:
    """Enter them."""
    for function in (norm_step, norm_scale_step, norm_clip_step, bound_step, unscale_step):
        table.add(function.__name__, function, dtypes=FLOATS)
