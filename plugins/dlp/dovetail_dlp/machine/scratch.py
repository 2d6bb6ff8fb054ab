"""Device memory for what a kernel needs only between its launches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from math import prod
from typing import Any

from dovetail.backend import Pool, registry
from dovetail.dtypes import dtype as DType
from dovetail_dlp.machine import link
from dovetail_dlp.machine.region import DEVICE_SHIFT, Region

__all__ = ["scratch"]

_pools: dict[int, Pool] = {}


@contextlib.contextmanager
def scratch(near: Region, shape: Any, kind: DType) -> Iterator[int]:
    """The address of device memory that serves again in order, queue by queue, when this is
    left."""
    index = (near.address >> DEVICE_SHIFT) - 1
    pool = _pools.get(index)
    if pool is None:
        runtime = registry.get("dlp").runtime
        pool = _pools[index] = Pool(
            lambda nbytes: runtime.alloc(nbytes, index), runtime.free,
            lambda: link.link(index).settle(), f"dlp:{index} workspace",
            stream=lambda: link.link(index).queue,
        )  # fmt: skip
    block, size = pool.take(max(1, prod(shape) * kind.itemsize))
    try:
        yield block
    finally:
        pool.give(block, size)
