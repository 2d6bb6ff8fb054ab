"""Columns added up to an image, some planes at a time: they stay in the cache while all offsets of
the windows are added to them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.blocks import row_blocks

__all__ = ["enter"]


def _seen(n: int, k: int, step: int, pad: int, gap: int) -> tuple[int, list[slice]]:
    """Along one dim, how many windows there are, and what each of their elements sees."""
    count = (n + 2 * pad - gap * (k - 1) - 1) // step + 1
    last = (count - 1) * step + 1
    return count, [slice(gap * i, gap * i + last, step) for i in range(k)]


def col2im(facts: Any) -> Callable[..., None]:
    """columns: (N, C x prod(K), prod(P)) -> (N, C, *S); see ``ops/layout/columns.py``."""
    given = facts.attributes
    kernel, stride, padding, dilation = (
        given[name] for name in ("kernel_size", "stride", "padding", "dilation")
    )
    batch, channels, *size = given["input_shape"]
    lines = [_seen(*dim) for dim in zip(size, kernel, stride, padding, dilation, strict=True)]
    planes = batch * channels
    wide = tuple(n + 2 * p for n, p in zip(size, padding, strict=True))
    inner = (slice(None), *(slice(p, p + n) for p, n in zip(padding, size, strict=True)))
    windows = [(slice(None), *where) for where in itertools.product(*(line for _, line in lines))]
    places = [count for count, _ in lines]
    is_padded = any(padding)

    def run(columns: np.ndarray, out: np.ndarray) -> None:
        if not out.size:
            return
        columns = columns.reshape(planes, len(windows), *places)
        images = out.reshape(planes, *size)
        for part in row_blocks(planes, math.prod(wide)):
            image, given = images[part], columns[part]
            total = np.empty((len(image), *wide), out.dtype) if is_padded else image
            total.fill(0)
            for i, where in enumerate(windows):
                target = total[where]
                np.add(target, given[:, i], target)
            if is_padded:
                np.copyto(image, total[inner])

    return run


def enter(table: KernelTable) -> None:
    """Put this kernel into a table."""
    table.add("col2im", col2im, dtypes=(float32, float64), specialize=True)
