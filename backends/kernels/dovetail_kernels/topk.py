"""The largest or smallest elements along a dim, for the host's cores: memory is read once."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import offsets
from dovetail_kernels.device import device_of, known
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.radix import LONG, SHORT, key_macros, ordered
from dovetail_kernels.source import program

__all__ = ["enter"]

MOST = 256
"""The largest k; what is more is a sort's beginning."""

SHARE = 4
"""Elements of a line for each that is asked for, at least: else a sort is as fast."""

FEW = 1 << 14
"""Elements of short lines that are one launch for any k; more are sorted as fast."""

BLOCK = 64
"""Elements that are compared with the last one kept before any of them is looked at."""


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add("topk", _topk, specialize=True, when=_fits)


def _fits(facts: Any) -> bool:
    (source,), k = facts.inputs, facts.attributes["k"]
    device = known(source.device)
    if not source.ndim or device is None or not device.is_cpu:
        return False
    count = source.shape[facts.attributes["dim"]]
    is_small = count <= SHORT and source.numel <= FEW
    return bool(0 < k <= MOST and (count >= SHARE * k or is_small))


def _topk(facts: Any) -> Any:
    source = ghost(facts.inputs[0])
    values, indices = map(ghost, facts.outputs)
    dim, k = facts.attributes["dim"], np.uint32(facts.attributes["k"])
    device, kind = device_of(facts.outputs[0].device), source.dtype
    lines, count, walked, numbers = ordered(source, values, indices, dim)
    if not lines:
        return lambda *arrays: None
    macros = {
        "MOST": MOST,
        "BLOCK": BLOCK,
        "SHORT": SHORT,
        "SHARE": SHARE,
        **key_macros(kind, descending=facts.attributes["largest"]),
        **walked,
    }
    text = program(device, "topk", macros, (), before=("keys",))
    numbers.append(k)
    if count < LONG or lines >= 4 * device.units:
        size = device.workers(lines, max(1, 8192 // count))
        launch = device.launch(text, "top_lines", 3, numbers, size, "topk")

        def run(x: Any, y: Any, at: Any) -> None:
            launch.with_numbers((y.buffer, at.buffer, x.buffer), offsets(x, y, at))

        return run
    parts = min(4 * device.units, count // (LONG // 4))
    numbers.append(np.uint64(parts))
    size = device.workers(lines * parts, 1)
    first = device.launch(text, "top_parts", 3, numbers, size, "topk")
    second = device.launch(text, "top_joined", 5, numbers, device.workers(lines, 1), "topk")
    room = lines * parts * int(k)
    key_size = 8 if kind.itemsize == 8 else 4

    def shared(x: Any, y: Any, at: Any) -> None:
        places_of = offsets(x, y, at)
        with device.scratch(room * key_size, room * 4) as (keys, order):
            first.with_numbers((keys, order, x.buffer), places_of)
            second.with_numbers((y.buffer, at.buffer, x.buffer, keys, order), places_of)

    return shared
