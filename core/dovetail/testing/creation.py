"""``make_tensor``: a tensor of random values to try something with.

Source: PyTorch's page ``torch.testing``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import dovetail
from dovetail import dtypes as d
from dovetail.device import device as Device
from dovetail.memory_formats import memory_format as MemoryFormat
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = ["make_tensor"]


def make_tensor(
    *shape: int | Sequence[int],
    dtype: d.dtype,
    device: Device | str | int,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: MemoryFormat | None = None,
) -> Tensor:
    """Values drawn evenly from ``[low, high)``, for tests.

    Args:
        shape: sizes, one by one or as one sequence.
        low: the smallest value; by default 0 for bool, -9 for others (0 where that is not held).
        high: the end of the values; by default 2 for bool, 10 for integers, 9 for others.
        requires_grad: gradients are wanted for it.
        noncontiguous: every other element of a larger memory (for more than one element).
        exclude_zero: zeros become 1, or the smallest positive number of a floating dtype.
        memory_format: the order of the elements in memory.

    Raises:
        ValueError: an interval with no value of the dtype in it, or options that exclude each
            other.
        TypeError: ``dtype`` is no dtype.

    Example:
        >>> import dovetail as dt
        >>> x = dt.testing.make_tensor(2, 3, dtype=dt.int64, device="cpu", low=0, high=1)
        >>> x.tolist()
        [[0, 0, 0], [0, 0, 0]]
    """
    if not isinstance(dtype, d.dtype):
        raise TypeError(
            f"The requested dtype '{dtype}' is not supported by torch.testing.make_tensor()."
        )
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
            f"noncontiguous={noncontiguous} and memory_format={memory_format}"
        )
    if requires_grad and dtype.category < 2:
        raise ValueError(
            "`requires_grad=True` is not supported for boolean and integral dtypes, but got "
            f"dtype={dtype}"
        )
    sizes = _sizes(shape)
    bounds = _interval(dtype, low, high)
    made = _drawn(sizes, dtype, device, *bounds)
    if exclude_zero:
        made[made == 0] = 1 if dtype.category < 2 else dovetail.finfo(dtype).tiny
    if noncontiguous and made.numel() > 1:
        made = made.repeat_interleave(2, dim=-1)[..., ::2]
    elif memory_format is not None:
        made = made.clone(memory_format=memory_format)
    return made.requires_grad_(requires_grad)


def _sizes(shape: tuple[Any, ...]) -> tuple[int, ...]:
    if len(shape) == 1 and isinstance(shape[0], Sequence):
        return tuple(shape[0])
    return tuple(shape)


def _limits(dtype: d.dtype) -> tuple[float, float, float, float]:
    """Lowest and highest value (the latter excluded for whole numbers), and the usual interval."""
    if dtype.category == 0:
        return 0, 2, 0, 2
    if dtype.category == 1:
        facts = dovetail.iinfo(dtype)
        return facts.min, facts.max + 1, -9, 10
    largest = dovetail.finfo(dtype).max
    return -largest, largest, -9, 9


def _interval(dtype: d.dtype, low: float | None, high: float | None) -> tuple[float, float]:
    """The interval inside what the dtype holds, with whole ends where it holds whole numbers."""
    lowest, highest, usual_low, usual_high = _limits(dtype)
    low = max(usual_low, lowest) if low is None else low
    high = min(usual_high, highest) if high is None else high
    if any(isinstance(v, float) and math.isnan(v) for v in (low, high)):
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low} and high={high}")
    if low == high and dtype.category >= 2:
        warn(
            "Passing `low==high` to `torch.testing.make_tensor` for floating or complex types is "
            "deprecated since 2.1 and will be removed in 2.3. Use `torch.full(...)` instead.",
            FutureWarning,
        )
    elif low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    if high < lowest or low >= highest:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{low}, {high}), but {dtype} "
            f"only supports [{lowest}, {highest})"
        )
    low, high = max(low, lowest), min(high, highest)
    return (math.ceil(low), math.ceil(high)) if dtype.category < 2 else (low, high)


def _drawn(sizes: tuple[int, ...], dtype: d.dtype, device: Any, low: float, high: float) -> Tensor:
    if dtype.category < 2:
        kind = d.int64 if dtype.category == 0 else dtype
        end = int(high)
        if end > dovetail.iinfo(d.int64).max:  # randint's end is itself an int64
            end -= 1
        return dovetail.randint(int(low), end, sizes, dtype=kind, device=device).to(dtype)
    if dtype.is_complex:
        parts = [_drawn(sizes, dtype.to_real(), device, low, high) for _ in range(2)]
        return dovetail.complex(*parts)
    part = dovetail.rand(sizes, dtype=dtype, device=device)
    # Not low + (high - low) * part: the width may be more than the dtype holds.
    made = part.mul(high).add_((1 - part).mul_(low))
    return dovetail.where(made >= high, low, made).to(dtype) if high > low else made
