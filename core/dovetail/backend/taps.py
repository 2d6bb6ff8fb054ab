"""Images at other sizes, dim by dim: which inputs an output is the sum of, and with what weights.

Both follow from sizes alone ("taps"), and are what PyTorch's ``interpolate`` computes them to be,
in the dtype that it does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["LINEAR", "Taps", "filters", "is_same", "spread_taps", "taps_of"]

Array = np.ndarray
Taps = tuple[Array, Array | None]
"""Inputs (K, out) of each output, and their weights (K, out); None: one input, of weight 1."""

LINEAR = ("linear", "bilinear", "trilinear")
"""The modes that weigh two neighbours."""


def _ratio(kind: Any, size: int, out: int, factor: float | None, align: bool) -> Any:
    """How many inputs one step of the output is, rounded as PyTorch rounds it."""
    if align:
        return kind(size - 1) / kind(out - 1) if out > 1 else kind(0)
    if factor is not None and factor > 0:
        return kind(1.0 / factor)
    return kind(size) / kind(out)


@functools.lru_cache(256)
def _nearest(size: int, out: int, factor: float | None, exact: bool) -> Taps:
    step = np.arange(out)
    ratio = _ratio(np.float32, size, out, factor, False)
    place: Array
    if exact:
        place = ((step + 0.5) * float(ratio)).astype(np.float32)
    elif factor is None and out == size:
        place = step
    else:
        place = step.astype(np.float32) * ratio
    return np.minimum(np.floor(place).astype(np.int64), size - 1)[None], None


def _centres(kind: Any, size: int, out: int, factor: float | None, align: bool) -> Array:
    """Where each output is among the inputs."""
    ratio = _ratio(kind, size, out, factor, align)
    step = np.arange(out).astype(kind)
    centre: Array = ratio * step if align else ratio * (step + kind(0.5)) - kind(0.5)
    return centre


@functools.lru_cache(256)
def _linear(kind: Any, size: int, out: int, factor: float | None, align: bool) -> Taps:
    if out == size:
        return np.arange(out)[None], None
    centre = np.maximum(_centres(kind, size, out, factor, align), 0)
    first = np.minimum(np.floor(centre).astype(np.int64), size - 1)
    share = np.clip(centre - first, 0, 1)
    return np.stack((first, np.minimum(first + 1, size - 1))), np.stack((1 - share, share))


def _cubic(x: Array, a: float) -> Array:
    """Keys' cubic convolution, 1981."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    made: Array = np.where(x <= 1, near, np.where(x < 2, far, 0))
    return made


def _hat(x: Array) -> Array:
    made: Array = np.maximum(1 - np.abs(x), 0)
    return made


def _lanczos(x: Array) -> Array:
    made: Array = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    return made


@functools.lru_cache(256)
def _bicubic(kind: Any, size: int, out: int, factor: float | None, align: bool) -> Taps:
    centre = _centres(kind, size, out, factor, align)
    first = np.minimum(np.floor(centre).astype(np.int64), size - 1)
    share = np.clip(centre - first, 0, 1)
    around = np.arange(-1, 3)[:, None]
    return np.clip(first + around, 0, size - 1), _cubic(share - around.astype(kind), -0.75)


_FILTERS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "bilinear": (_hat, 1.0),
    "bicubic": (lambda x: _cubic(x, -0.5), 2.0),
    "lanczos": (_lanczos, 3.0),
}
"""With antialiasing: a filter, and how far it reaches."""


@functools.lru_cache(256)
def _antialiased(
    mode: str, kind: Any, size: int, out: int, factor: float | None, align: bool
) -> Taps:
    """The filter is stretched where the output is smaller, so that every input counts."""
    function, reach = _FILTERS[mode]
    ratio = float(_ratio(kind, size, out, factor, align))
    stretch = max(ratio, 1.0)
    centre = ratio * (np.arange(out) + 0.5)
    first = np.maximum((centre - reach * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach * stretch + 0.5).astype(np.int64), size)
    widest = max(int((last - first).max()), 1)
    index = first + np.arange(widest)[:, None]
    weight = np.where(index < last, function((index - centre + 0.5) / stretch), 0)
    total = weight.sum(0)
    return np.minimum(index, size - 1), weight / np.where(total == 0, 1, total)


def filters() -> tuple[str, ...]:
    """The modes with antialiasing."""
    return tuple(_FILTERS)


def is_same(mode: str, size: int, out: int, factor: float | None, antialias: bool) -> bool:
    """Whether nothing is done along a dim."""
    if antialias:
        return size == out
    return (size, factor) == (out, None) and mode != "nearest-exact"


def taps_of(
    mode: str, kind: Any, size: int, out: int, factor: float | None, align: bool, antialias: bool
) -> Taps:
    """The taps of a dim.

    Args:
        mode: as for ``interpolate``, but ``area``.
        kind: NumPy's float32 or float64, in which places and weights are computed.
        factor: how many times as large, where places follow from that.
        align: the corner elements' centres stay where they are.
        antialias: where the output is smaller, every input counts.
    """
    if antialias:
        return _antialiased(mode, kind, size, out, factor, align)
    if mode == "bicubic":
        return _bicubic(kind, size, out, factor, align)
    if mode in LINEAR:
        return _linear(kind, size, out, factor, align)
    return _nearest(size, out, factor, mode == "nearest-exact")


def spread_taps(taps: Taps, size: int) -> tuple[Array, Array]:
    """Outputs (K, size) that each of ``size`` inputs is in, and its weights (K, size) there: zero
    where there are fewer. What has no weight is left out."""
    index, weight = taps
    weight = np.ones(index.shape) if weight is None else weight
    reached = np.broadcast_to(np.arange(index.shape[1]), index.shape)
    keep = weight != 0
    inputs, outputs, weights = index[keep], reached[keep], weight[keep]
    order = np.lexsort((outputs, inputs))
    inputs, outputs, weights = inputs[order], outputs[order], weights[order]
    counts = np.bincount(inputs, minlength=size)
    most = max(int(counts.max()), 1)
    row = np.arange(len(inputs)) - np.repeat(np.cumsum(counts) - counts, counts)
    made, of = np.zeros((most, size), np.int64), np.zeros((most, size), weight.dtype)
    made[row, inputs], of[row, inputs] = outputs, weights
    return made, of
