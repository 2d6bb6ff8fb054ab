"""A stable sort along a dim by bytes of keys, for the host's cores.

A work item there has a cache of its own and no neighbours to wait for: it sorts a line by itself,
all counts found in one reading; where there are fewer lines than would keep the cores busy, a line
is shared out in parts. Bytes that are the same in a whole line cost nothing where it is one item's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dovetail.backend import collapse
from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import Array, offsets
from dovetail_kernels.device import Device
from dovetail_kernels.scan import line_of, lines_of
from dovetail_kernels.source import loop_numbers, places, program

__all__ = ["LONG", "SHORT", "Ordered", "key_macros", "ordered", "sorting"]

LONG = 1 << 14
"""Elements of a line that is worth sharing out."""

SHORT = 40
"""Elements of a line of which each is compared with all others."""

DIGITS = 256

_INFINITE = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF << 52}
_WORDS = {1: "uchar", 2: "ushort", 4: "uint", 8: "ulong"}


def key_macros(kind: DType, *, descending: bool) -> dict[str, Any]:
    """What ``src/keys.cl`` is written in terms of, for elements of ``kind``."""
    size = kind.itemsize
    is_signed = kind.category == 1 and kind.is_signed
    key, suffix = ("ulong", "ul") if size == 8 else ("uint", "u")
    return {
        "WORD": _WORDS[size],
        "KEY": key,
        "KIND": 2 if kind.category == 2 else int(is_signed),
        "SIGN": f"((KEY){hex(1 << (8 * size - 1))}{suffix})",
        "INFINITE": f"((KEY){hex(_INFINITE.get(kind.name, 0))}{suffix})",
        "DESCENDING": int(descending),
    }


class Ordered(NamedTuple):
    """Lines of an input, and where their values and indices go.

    Attributes:
        lines, length: lines, and the elements of one.
        macros: the places of a line in the three, for ``LINES(line)``.
        numbers: the arguments that kernels of these begin with: offsets, sizes, steps.
    """

    lines: int
    length: int
    macros: dict[str, Any]
    numbers: list[Any]


def ordered(source: Array, values: Array, indices: Array, dim: int) -> Ordered:
    """How arrays that lie as these are walked along ``dim``."""
    count, step = line_of(source, dim)
    rows = [lines_of(a, dim) for a in (values, indices, source)]
    lines, loops = rows[0].numel, collapse(*rows)
    steps = (step, line_of(values, dim)[1], line_of(indices, dim)[1])
    numbers = [np.uint64(n) for n in (0, 0, 0, lines, count, *steps)]
    macros = places("LINES", loops, "l", ("to", "beside", "from"))
    return Ordered(lines, count, macros, numbers + loop_numbers(loops))


def sorting(
    device: Device, source: Array, values: Array, indices: Array, dim: int, *, descending: bool
) -> Callable[[Any, Any, Any], None]:
    """``sort(x, values, indices)`` for arrays that lie as these; none of them is empty."""
    kind = source.dtype
    lines, count, walked, numbers = ordered(source, values, indices, dim)
    macros = {
        "PASSES": kind.itemsize,
        "SHORT": SHORT,
        **key_macros(kind, descending=descending),
        **walked,
    }
    text = program(device, "radix", macros, (), before=("keys",))
    key_size = 8 if kind.itemsize == 8 else 4
    if count >= LONG and lines < 4 * device.units:
        return _shared(device, text, numbers, lines, count, kind.itemsize, key_size)
    size = device.workers(lines, max(1, 2048 // count))
    launch = device.launch(text, "sort_lines", 5, numbers, size, "sort")
    if count <= SHORT:  # no memory is needed

        def short(x: Any, y: Any, at: Any) -> None:
            buffers = (y.buffer, at.buffer, x.buffer, y.buffer, at.buffer)
            launch.with_numbers(buffers, offsets(x, y, at))

        return short
    room = 2 * count * size[0][0]

    def run(x: Any, y: Any, at: Any) -> None:
        with device.scratch(room * key_size, room * 4) as (keys, order):
            buffers = (y.buffer, at.buffer, x.buffer, keys, order)
            launch.with_numbers(buffers, offsets(x, y, at))

    return run


def _shared(
    device: Device, text: str, numbers: list[Any], lines: int, count: int, passes: int,
    key_size: int,
) -> Callable[[Any, Any, Any], None]:  # fmt: skip
    """For few long lines: two launches for a byte, and one before and one behind them."""
    parts = min(4 * device.units, count // (LONG // 4))
    size = device.workers(lines * parts, 1)
    sizes = [np.uint64(n) for n in (lines, count, parts)] + [np.uint32(0)]
    whole = [*numbers, np.uint64(parts)]
    begin = device.launch(text, "begin", 3, whole, size, "sort")
    finish = device.launch(text, "finish", 4, whole, size, "sort")
    counting = device.launch(text, "count_digits", 2, sizes, size, "sort")
    moving = device.launch(text, "move", 5, sizes, size, "sort")
    of_pass = [((3, np.uint32(i)),) for i in range(passes)]
    room = lines * count

    def run(x: Any, y: Any, at: Any) -> None:
        places_of = offsets(x, y, at)
        asked = (room * key_size, room * 4) * 2
        with device.scratch(*asked, lines * parts * DIGITS * 4) as blocks:
            keys, order, keys2, order2, counts = blocks
            begin.with_numbers((keys, order, x.buffer), places_of)
            for given in of_pass:
                counting.with_numbers((counts, keys), given)
                moving.with_numbers((keys2, order2, keys, order, counts), given)
                keys, order, keys2, order2 = keys2, order2, keys, order
            finish.with_numbers((y.buffer, at.buffer, x.buffer, order), places_of)

    return run
