"""Streams and events on every device, as PyTorch's pages ``torch.Stream`` and ``torch.Event``.

A device whose runtime has no streams has one, which every ``Stream`` of it is: waiting for it waits
for the device, and time is taken by the host's clock.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from dovetail.backend.api import Runtime
from dovetail.backend.loader import HOST, registry
from dovetail.device import accelerator_name, current_index, resolve, set_current_index
from dovetail.device import device as Device

if TYPE_CHECKING:
    from dovetail.capture import Capture

__all__ = [
    "Event",
    "Stream",
    "StreamContext",
    "current_stream",
    "default_stream",
    "number_of",
    "set_stream",
]

_numbers = itertools.count(1)
Key = tuple[Runtime, int]


def _device(device: Any) -> Device:
    """The device meant: the accelerator's current one, or the host, where none is given."""
    if device is not None:
        return resolve(device)
    return resolve(accelerator_name() or HOST)


def _key(device: Device) -> Key:
    return registry.get(device.type).runtime, device.index or 0


class Stream:
    """A queue of a device's work, done in order; ``with stream:`` makes it the current one.

    Args:
        device: where; None: the accelerator, or the host where there is none.
        priority: lower goes first, where the device has priorities.

    Attributes:
        device: a concrete device.
        stream_id: 0 for the default stream.
        handle: the runtime's own object.
        capture: the capture of a graph that it takes part in.
        home: tells memory apart: a block serves again where it was taken.

    Raises:
        BackendUnavailable: the device's backend is absent, broken or has no hardware.

    Example:
        >>> stream = Stream("cpu")
        >>> with stream:
        ...     x = dt.ones(3) + 1
        >>> stream.synchronize()
        >>> stream.query()
        True
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self._set_up(_device(device), priority)

    def _set_up(self, device: Device, priority: int | None) -> None:
        self.device = device
        self._runtime, self._index = _key(device)
        self.priority = priority or 0
        if priority is None:
            self.stream_id, self.handle = 0, self._runtime.stream_default(self._index)
        else:
            self.stream_id = next(_numbers)
            self.handle = self._runtime.stream_new(self._index, priority)
        self.capture: Capture | None = None
        self.home: Any = self.stream_id
        self._contexts: list[StreamContext] = []

    def synchronize(self) -> None:
        """Wait for all work queued here; errors of asynchronous work surface here."""
        self._runtime.stream_synchronize(self.handle)

    def query(self) -> bool:
        """Whether all work queued here is done."""
        return self._runtime.stream_query(self.handle)

    def record_event(self, event: Event | None = None) -> Event:
        """``event``, or a new one, recorded here."""
        event = Event(self.device) if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Have what is queued here from now on wait for ``event``; the host goes on."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """Have what is queued here from now on wait for what is queued on ``stream`` by now."""
        self.wait_event(stream.record_event())

    def __enter__(self) -> Stream:
        self._contexts.append(StreamContext(self))
        self._contexts[-1].__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._contexts.pop().__exit__(*error)

    def __repr__(self) -> str:
        return f"torch.Stream(device_type={self.device.type}, device_index={self._index}, " + (
            f"stream_id={self.stream_id})"
        )


class Event:
    """A mark in a stream: it happens when the work before it is done.

    Args:
        device: where; None: the accelerator, or the host where there is none.
        enable_timing: take the time, for :meth:`elapsed_time`.
        blocking, interprocess: accepted as in PyTorch; waiting always lets other threads run, and
            an event belongs to its process.

    Example:
        >>> start, end = Event("cpu", enable_timing=True), Event("cpu", enable_timing=True)
        >>> start.record()
        >>> x = dt.ones(1000).exp()
        >>> end.record()
        >>> end.synchronize()
        >>> start.elapsed_time(end) >= 0
        True
    """

    def __init__(
        self,
        device: Any = None,
        *,
        enable_timing: bool = False,
        blocking: bool = False,
        interprocess: bool = False,
    ) -> None:
        self.device = _device(device)
        self.enable_timing = enable_timing
        self._runtime, self._index = _key(self.device)
        self.handle = self._runtime.event_new(self._index, enable_timing)
        self.is_recorded = False
        self._capture: Capture | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Mark this place in ``stream`` (the current one); an earlier mark is forgotten.

        Raises:
            RuntimeError: the stream is another device's.
        """
        stream = current_stream(self.device) if stream is None else stream
        if stream.device != self.device:
            raise RuntimeError(
                f"Event.record: the stream must be of the event's device {self.device}, got one "
                f"of {stream.device}"
            )
        self._runtime.event_record(self.handle, stream.handle)
        self.is_recorded, self._capture = True, stream.capture

    def wait(self, stream: Stream | None = None) -> None:
        """Have what is queued on ``stream`` (the current one) from now on wait for this."""
        stream = current_stream(self.device) if stream is None else stream
        if not self.is_recorded:
            return
        if stream._runtime is self._runtime:
            stream._runtime.stream_wait(stream.handle, self.handle)
            if self._capture is not None and self._capture.is_open:
                self._capture.join(stream)
        else:  # another backend's queue cannot hold this event, so the host waits
            self.synchronize()

    def query(self) -> bool:
        """Whether it has happened; True where it was never recorded."""
        return not self.is_recorded or self._runtime.event_query(self.handle)

    def synchronize(self) -> None:
        """Wait until it has happened; returns at once where it was never recorded."""
        if self.is_recorded:
            self._runtime.event_synchronize(self.handle)

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to ``end_event``.

        Raises:
            ValueError: one of them takes no time, was not recorded, or has not happened yet.
        """
        if not (self.enable_timing and end_event.enable_timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if not (self.is_recorded and end_event.is_recorded):
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if not (self.query() and end_event.query()):
            raise ValueError("Both events must be completed before calculating elapsed time.")
        return self._runtime.event_elapsed(self.handle, end_event.handle)

    def __repr__(self) -> str:
        return f"torch.Event device_type={self.device.type}, device_index={self._index}"


class _Thread(threading.local):
    """What each thread chose."""

    def __init__(self) -> None:
        self.current: dict[Key, Stream] = {}


_thread = _Thread()
_defaults: dict[Key, Stream] = {}
_chosen: set[Key] = set()  # devices on which a thread has chosen a stream: elsewhere there is one


def default_stream(device: Any = None) -> Stream:
    """The stream that a device's kernels go to unless another is chosen."""
    where = _device(device)
    key = _key(where)
    found = _defaults.get(key)
    if found is None:
        made = object.__new__(Stream)
        made._set_up(where, None)
        found = _defaults.setdefault(key, made)
    return found


