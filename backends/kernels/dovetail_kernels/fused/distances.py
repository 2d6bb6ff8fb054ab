"""cdist and pdist of few points, and the gradient of cdist: one launch each. Of more of them the
core's steps, whose kernels are of vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import element, program

__all__ = ["enter"]

FEW = 1 << 16
"""Differences of coordinates."""

NORMS: dict[float, tuple[str, str, str]] = {
    0.0: ("sum + ((v) != 0)", "sum", "(v) * 0"),
    1.0: ("sum + fabs(v)", "sum", "sign_of(v)"),
    2.0: ("sum + (v) * (v)", "sqrt(sum)", "(v) / (far)"),
    math.inf: (
        "larger(sum, fabs(v))", "sum", "(fabs(v) == (far) ? sign_of(v) : (T)0)",
    ),
}  # fmt: skip
"""By order: what an element adds to a sum, the distance, its slope."""

GENERAL = (
    "sum + ((v) == 0 ? (T)0 : pow(fabs(v), p))", "pow(sum, 1 / p)",
    "((v) == 0 ? (T)0 : sign_of(v) * pow(fabs(v) / (far), p - 1))",
)  # fmt: skip


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("cdist", "cdist_backward", "pdist"):
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )


def _points(facts: Any) -> tuple[Any, Any]:
    """The specs of both sets of points."""
    if len(facts.inputs) == 1:
        return facts.inputs[0], facts.inputs[0]
    x, y = facts.inputs[-3:-1] if len(facts.inputs) == 4 else facts.inputs
    return x, y


def _fits(facts: Any) -> bool:
    """All of one dtype, with something in them, few, and with the same leading dims."""
    x, y = _points(facts)
    if len({s.dtype for s in (*facts.inputs, *facts.outputs)}) > 1:
        return False
    if tuple(x.shape[:-2]) != tuple(y.shape[:-2]):
        return False
    work = prod(x.shape[:-1]) * y.shape[-2] * x.shape[-1]
    return 0 < work <= FEW and all(s.numel for s in facts.outputs)


def _specialised(facts: Any) -> Callable[..., None]:
    x, y = _points(facts)
    out, name = facts.outputs[0], facts.op.name
    device, work = device_of(out.device), accumulated(out.dtype)
    many, rows, columns, n = prod(x.shape[:-2]), x.shape[-2], y.shape[-2], x.shape[-1]
    order = facts.attributes["p"]
    far, root, slope = NORMS.get(order, GENERAL)
    is_backward = name == "cdist_backward"
    macros = {
        "T": dialect.VALUES[work.name],
        "IS_BACKWARD": int(is_backward),
        "IS_PAIRS": int(name == "pdist"),
        "FAR(sum, v)": f"({far})",
        "ROOT(sum)": root,
        "SLOPE(v, far)": f"({slope})",
        **element(device, "IN", x.dtype),
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "distances", macros, (out.dtype, work))
    numbers: list[Any] = [NO_OFFSETS, *(np.uint32(v) for v in (many, rows, columns, n))]
    numbers.append(np.dtype(work.numpy).type(order))
    items = {"cdist": many * rows * columns, "pdist": rows}.get(name, many * (rows + columns))
    each = max(1, many * rows * columns * n // items)
    size = device.workers(items, max(1, 4096 // each))
    count = len(facts.inputs) + len(facts.outputs)
    launch = device.launch(text, "distances", count, numbers, size, name)
    place, queue = placing(count), launch.with_numbers
    if is_backward:
        return lambda g, x, y, far, of_x, of_y: queue(*place(of_x, of_y, g, x, y, far))
    if name == "pdist":
        return lambda x, out: queue(*place(out, x))
    return lambda x, y, out: queue(*place(out, x, y))
