"""How long each kernel ran on the device, by the driver's own clock."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyopencl as cl

from dovetail.dtypes import float32
from dovetail_kernels.arrays import Array
from dovetail_kernels.gemm import Product
from dovetail_opencl.runtime import device_of

__all__ = ["Profile", "Row", "profile", "rows_of"]

LARGE = 1 << 26
"""Bytes of the copy that memory's speed is taken from."""


@dataclass(frozen=True)
class Row:
    """All launches of one name.

    Attributes:
        name: the operator that queued them.
        launches: how many.
        seconds: on the device, together.
        nbytes: of all buffers that they were given, each counted once per launch and whole, so that
            a launch that reads a part of a buffer seems faster than it is.
        operations: sums and products of numbers that a product or a convolution takes by its
            definition; Winograd's takes fewer. 0: of all others.
    """

    name: str
    launches: int
    seconds: float
    nbytes: int
    operations: int = 0


@dataclass
class Profile:
    """What :func:`profile` saw.

    Attributes:
        device: the device's name.
        rows: by name, the longest first.
        timeline: (name, seconds, bytes) of each launch, in order.
        peak: bytes per second of a large copy on the device, reading and writing counted.
        arithmetic: operations per second of a product of two float32 matrices of 512 by 512.
    """

    device: str = ""
    rows: list[Row] = field(default_factory=list)
    timeline: list[tuple[str, float, int]] = field(default_factory=list)
    peak: float = 0.0
    arithmetic: float = 0.0

    @property
    def launches(self) -> int:
        """Launches of all names."""
        return sum(row.launches for row in self.rows)

    @property
    def seconds(self) -> float:
        """Time on the device of all launches."""
        return sum(row.seconds for row in self.rows)

    def table(self) -> str:
        """Rows for people."""
        lines = [
            f"{self.device}: {self.launches} launches, {self.seconds * 1e3:.2f} ms; a copy moves "
            f"{self.peak / 1e9:.1f} GB/s, a matmul computes {self.arithmetic / 1e9:.0f} GFLOP/s",
            f"{'kernel':32}{'launches':>9}{'ms':>10}{'share':>8}{'speed':>17}{'of peak':>9}",
        ]
        for row in self.rows:
            amount, peak, unit = (row.nbytes, self.peak, "GB/s   ")
            if row.operations:
                amount, peak, unit = row.operations, self.arithmetic, "GFLOP/s"
            speed = amount / row.seconds if row.seconds else 0.0
            lines.append(
                f"{row.name:32}{row.launches:9}{row.seconds * 1e3:10.3f}"
                f"{row.seconds / (self.seconds or 1):8.1%}{speed / 1e9:9.1f} {unit}"
                f"{speed / (peak or 1):9.1%}"
            )
        return "\n".join(lines)


@contextlib.contextmanager
def profile(index: int = 0) -> Iterator[Profile]:
    """Time every kernel that ``opencl:index`` is given inside of the block.

    The result is filled at the end of the block, which waits for the device.

    Example:
        >>> import dovetail as dt
        >>> from dovetail_opencl.profiling import profile  # doctest: +SKIP
        >>> with profile() as seen:  # doctest: +SKIP
        ...     _ = dt.ones(1000, 1000, device="opencl:0").exp().sum()
        >>> print(seen.table())  # doctest: +SKIP
    """
    device = device_of(index)
    device.synchronize()
    kept: list[tuple[str, Any, int]] = []

    def watch(name: str, event: Any, buffers: Any) -> None:
        sizes = {buffer.int_ptr: buffer.size for buffer in buffers}
        kept.append((name, event, sum(sizes.values())))

    work: dict[str, int] = defaultdict(int)

    def count(label: str, operations: int) -> None:
        work[label] += operations

    made = Profile(device.handle.name.strip())
    usual = device.queue
    enable = cl.command_queue_properties.PROFILING_ENABLE
    with device.lock:
        device.queue = cl.CommandQueue(device.context, device.handle, properties=enable)
        device.watch = watch
    try:
        made.peak = _peak(device)
        made.arithmetic = _arithmetic(device, kept)
        device.worked = count
        kept.clear()
        yield made
        device.synchronize()
    finally:
        with device.lock:
            device.flush()
            device.watch = device.worked = None
            device.queue.finish()
            device.queue = usual
    made.timeline = [
        (name, (event.profile.end - event.profile.start) * 1e-9, nbytes)
        for name, event, nbytes in kept
    ]
    made.rows = rows_of(made.timeline, work)


def rows_of(timeline: Sequence[tuple[str, float, int]], work: Mapping[str, int]) -> list[Row]:
    """Launches (name, seconds, bytes) added up by name, the longest first.

    Args:
        work: operations by name, of those that have some.
    """
    found: dict[str, list[Any]] = defaultdict(lambda: [0, 0.0, 0])
    for name, seconds, nbytes in timeline:
        row = found[name]
        row[0] += 1
        row[1] += seconds
        row[2] += nbytes
    rows = [Row(name, n, t, size, work.get(name, 0)) for name, (n, t, size) in found.items()]
    return sorted(rows, key=lambda row: -row.seconds)


def _peak(device: Any) -> float:
    """Bytes per second that copying moves, the best of three."""
    size = min(LARGE, int(device.handle.max_mem_alloc_size) // 4)
    best = 0.0
    with device.scratch(size, size) as (source, target):
        # Memory that was never written may be one page of zeros, which is read from a cache.
        device.copy(target, 0, source, 0, size)
        device.copy(source, 0, target, 0, size)
        for _ in range(3):
            event = device.copy(target, 0, source, 0, size)
            event.wait()
            best = max(best, 2e9 * size / max(1, event.profile.end - event.profile.start))
    return best


def _arithmetic(device: Any, kept: list[tuple[str, Any, int]]) -> float:
    """Operations per second of a large product, the best of five, by the events that it leaves."""
    size, best = 512, 0.0
    nbytes = 4 * size * size
    with device.scratch(nbytes, nbytes) as (given, made):
        x, out = (
            Array(buffer, 0, (size, size), (4 * size, 4), float32) for buffer in (given, made)
        )
        device.write(given, 0, memoryview(bytes(nbytes)))
        product = Product(device, x, x, out)
        for _ in range(5):
            device.synchronize()
            kept.clear()
            product(x, x, out)
            device.synchronize()
            spent = sum(event.profile.end - event.profile.start for _, event, _ in kept)
            best = max(best, 2e9 * size**3 / max(1, spent))
    return best
