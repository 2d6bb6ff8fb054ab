"""The running statistics of instance_norm, both in a launch; the core says what is computed, in
``ops/layers/instance_norm_step.py``."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, joined_offsets
from dovetail_kernels.device import Launch, owner_of
from dovetail_kernels.source import program

__all__ = ["enter"]


@functools.lru_cache(maxsize=64)
def _numbers(dtype: DType, *values: float) -> tuple[tuple[int, bytes], ...]:
    """A launch's numbers behind the sizes."""
    kind = dtype.numpy.type
    return tuple((3 + i, kind(value).tobytes()) for i, value in enumerate(values))


def instance_norm_step(
    mean: Any, var: Any, of_means: Any, of_roots: Any, *, share: float, keep: float, eps: float,
    unbiased: float,
) -> None:  # fmt: skip
    """Take the batch's statistics in."""
    device, dtype = owner_of(mean.buffer), mean.dtype
    images, channels = of_means.shape[:2]

    def make() -> Launch:
        text = program(device, "instance_step", {"T": dialect.VALUES[dtype.name]}, (dtype,))
        numbers = [NO_OFFSETS, np.uint32(images), np.uint32(channels)]
        numbers += [np.dtype(dtype.numpy).type(0)] * 4
        size = device.workers(channels, max(1, 4096 // images))
        return device.launch(text, "instance_norm_step", 4, numbers, size, "instance_norm")

    launch: Launch = device.keep(("instance_step", dtype, images, channels), make)
    arrays = (mean, var, of_means, of_roots)
    begins = joined_offsets(*arrays)
    launch.with_numbers(
        [a.buffer for a in arrays], (*begins, *_numbers(dtype, share, keep, eps, unbiased))
    )


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add("instance_norm_step", instance_norm_step, dtypes=(float32, float64))
