"""CUDA graphs: what is captured on a stream, what it must keep, and how it is queued again.

The capture is relaxed, so that other threads may go on. Memory comes from outside of the streams'
pool meanwhile. What kernels read besides tensors (tables, numbers from the host) is held by the
graph, and draws find in its ``state`` how far the generator has moved.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable

    from dovetail_cuda.device import Buffer, Device

__all__ = ["Capture", "begin", "end", "free", "replay"]

WORD = (1 << 64) - 1


class Capture:
    """A capture, and then its graph.

    Attributes:
        pool: names the memory that it takes for itself.
        held: what its kernels read, and copies from the host.
        freed: memory that may be given back after the capture only.
        state: 16 bytes on the device: what the seed is to be combined with, and what is added to
            the counters.
        draws: a kernel of it reads the state.
        last: where it draws, (stream, event) of the last replay: the state is read until then.
        graph: CuPy's.
    """

    def __init__(self, device: Device, pool: Hashable, seed: int, offset: int) -> None:
        self.device, self.pool, self.seed, self.offset = device, pool, seed, offset
        self.held: list[Any] = []
        self.freed: list[Buffer] = []
        self.state: Any = None
        self.draws = False
        self.last: tuple[int, Any] | None = None
        self.graph: Any = None


def begin(device: Device, stream: Any, pool: Hashable, seed: int, offset: int) -> None:
    """Capture what is queued on ``stream``.

    Raises:
        RuntimeError: the device is being captured already, or refuses.
    """
    with device.lock:
        if device.capture is not None:
            raise RuntimeError(f"{device.name}: another capture is under way; end it first")
        made = Capture(device, pool, seed, offset)
        made.state = device.constant(np.zeros(2, np.uint64))
        device.use()
        try:
            device.cuda.begin_capture(stream)
        except device.cuda.errors as error:
            raise RuntimeError(f"{device.name}: a capture cannot begin: {error}") from error
        device.hold(pool)
        device.capture, device.capturing = made, 1


def end(device: Device, stream: Any) -> Capture:
    """The graph.

    Raises:
        RuntimeError: the device refuses what was queued.
    """
    with device.lock:
        with device._memory:  # what is freed from here on is not the capture's
            made, device.capture, device.capturing = device.capture, None, 0
        if made is None:
            raise RuntimeError(f"{device.name}: no capture is under way")
        device.use()
        try:
            made.graph = device.cuda.end_capture(stream)
        except device.cuda.errors as error:
            device.release(made.pool)
            raise RuntimeError(
                f"{device.name}: what was queued cannot be captured: {error} (a capture's work "
                "must not wait for the device, and streams that took part must be waited for)"
            ) from error
        finally:
            for buffer in made.freed:
                device.free(buffer)
        found: Capture = made
        return found


def replay(capture: Capture, stream: Any, seed: int, offset: int) -> None:
    """Queue the graph on the thread's current stream."""
    device = capture.device
    if capture.draws:
        if capture.last is not None and capture.last[0] != stream.ptr:
            stream.wait_event(capture.last[1])
        moved = struct.pack("<QQ", seed ^ capture.seed, (offset - capture.offset) & WORD)
        device.write(capture.state, 0, memoryview(moved))
    with device.lock:
        device.use()
        try:
            device.cuda.launch_graph(capture.graph, stream)
        except device.cuda.errors as error:
            raise device.failed(error) from error
        device.launches += 1
        device.recent.append("graph")
        if capture.draws:
            capture.last = (stream.ptr, device.mark())


def free(capture: Capture) -> None:
    """Forget the graph and what it holds."""
    capture.graph = capture.state = None
    capture.held.clear()
    capture.device.release(capture.pool)
