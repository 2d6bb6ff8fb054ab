"""Streams and events: on devices that have them, through a runtime that notes what it is told, and
on devices that have one stream.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dovetail as dt
from dovetail.backend import Backend, registry
from dovetail.streams import number_of

Made = tuple[str, Any]


@pytest.fixture
def queued(need_device: Any) -> Iterator[Callable[..., Made]]:
    """``queued()`` registers a device with streams; returns its name and its runtime."""
    need_device("loop")
    from dovetail_loopback import LoopbackRuntime

    class Runtime(LoopbackRuntime):
        """Loopback that notes every order; an event happens when the test says so."""

        streams = True

        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.log: list[tuple[Any, ...]] = []
            self.made = 0
            self.happened: set[int] = set()

        def _new(self) -> int:
            self.made += 1
            return self.made

        def stream_default(self, index: int) -> Any:
            return ["default", index]  # handles may be of any type, hashable or not

        def stream_new(self, index: int, priority: int = 0) -> Any:
            return ["stream", index, self._new(), priority]

        def stream_synchronize(self, stream: Any) -> None:
            self.log.append(("synchronize", stream))

        def stream_query(self, stream: Any) -> bool:
            self.log.append(("query", stream))
            return False

        def stream_wait(self, stream: Any, event: Any) -> None:
            self.log.append(("wait", stream, event))

        def set_stream(self, index: int, stream: Any) -> None:
            self.log.append(("set", index, stream, threading.get_ident()))

        def event_new(self, index: int, timing: bool = False) -> Any:
            return self._new()

        def event_record(self, event: Any, stream: Any) -> None:
            self.log.append(("record", event, stream))
            self.happened.discard(event)

        def event_query(self, event: Any) -> bool:
            return event in self.happened

        def event_synchronize(self, event: Any) -> None:
            self.log.append(("await", event))

        def event_elapsed(self, start: Any, end: Any) -> float:
            return 12.5

    used = []

    def register(**settings: Any) -> Made:
        runtime = Runtime(**settings)
        name = f"queued{id(runtime)}"
        registry.register(name, Backend(runtime))
        used.append(name)
        return name, runtime

    yield register
    for name in used:
        registry.unregister(name)


def test_streams_reach_the_runtime(queued: Any) -> None:
    name, runtime = queued(devices=2)
    module = getattr(dt, name)
    stream = module.Stream(1, priority=-1)
    assert (stream.device, stream.priority) == (dt.device(name, 1), -1)
    assert stream.handle == ["stream", 1, 1, -1]
    stream.synchronize()
    assert stream.query() is False
    event = stream.record_event()
    module.Stream(1).wait_event(event)
    assert [entry[0] for entry in runtime.log] == ["synchronize", "query", "record", "wait"]
    assert runtime.log[2][1:] == (event.handle, stream.handle)
    assert runtime.log[3][2] == event.handle
    runtime.log.clear()
    stream.wait_stream(module.default_stream(1))
    assert [entry[0] for entry in runtime.log] == ["record", "wait"]
    assert runtime.log[0][2] == ["default", 1]


def test_the_current_stream(queued: Any) -> None:
    name, runtime = queued(devices=2)
    module = getattr(dt, name)
    default = module.current_stream()
    assert default is module.default_stream()
    assert (default.stream_id, default.handle) == (0, ["default", 0])
    first, second = module.Stream(0), module.Stream(1)
    with module.stream(first):
        assert module.current_stream() is first
        assert module.current_stream(1) is module.default_stream(1)
        with second:
            assert module.current_device() == 1
            assert module.current_stream() is second
            assert module.current_stream(0) is first
        with module.stream(None):
            assert module.current_stream() is first
    assert module.current_stream() is default
    assert module.current_device() == 0
    orders = [entry[1:3] for entry in runtime.log if entry[0] == "set"]
    assert orders == [(0, first.handle), (1, second.handle), (1, ["default", 1]),
                      (0, ["default", 0])]  # fmt: skip
    module.set_stream(first)
    assert module.current_stream() is first
    module.set_stream(default)


def test_each_thread_has_its_own(queued: Any) -> None:
    name, runtime = queued()
    module = getattr(dt, name)
    seen = []
    with module.stream(module.Stream()):
        thread = threading.Thread(target=lambda: seen.append(module.current_stream().stream_id))
        thread.start()
        thread.join()
        assert number_of(runtime, 0)() == module.current_stream().stream_id > 0
    assert seen == [0]


def test_time_between_events(queued: Any) -> None:
    name, runtime = queued()
    module = getattr(dt, name)
    start, end = module.Event(enable_timing=True), module.Event(enable_timing=True)
    with pytest.raises(ValueError, match="must be recorded before"):
        start.elapsed_time(end)
    start.record()
    end.record()
    with pytest.raises(ValueError, match="must be completed before"):
        start.elapsed_time(end)
    runtime.happened |= {start.handle, end.handle}
    assert start.elapsed_time(end) == 12.5
    with pytest.raises(ValueError, match="enable_timing=True"):
        start.elapsed_time(module.Event())


def test_an_event_that_was_never_recorded(queued: Any) -> None:
    name, runtime = queued()
    event = getattr(dt, name).Event()
    assert event.query()
    event.synchronize()
    event.wait()
    assert runtime.log == []


def test_waiting_for_another_backends_event(queued: Any) -> None:
    (one, runtime), (two, other) = queued(), queued()
    event = getattr(dt, one).Stream().record_event()
    getattr(dt, two).Stream().wait_event(event)
    assert ("await", event.handle) in runtime.log
    assert other.log == []


def test_mistakes(queued: Any) -> None:
    name, _ = queued(devices=2)
    module = getattr(dt, name)
    with pytest.raises(RuntimeError, match=f"must be of the event's device {name}:0, got one of"):
        module.Event().record(module.Stream(1))
    with pytest.raises(RuntimeError, match=f"must be of the tensor's device {name}:0, got one of"):
        dt.ones(3, device=name).record_stream(module.Stream(1))
    with pytest.raises(ValueError, match="Expected a cpu device"):
        dt.cpu.set_stream(module.Stream())


# Memory.


def buffer_of(x: Any) -> Any:
    return x._storage.buffer


def test_a_block_serves_again_on_its_own_stream_only(queued: Any) -> None:
    name, _ = queued()
    module = getattr(dt, name)
    x = dt.empty(100_000, device=name)
    block = buffer_of(x)
    del x
    with module.stream(module.Stream()):
        elsewhere = dt.empty(100_000, device=name)
        assert buffer_of(elsewhere) != block
        other = buffer_of(elsewhere)
        del elsewhere
        assert buffer_of(dt.empty(100_000, device=name)) == other
    assert buffer_of(dt.empty(100_000, device=name)) == block


def test_a_recorded_stream_keeps_memory_until_it_is_done(queued: Any) -> None:
    name, runtime = queued()
    module = getattr(dt, name)
    x = dt.empty(100_000, device=name)
    block, stream = buffer_of(x), module.Stream()
    x[10:].record_stream(stream)
    x.record_stream(stream)
    runtime.log.clear()
    del x
    records = [entry for entry in runtime.log if entry[0] == "record"]
    assert [entry[2] for entry in records] == [stream.handle]
    assert buffer_of(dt.empty(100_000, device=name)) != block
    runtime.happened.add(records[0][1])
    held = [dt.empty(100_000, device=name) for _ in range(2)]
    assert block in map(buffer_of, held)


def test_emptying_the_cache_takes_what_other_streams_are_done_with(queued: Any) -> None:
    name, runtime = queued()
    module = getattr(dt, name)
    x = dt.empty(100_000, device=name)
    x.record_stream(module.Stream())
    del x
    assert module.memory_allocated() == 0
    module.empty_cache()
    assert module.memory_reserved() > 0  # the event has not happened
    runtime.happened.update(range(100))
    module.empty_cache()
    assert module.memory_reserved() == 0


# Devices with one stream.


@pytest.mark.parametrize("name", ["cpu", "loop"])
def test_a_device_with_one_stream(name: str, need_device: Any) -> None:
    need_device(name)
    module = getattr(dt, name)
    stream, end = dt.Stream(name), dt.Event(name, enable_timing=True)
    start = stream.record_event(dt.Event(name, enable_timing=True))
    with stream:
        assert module.current_stream() == stream
        x = (dt.ones(1000, device=name) + 1).sum()
    stream.wait_stream(module.default_stream())
    end.record()
    end.wait(stream)
    stream.synchronize()
    assert stream.query()
    assert end.query()
    assert 0 <= start.elapsed_time(end) < 60_000
    x.record_stream(stream)
    assert x.item() == 2000
    assert module.current_stream() is module.default_stream()


def test_waiting_for_the_one_stream_waits_for_the_device(
    partial: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = partial()
    waited = []
    runtime = registry.get(name).runtime
    monkeypatch.setattr(runtime, "synchronize", waited.append)
    stream, event = dt.Stream(f"{name}:1"), dt.Event(f"{name}:1")
    stream.synchronize()
    event.record(stream)
    assert waited == [1]  # recording waits only where time is taken
    event.synchronize()
    event.query()
    stream.query()
    dt.Event(f"{name}:1", enable_timing=True).record()
    assert waited == [1] * 5


def test_the_accelerators_streams(need_device: Any) -> None:
    need_device("loop")
    with dt.device("loop:0"):
        assert dt.accelerator.current_stream() is dt.loop.default_stream()
        stream = dt.loop.Stream()
        dt.accelerator.set_stream(stream)
        assert dt.accelerator.current_stream() is stream
        dt.loop.set_stream(dt.loop.default_stream())
