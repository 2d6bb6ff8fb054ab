"""One element of each line by its place in order, in one launch: kthvalue, median, nanmedian, mode.

For the host's cores. A line is one work item's, so few long ones are left to a sort.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import Array, offsets
from dovetail_kernels.device import device_of, known
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.radix import LONG, key_macros, ordered
from dovetail_kernels.source import program

__all__ = ["enter"]

SHORT = 64
"""Elements of a line of which each is compared with all others."""

RULES = {"kthvalue": 0, "median": 1, "median_dim": 1, "nanmedian": 2, "nanmedian_dim": 2, "mode": 0}
"""By operator, which place it is at (see ``src/pick.cl``)."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in RULES:
        table.add(
            name, _picked, layout="contiguous" if _is_whole(name) else "strided",
            specialize=True, when=_fits,
        )  # fmt: skip


def _is_whole(name: str) -> bool:
    """Whether the line is all of the input."""
    return name in ("median", "nanmedian")


def _fits(facts: Any) -> bool:
    (source,), name = facts.inputs, facts.op.name
    device = known(source.device)
    if not source.numel or device is None or not device.is_cpu:
        return False
    if not source.ndim and not _is_whole(name):
        return False
    count = source.numel if _is_whole(name) else source.shape[facts.attributes["dim"]]
    if name == "mode":
        return bool(count <= SHORT)
    return bool(count < LONG or source.numel // count >= 4 * device.units)


def _with_line(array: Array, dim: int, ndim: int) -> Array:
    """A result with the dim of the line, of one element."""
    if array.ndim == ndim:
        return array
    shape, strides = list(array.shape), list(array.strides)
    shape.insert(dim, 1)
    strides.insert(dim, 0)
    return Array(None, 0, tuple(shape), tuple(strides), array.dtype)


def _picked(facts: Any) -> Callable[..., None]:
    source, name = ghost(facts.inputs[0]), facts.op.name
    device, kind, dim = device_of(facts.outputs[0].device), source.dtype, 0
    if _is_whole(name):
        count = facts.inputs[0].numel
        source = Array(None, 0, (count,), (kind.itemsize,), kind)
    else:
        dim = facts.attributes["dim"] % source.ndim
    outs = [_with_line(ghost(out), dim, source.ndim) for out in facts.outputs]
    lines, count, walked, numbers = ordered(source, outs[0], outs[-1], dim)
    has_indices = len(outs) > 1
    macros = {
        "PASSES": kind.itemsize,
        "SHORT": SHORT,
        "RULE": RULES[name],
        "HAS_INDICES": int(has_indices),
        **key_macros(kind, descending=False),
        **walked,
    }
    text = program(device, "pick", macros, (), before=("keys",))
    kernel = "frequent" if name == "mode" else "picked"
    if kernel == "picked":
        numbers.append(np.uint64(facts.attributes.get("k", 1) - 1))
    size = device.workers(lines, max(1, 2048 // count))
    queue = device.launch(text, kernel, 2 + has_indices, numbers, size, name).with_numbers
    if has_indices:

        def run(x: Any, y: Any, at: Any) -> None:
            queue((y.buffer, at.buffer, x.buffer), offsets(x, y, at))

        return run

    def alone(x: Any, y: Any) -> None:
        queue((y.buffer, x.buffer), offsets(x, y, y))

    return alone