def current_stream(device: Any = None) -> Stream:
    """The stream that this thread's kernels on a device go to."""
    where = _device(device)
    return _thread.current.get(_key(where)) or default_stream(where)


def number_of(runtime: Runtime, index: int) -> Callable[[], Hashable]:
    """What tells the memory of the calling thread's stream on a runtime's device from others'."""
    key = (runtime, index)

    def number() -> Hashable:
        if not _chosen:
            return 0
        stream = _thread.current.get(key)
        return 0 if stream is None else stream.home

    return number


def set_stream(stream: Stream | None) -> None:
    """Queue what this thread launches on the stream's device there; None changes nothing."""
    if stream is not None:
        key = (stream._runtime, stream._index)
        _chosen.add(key)
        stream._runtime.set_stream(stream._index, stream.handle)
        _thread.current[key] = stream


class StreamContext:
    """``with StreamContext(stream):`` the stream and its device are current; None: no change."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream
        self._before: tuple[Stream, int | None] | None = None

    def __enter__(self) -> None:
        stream = self.stream
        if stream is not None:
            index = None
            if stream.device.index is not None:
                index = current_index(stream.device.type)
                set_current_index(stream.device.type, stream.device.index)
            self._before = current_stream(stream.device), index
            set_stream(stream)

    def __exit__(self, *error: object) -> None:
        if self._before is not None and self.stream is not None:
            stream, index = self._before
            set_stream(stream)
            if index is not None:
                set_current_index(stream.device.type, index)
