"""Windows that slide over the spatial dims: what convolution and pooling have in common.

A window is a strided view, so it costs no copy until something must read it densely. Shapes:
input (N, C, *S), kernel (*K), places of the window (*P).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from dovetail.factories import full
from dovetail.spec import Spec, contiguous_strides

__all__ = [
    "counted_places",
    "dense_like",
    "offsets",
    "padded_array",
    "padded_with",
    "places_of",
    "pooled_places",
    "window_view",
]

Sizes = tuple[int, ...]


def dense_like(input: Spec, shape: Sizes) -> Sizes | None:
    """Channels-last strides for ``shape`` where ``input`` has them; None for row-major."""
    if input.is_contiguous or not 4 <= input.ndim <= 5:
        return None
    last = [0, *range(2, input.ndim), 1]
    order = tuple(input.strides[i] for i in last)
    if order != contiguous_strides(tuple(input.shape[i] for i in last)):
        return None
    strides = contiguous_strides(tuple(shape[i] for i in last))
    return tuple(strides[last.index(i)] for i in range(len(shape)))


def places_of(size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Sizes:
    """How many places the window has along each dim."""
    return tuple(
        (n + 2 * p - q * (k - 1) - 1) // s + 1
        for n, k, s, p, q in zip(size, kernel, stride, padding, dilation, strict=True)
    )


def pooled_places(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> Sizes:
    """As :func:`places_of`; with ``ceil_mode`` a window may hang over the end.

    It must still begin inside the input or the padding before it.
    """
    if not ceil_mode:
        return places_of(size, kernel, stride, padding, dilation)
    places = []
    for n, k, s, p, q in zip(size, kernel, stride, padding, dilation, strict=True):
        count = -((q * (k - 1) + 1 - n - 2 * p) // s) + 1
        places.append(count - 1 if (count - 1) * s >= n + p else count)
    return tuple(places)


def padded_with(value: Any, x: Any, before: Sizes, after: Sizes) -> Any:
    """The spatial dims of ``x`` with ``value`` before and after; contiguous, not recorded."""
    if not any(before) and not any(after):
        return x.contiguous()
    sizes = [p + n + q for p, n, q in zip(before, x.shape[2:], after, strict=True)]
    whole = full((*x.shape[:2], *sizes), value, dtype=x.dtype, device=x.device)
    inner = whole
    for i, (start, n) in enumerate(zip(before, x.shape[2:], strict=True)):
        inner = inner.narrow(2 + i, start, n)
    inner.copy_(x)
    return whole


def window_view(
    padded: Sizes, kernel: Sizes, places: Sizes, stride: Sizes, dilation: Sizes
) -> tuple[Sizes, Sizes]:
    """(sizes, strides) of (N, C, *K, *P): every window of a contiguous (N, C, *S) array."""
    batch, channel, *steps = contiguous_strides(padded)
    return (
        (*padded[:2], *kernel, *places),
        (
            batch,
            channel,
            *(step * q for step, q in zip(steps, dilation, strict=True)),
            *(step * s for step, s in zip(steps, stride, strict=True)),
        ),
    )


# for references, on NumPy arrays


def counted_places(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> Sizes:
    """As :func:`pooled_places`, place by place instead of by its formula."""
    places = []
    for n, k, s, p, q in zip(size, kernel, stride, padding, dilation, strict=True):
        count, reach = 1, q * (k - 1) + 1 - p  # what the first window reaches
        while reach + s <= n + p:
            count, reach = count + 1, reach + s
        hangs = ceil_mode and reach < n + p and count * s < n + p
        places.append(count + hangs)
    return tuple(places)


def padded_array(x: Any, before: Sizes, after: Sizes, value: float = 0.0) -> Any:
    """The same for a NumPy array."""
    sides = ((0, 0), (0, 0), *zip(before, after, strict=True))
    return np.pad(x, sides, constant_values=value)


def offsets(
    kernel: Sizes, places: Sizes, stride: Sizes, dilation: Sizes
) -> Iterator[tuple[Sizes, Any]]:
    """Each offset within the kernel, and the index of what it sees of a padded input."""
    for offset in itertools.product(*map(range, kernel)):
        where = tuple(
            slice(k * q, k * q + (m - 1) * s + 1, s)
            for k, m, s, q in zip(offset, places, stride, dilation, strict=True)
        )
        yield offset, (slice(None), slice(None), *where)
