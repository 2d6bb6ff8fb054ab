"""max_pool, avg_pool and its gradient on the host's cores: lines by vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.device import Device, Launch, Size
from dovetail_kernels.folds import accumulated
from dovetail_kernels.gather_direct import read
from dovetail_kernels.shuffle import woven_half
from dovetail_kernels.source import element, program
from dovetail_kernels.vectors import BYTES, lanes, vector_helpers, whole_stores

__all__ = ["average_of_lines", "can_take_lines", "largest_of_lines"]

NEAR = 1 << 14
"""Bytes of lines that a work item keeps, at most, unless those of one window are more."""

LEAST = 1 << 12
"""Elements of the input that a work item has, at least."""

SHORT = 4
"""Places of a line from which on it is worth a vector."""

Made = tuple[Launch, Callable[[], Any], Callable[[Any], None]]
"""(a launch, what takes memory for it, what gives that back)."""

Rows = Sequence[Sequence[int]]
"""Sizes, strides, paddings and dilations of windows, along three dims each."""


def can_take_lines(device: Device, rows: Rows, size: Sequence[int], places: Sequence[int]) -> bool:
    """Whether lines are worth a vector, and each window has an element in the plane.

    Args:
        size, places: of the input's planes and of the output's, three dims.
    """
    return (
        device.is_cpu
        and places[2] >= SHORT
        and all(_is_inside(*numbers) for numbers in zip(size, places, *rows, strict=True))
    )


def _is_inside(n: int, m: int, k: int, s: int, p: int, d: int) -> bool:
    """Whether each of m windows of k elements, d apart, has one of the n along a dim."""
    for i in {*range(min(m, p // s + 1)), m - 1}:
        begin = i * s - p
        first = begin if begin >= 0 else begin % d
        if first > min(n - 1, begin + (k - 1) * d):
            return False
    return True


def _macros(device: Device, dtype: DType, step: int) -> tuple[dict[str, Any], str]:
    """(what both files need besides the window, helpers)."""
    work = accumulated(dtype)
    kind, width = dialect.VALUES[work.name], 64 // work.itemsize
    index = "int" if work.itemsize == 4 else "long"
    vector = f"{kind}{width}"
    made = {
        "T": kind,
        "W": width,
        "WIDE": vector,
        "INDEX": index,
        "PLACE": f"{index}{width}",
        "COUNTED": ", ".join(map(str, range(width))),
        "READ_WIDE(p)": read(kind, width, step, 0, "(p)"),
        "PUT_WIDE(p, v)": f"STORE_{vector}(p, v)",
        "PUT_PLACE(p, v)": f"STORE_{index}{width}(p, v)",
        "CONVERT_WIDE(v)": f"CONVERT_{vector}(v)",
        "WOVEN(p, v, w)": " ".join(
            f"PUT_WIDE(p + {i * width}, ({woven_half(vector, 'v', 'w', i)}));" for i in (0, 1)
        ),
        "vloadW": f"vload{width}",
        "vstoreW": f"vstore{width}",
        **element(device, "OUT", dtype),
        **lanes(device, "OUT", dtype, width, side=False),
    }
    stores = whole_stores(("long",), 8) + (whole_stores(("int",), 16) if index == "int" else "")
    return made, BYTES + vector_helpers((dtype, work), width) + stores


def _four(*numbers: int) -> Any:
    return np.array([*numbers, *[0] * (4 - len(numbers))], np.int32)


def _made(
    device: Device, text: str, name: str, buffers: int, of: tuple[Any, ...], size: Size, room: int
) -> Made:
    """
    Args:
        of: planes, three kinds of sizes, the window's numbers, and a label.
        room: bytes of a work item's memory.
    """
    *numbers, label = of
    begin = [np.uint64(0)] * (buffers - 1)
    launch = device.launch(text, name, buffers, [*begin, *numbers], size, label)
    return launch, *device.room(size[0][0] * room)


def largest_of_lines(
    device: Device, dtype: DType, macros: dict[str, Any], told: Sequence[Any], rows: Rows,
    size: Sequence[int], places: Sequence[int], planes: int,
) -> Made:  # fmt: skip
    """max_pool: buffers are the output, the indices, the input, memory.

    Args:
        macros: of the window.
        told: its numbers, where they are not in the macros.
        rows, size, places: as for :func:`can_take_lines`.
    """
    work = accumulated(dtype)
    width = 64 // work.itemsize
    (deep, high, wide), (_, high_step, step), (_, _, around), (_, high_apart, apart) = rows
    columns = -(-places[2] // width) * width
    length = max(columns * step + (wide - 1) * apart, around + size[2]) + 2 * width
    line, window = 2 * columns * work.itemsize * deep, (high - 1) * high_apart + 1
    block = max(1, min(places[1], (NEAR // line - window) // high_step + 1))
    lines = deep * min(size[1], (block - 1) * high_step + window)
    made, helpers = _macros(device, dtype, step)
    halves = ("CONVERT_long8((v).lo)", "CONVERT_long8((v).hi)") if width == 16 else ("v",)
    stores = (f"STORE_long8(p + {8 * i}, {half});" for i, half in enumerate(halves))
    made["PUT_INDICES(p, v)"] = " ".join(stores)
    text = program(device, "pool_max", made | macros, (dtype,), (), helpers)
    parts = planes * places[0] * -(-places[1] // block)
    of = (
        np.uint64(planes), _four(*size), _four(*places), _four(columns, block, length, lines),
        *told,
    )  # fmt: skip
    return _made(
        device, text, "max_pool_lines", 4, (*of, "max_pool"),
        device.workers(parts, max(1, LEAST // (block * places[2]))),
        (length + 2 * lines * columns) * work.itemsize,
    )  # fmt: skip


def average_of_lines(
    device: Device, dtype: DType, macros: dict[str, Any], told: Sequence[Any], rows: Rows,
    size: Sequence[int], places: Sequence[int], planes: int, *, is_gradient: bool,
) -> Made:  # fmt: skip
    """avg_pool: buffers are the output, the input, memory. Its gradient: the input's, the output's,
    memory. Arguments as for :func:`largest_of_lines`."""
    work = accumulated(dtype)
    width = 64 // work.itemsize
    wide, step, around = (row[2] for row in rows[:3])
    columns = -(-places[2] // width) * width
    if is_gradient:
        begin, lines, label = wide - 1, planes * size[0] * size[1], "avg_pool_grad"
        sums = begin + max(columns, -(-(size[2] + around) // step)) + 2 * width
        length = 0 if step == 1 else around + size[2] + (step + 1) * width
    else:
        begin, lines, label = around, planes * places[0] * places[1], "avg_pool"
        sums = around + max(size[2], columns * step + wide) + 2 * width
        length = 0
    made, helpers = _macros(device, dtype, step)
    made |= {"IS_GRADIENT": int(is_gradient), **macros}
    text = program(device, "pool_average", made, (dtype,), ("pool_divisor",), helpers)
    of = np.uint64(planes), _four(*size), _four(*places), _four(begin, sums, length), *told
    return _made(
        device, text, f"{label}_lines", 3, (*of, label),
        device.workers(lines, max(1, LEAST // size[2])), (sums + length) * work.itemsize,
    )  # fmt: skip
