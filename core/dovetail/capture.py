"""A capture under way: which streams take part in it, and what its graph must hold.

See :mod:`dovetail.graphs`, which begins and ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail.streams import Stream

__all__ = ["Capture", "PoolHandle", "keep", "under_way"]

PoolHandle = tuple[int, int]

under_way: list[Capture] = []
"""All captures of this process."""


class Capture:
    """A capture that has begun on a stream.

    Attributes:
        device: whose work is captured.
        pool: names the memory that tensors get on the streams that take part.
        kept: what kernels of the graph use besides, and nobody else may hold.
    """

    def __init__(self, stream: Stream, pool: PoolHandle) -> None:
        self.device, self.pool = stream.device, pool
        self.kept: list[Any] = []
        self._streams: list[Stream] = []
        self.join(stream)
        under_way.append(self)

    @property
    def is_open(self) -> bool:
        """Whether it is under way."""
        return bool(self._streams)

    def join(self, stream: Stream) -> None:
        """A stream that has waited for one of these takes part from here on."""
        if stream.capture is None:
            stream.capture, stream.home = self, (self.pool, stream.stream_id)
            self._streams.append(stream)

    def close(self) -> None:
        """All streams go on as before."""
        for stream in self._streams:
            stream.capture, stream.home = None, stream.stream_id
        self._streams.clear()
        under_way.remove(self)


def keep(thing: Any) -> None:
    """Let the graphs that are captured at present hold what their kernels use."""
    for capture in under_way:
        capture.kept.append(thing)
