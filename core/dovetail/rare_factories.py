"""Factories that few programs need: ``empty_permuted``, and ``range`` before ``arange``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import raw
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factories import run_storage
from dovetail.factory_arguments import finish, place, shape_of
from dovetail.ops.out import deliver
from dovetail.spec import contiguous_strides, spec_of
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = ["empty_permuted", "range_inclusive"]


def empty_permuted(
    size: Any,
    physical_layout: Any,
    *,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Uninitialised dense memory, its dims in the order ``physical_layout``, the slowest first.

    Raises:
        RuntimeError: not each dim once; negative dims are not taken.

    Example:
        >>> empty_permuted((2, 3, 4), (2, 0, 1)).stride()
        (3, 1, 6)
    """
    kind, where = place(dtype, device)
    shape, order = shape_of((tuple(size),)), tuple(physical_layout)
    if len(shape) != len(order):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"len(size) = {len(shape)} is not equal to len(physical_layout) = {len(order)}"
        )
    for i, dim in enumerate(order):
        if not 0 <= dim < len(shape):
            raise RuntimeError(
                f"Dimension out of range (expected to be between 0 and {len(shape) - 1}, but got "
                f"{dim} at index {i}).  NB: negative dims not currently supported; file an issue "
                "if you want it."
            )
        if dim in order[:i]:
            raise RuntimeError("Duplicate dim not allowed")
    steps = contiguous_strides(tuple(shape[i] for i in order))
    strides = tuple(steps[order.index(i)] for i in range(len(shape)))
    return finish(raw.empty(spec_of(shape, kind, where, strides)), requires_grad)


def range_inclusive(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Numbers from ``start`` up to **and including** ``end``, ``step`` apart, in the default float.

    Deprecated, as PyTorch's ``range`` is; ``arange`` leaves ``end`` out as Python's ``range`` does.

    Raises:
        TypeError: ``end`` is missing.
        RuntimeError: step is 0, or points away from end, or the range has no end.
    """
    if end is None:
        raise TypeError('range() missing 1 required positional arguments: "end"')
    warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is "
        "inconsistent with Python's range builtin. Instead, use torch.arange, which produces "
        "values in [start, end).",
        UserWarning,
    )
    start, end, step = (
        v.item() if isinstance(v, (Tensor, np.generic)) else v  # type: ignore[union-attr]
        for v in (start, end, step)
    )
    kind, where = place(dtype, device, out)
    if kind not in (*d.INTEGRAL, *d.FLOATING):
        raise Unsupported(f"\"range\" not implemented for '{type_name(kind)}'")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if kind.category == 1:
        start, step = int(start), int(step)
    count = math.floor((end - start) / step) + 1
    made = raw.empty(spec_of((count,), kind, where))
    run_storage("arange", made, {"start": start, "step": step})
    return finish(deliver(made, out), requires_grad)


range_inclusive.__name__ = range_inclusive.__qualname__ = "range"
