"""nextafter and frexp by bits, of operands of any layout: a launch each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.dtypes import FLOATING, bfloat16, float16, float32, float64
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.bits import BITS
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.source import loop_numbers, places, program, runs

__all__ = ["enter"]

_SINGLE = {"NORMAL": "float", "RAISED": "as_uint", "RAISED_MANTISSA": 23, "RAISED_BIAS": 127}
_DOUBLE = {"NORMAL": "double", "RAISED": "as_ulong", "RAISED_MANTISSA": 52, "RAISED_BIAS": 1023}

PARTS: dict[Any, dict[str, Any]] = {
    float16: {"MANTISSA": 10, "BIAS": 15, **_SINGLE},
    bfloat16: {"MANTISSA": 7, "BIAS": 127, **_SINGLE},
    float32: {"MANTISSA": 23, "BIAS": 127, **_SINGLE},
    float64: {"MANTISSA": 52, "BIAS": 1023, **_DOUBLE},
}
"""By dtype, where the parts of a number are, and what raises the smallest ones."""

NAMES = ("to", "from", "beside")


def _specialised(facts: Any) -> Callable[..., None]:
    out, name = facts.outputs[0], facts.op.name
    if not out.numel:
        return lambda *arrays: None
    device, word = device_of(out.device), BITS[out.dtype.itemsize][0]
    is_next = name == "nextafter"
    of_all = (out, *facts.inputs, *facts.outputs[1:])
    loops = collapse(*(ghost(x).expand(tuple(out.shape)) for x in of_all))
    macros = {
        "IS_NEXT": int(is_next),
        "WORD": word,
        "SIGNED": word.removeprefix("u"),
        **PARTS[out.dtype],
        **places("PLACES", loops, "p", NAMES),
        **runs(device, "PLACES", loops, "p", NAMES),
    }
    text = program(device, "float_parts", macros, ())
    numbers: list[Any] = [NO_OFFSETS, np.uint64(out.numel), *loop_numbers(loops)]
    size = device.workers(out.numel)
    queue = device.launch(text, f"{name}_of", 3, numbers, size, name).with_numbers
    place = placing(3)

    def neighbour(input: Any, other: Any, out: Any) -> None:
        queue(*place(out, input, other))

    def parts(input: Any, mantissa: Any, power: Any) -> None:
        queue(*place(mantissa, input, power))

    return neighbour if is_next else parts


def enter(table: KernelTable) -> None:
    """Enter them."""
    options: dict[str, Any] = {"dtypes": FLOATING, "specialize": True}
    table.add("nextafter", _specialised, broadcasts=True, in_place=True, **options)
    table.add("frexp", _specialised, **options)
