"""Quantiles: of lines of few elements a launch for all; of longer ones, one behind their sort."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.dtypes import float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, Array, placing
from dovetail_kernels.bits import BITS, bits_of
from dovetail_kernels.device import Device, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.faults import reporting, values_fault_of
from dovetail_kernels.radix import key_macros
from dovetail_kernels.scan import line_of, lines_of
from dovetail_kernels.source import loop_numbers, places, program

__all__ = ["enter"]

WAYS = ("linear", "lower", "higher", "midpoint", "nearest")

SHORT = 64
"""Elements of a line of which each is compared with all others."""


def _program(
    device: Device, facts: Any, before: tuple[str, ...], **more: Any
) -> tuple[str, str, Any]:
    """(text, what users called, the number by which fractions are reported)."""
    options, kind = facts.attributes, facts.outputs[0].dtype
    macros = {
        "T": dialect.VALUES[kind.name],
        "WAY": WAYS.index(options["interpolation"]),
        "SHORT": SHORT,
        **more,
    }
    text = program(device, "quantile", macros, (kind,), ("fault", *before))
    name = "nanquantile" if options["skips_nan"] else "quantile"
    return text, name, values_fault_of(name, "quantile() q values must be in the range [0, 1]")


def _of_rows(facts: Any) -> Callable[..., None]:
    rows, out = facts.rows, facts.outputs[0]
    device = device_of(out.device)
    if not out.numel:
        return lambda *arrays: None
    text, name, fault = _program(device, facts, (), IS_LINES=0)
    sizes = [np.uint64(n) for n in (out.numel, rows.shape[-1], out.shape[-1])]
    numbers = [NO_OFFSETS, *sizes, np.int32(facts.attributes["skips_nan"]), fault]
    size = device.workers(out.numel, 1024)
    launch = device.launch(text, "quantile", 4, numbers, size, name)
    return reporting(device, launch, placing(3))


def _seen(facts: Any) -> tuple[Array, int]:
    """The input and the dim of its lines; where that is all of it, flat."""
    source, dim = ghost(facts.input), facts.attributes["dim"]
    if source.ndim and dim is not None:
        return source, dim
    count, kind = source.numel, source.dtype
    return Array(None, 0, (count,), (kind.itemsize,), kind), 0


def _is_short(facts: Any) -> bool:
    source, dim = _seen(facts)
    is_flat = facts.attributes["dim"] is None
    return source.shape[dim] <= SHORT and (not is_flat or facts.input.is_contiguous)


def _of_lines(facts: Any) -> Callable[..., None]:
    out, q, has_number = ghost(facts.outputs[0]), facts.q, isinstance(facts.q, type)
    device, kind = device_of(facts.outputs[0].device), out.dtype
    if not out.numel:
        return lambda *arrays: None
    source, dim = _seen(facts)
    (n, step_in), begins_of = line_of(source, dim), lines_of(source, dim)
    has_many = not has_number and q.ndim
    many, step_out = line_of(out, 0) if has_many else (1, 1)
    strides = list(out.strides[1:] if has_many else out.strides)
    if facts.attributes["keepdim"] and strides:
        del strides[dim]
    made = Array(None, 0, begins_of.shape, tuple(strides[: begins_of.ndim]), kind)
    loops = collapse(made, begins_of)
    macros = {
        "IS_LINES": 1,
        "HAS_NUMBER": int(has_number),
        "BITS_OF(x)": f"as_{BITS[kind.itemsize][0]}(x)",
        **key_macros(kind, descending=False),
        **places("LINES", loops, "l", ("to", "from")),
    }
    text, name, fault = _program(device, facts, ("keys",), **macros)
    lines = begins_of.numel
    numbers = [NO_OFFSETS, np.uint64(lines), np.uint64(many), np.uint32(n)]
    step_q = q.strides[0] if has_many else 1
    numbers += [np.uint64(step) for step in (step_in, step_out, step_q)]
    numbers += [np.int32(facts.attributes["skips_nan"]), fault, *loop_numbers(loops)]
    if has_number:
        numbers.append(kind.numpy.type(0))
    buffers, size = 4 - has_number, device.workers(lines, max(1, 2048 // n))
    launch = device.launch(text, "quantile_lines", buffers, numbers, size, name)
    if not has_number:
        return reporting(device, launch, placing(3))
    queue, place, last, faults = launch.with_numbers, placing(2), len(numbers) - 1, device.faults

    def run(x: Any, fraction: float, out: Any) -> None:
        buffers, begins = place(out, x)
        queue((*buffers, faults), (*begins, (last, bits_of(fraction, kind))))

    return run


def enter(table: KernelTable) -> None:
    """Enter them."""
    options: dict[str, Any] = {"dtypes": (float32, float64), "specialize": True}
    table.add("quantile_in_order", _of_rows, layout="contiguous", **options)
    for name in ("quantile", "nanquantile"):
        table.add(name, _of_lines, scalars=True, when=_is_short, **options)
