"""The part of ``dt.<name>`` and ``dt.accelerator`` that is about streams, by PyTorch's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.device import device as Device

if TYPE_CHECKING:
    from dovetail import streams

__all__ = ["AcceleratorStreams", "DeviceStreams"]


class DeviceStreams:
    """Streams and events of one device type; ``device`` is None, an index, a name or a device."""

    def _device(self, device: Any = None) -> Device:
        raise TypeError("DeviceStreams: is a part of DeviceModule, which says what a device is")

    def Stream(self, device: Any = None, priority: int = 0) -> streams.Stream:
        """A new stream of a device (the current one)."""
        from dovetail.streams import Stream

        return Stream(self._device(device), priority)

    def Event(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> streams.Event:
        """A new event of the current device."""
        from dovetail.streams import Event

        return Event(
            self._device(),
            enable_timing=enable_timing,
            blocking=blocking,
            interprocess=interprocess,
        )

    def current_stream(self, device: Any = None) -> streams.Stream:
        """The stream that this thread's kernels go to."""
        from dovetail.streams import current_stream

        return current_stream(self._device(device))

    def default_stream(self, device: Any = None) -> streams.Stream:
        """The stream that they go to unless another is chosen."""
        from dovetail.streams import default_stream

        return default_stream(self._device(device))

    def set_stream(self, stream: streams.Stream | None) -> None:
        """Choose the stream that this thread's kernels go to; None changes nothing.

        Raises:
            ValueError: the stream is of another device type.
        """
        from dovetail.streams import set_stream

        self._check(stream)
        set_stream(stream)

    def stream(self, stream: streams.Stream | None) -> streams.StreamContext:
        """A context in which ``stream`` and its device are current; None: no change.

        Raises:
            ValueError: the stream is of another device type.
        """
        from dovetail.streams import StreamContext

        self._check(stream)
        return StreamContext(stream)

    def _check(self, stream: streams.Stream | None) -> None:
        if stream is not None:
            self._device(stream.device)


class AcceleratorStreams:
    """Streams of whichever accelerator there is."""

    def _module(self, device: Any = None) -> Any:
        raise TypeError("AcceleratorStreams: is a part of Accelerator, which knows its module")

    def current_stream(self, device: Any = None, /) -> streams.Stream:
        """The stream that this thread's kernels go to."""
        found: streams.Stream = self._module(device).current_stream(device)
        return found

    def set_stream(self, stream: streams.Stream, /) -> None:
        """Choose the stream that this thread's kernels go to, on the stream's device."""
        self._module(stream.device).set_stream(stream)
