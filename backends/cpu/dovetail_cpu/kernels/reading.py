"""Images read between their elements, with channels last: an element of all channels is one row.

Rows are taken, weighed and added up a block of places at a time, in the order of the decomposition
(``ops/layers/reading.py``); what is outside reads a row of zeros behind the image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.blocks import BLOCK, scratch

__all__ = ["enter"]

Array = np.ndarray
Corner = tuple[Array, Array]


def _corners(places: tuple[Array, ...], sizes: tuple[int, ...]) -> list[Corner]:
    """Per corner its rows (N, P), the row behind the image where it is outside, and weights."""
    total = math.prod(sizes)
    steps, pitch = [], total
    for place, size in zip(places, sizes, strict=True):
        pitch //= size
        low = np.floor(place)
        share = place - low
        both = []
        for step, weight in ((0, 1 - share), (1, share)):
            at = low + step
            fits = (at >= 0) & (at <= size - 1)
            rows = np.where(fits, at, 0).astype(np.int64) * pitch
            both.append((rows, fits, weight))
        steps.append(both)
    corners = []
    for parts in itertools.product(*steps):
        rows, fits, weight = parts[0]
        for more_rows, more_fits, more_weight in parts[1:]:
            rows, fits, weight = rows + more_rows, fits & more_fits, weight * more_weight
        corners.append((np.where(fits, rows, total), weight))
    return corners


def read_linear(facts: Any) -> Callable[..., None]:
    """image: (N, C, prod(S)), places: (N, P) per dim -> (N, C, P)."""
    sizes = facts.attributes["sizes"]
    batch, channels, total = facts.inputs[0].shape
    places = facts.outputs[0].shape[2]
    step = max(1, BLOCK // max(1, channels))

    def run(image: Array, *rest: Array) -> None:
        *given, out = rest
        if not out.size:
            return
        with np.errstate(all="ignore"):
            corners = _corners(tuple(given), sizes)
        table = np.empty((total + 1, channels), out.dtype)
        table[total] = 0
        short = min(step, places) * channels
        sums, more = (scratch(out.dtype, short, n).reshape(-1, channels) for n in (8, 9))
        for n in range(batch):
            np.copyto(table[:total], image[n].T)
            for first in range(0, places, step):
                part = slice(first, min(first + step, places))
                size = part.stop - first
                for i, (rows, weight) in enumerate(corners):
                    read = (more if i else sums)[:size]
                    table.take(rows[n, part], 0, read, "clip")
                    np.multiply(read, weight[n, part, None], read)
                    if i:
                        np.add(sums[:size], read, sums[:size])
                np.copyto(out[n, :, part], sums[:size].T)

    return run


def enter(table: KernelTable) -> None:
    """Put this kernel into a table."""
    table.add("read_linear", read_linear, dtypes=(float32, float64), specialize=True)
