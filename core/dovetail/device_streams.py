"""The part of ``dt.<name>`` and ``dt.accelerator`` that is about streams, by PyTorch's names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dovetail.device_part import DevicePart

if TYPE_CHECKING:
    from dovetail import streams

__all__ = ["AcceleratorStreams", "DeviceStreams"]


class _Of(type):
    """The type of ``dt.<name>.Stream`` and ``.Event``: those of that device type are instances."""

    place: str
    kind: type[Any]

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.kind) and instance.device.type == cls.place

    def __subclasscheck__(cls, subclass: type) -> bool:
        return subclass is cls or (
            isinstance(subclass, _Of)
            and subclass.place == cls.place
            and issubclass(subclass.kind, cls.kind)
        )

    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        return cls.make(*args, **keywords)  # type: ignore[attr-defined]


class DeviceStreams(DevicePart):
    """Streams and events of one device type; ``device`` is None, an index, a name or a device."""

    @functools.cached_property
    def Stream(self) -> Any:
        """``Stream(device=None, priority=0)``: a new stream of a device (the current one)."""
        from dovetail.streams import Stream

        def make(device: Any = None, priority: int = 0) -> Stream:
            return Stream(self._device(device), priority)

        return self._class(Stream, make)

    @functools.cached_property
    def Event(self) -> Any:
        """``Event(enable_timing=False, …)``: a new event of the current device."""
        from dovetail.streams import Event

        def make(
            enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
        ) -> Event:
            return Event(
                self._device(),
                enable_timing=enable_timing,
                blocking=blocking,
                interprocess=interprocess,
            )

        return self._class(Event, make)

    @property
    def StreamContext(self) -> Any:
        """The class of what :meth:`stream` returns."""
        from dovetail.streams import StreamContext

        return StreamContext

    def _class(self, kind: type[Any], make: Callable[..., Any]) -> Any:
        facts = {"place": self._name, "kind": kind, "make": staticmethod(make)}
        about = {"__doc__": kind.__doc__, "__module__": f"dovetail.{self._name}"}
        return _Of(kind.__name__, (), {**facts, **about})

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
