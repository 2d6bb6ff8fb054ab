"""What a capture asks of the driver, on a stand-in that computes nothing."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import dovetail as dt


def captured(function: Any, **options: Any) -> tuple[Any, Any]:
    graph = dt.standin.CUDAGraph()
    with dt.standin.graph(graph, **options):
        result = function()
    return graph, result


def test_launches_go_to_the_graph(stand: Any) -> None:
    driver, _ = stand()
    x = dt.ones(100, device="standin")
    y = x * 2 + 1
    driver.log.clear()
    driver.launched.clear()
    graph, y = captured(lambda: x * 2 + 1)
    assert not driver.launched
    names = [entry[0] for entry in driver.log]
    begin, end = names.index("begin capture"), names.index("end capture")
    queued = names[begin:end].count("launch")
    assert queued >= 1
    assert "wait for" not in names[begin:end]
    assert "allocate" not in names[begin:end]
    assert "allocate fixed" in names[begin:end]
    stream = driver.of("begin capture")[0][1]
    assert {entry[2] for entry in driver.log[begin:end] if entry[0] == "launch"} == {stream}
    graph.replay()
    assert driver.of("graph") == [("graph", queued, 0)]
    side = dt.standin.Stream()
    with dt.standin.stream(side):
        graph.replay()
    assert driver.of("graph")[1] == ("graph", queued, side.handle.ptr)
    assert y.shape == (100,)


def test_replays_that_draw_wait_for_each_other(stand: Any) -> None:
    """On another stream, what the next one is to draw is written when the last one has read its."""
    driver, _ = stand()
    graph, _y = captured(lambda: dt.rand(5, device="standin"))
    graph.replay()
    done = driver.of("record")[-1][1]
    side = dt.standin.Stream()
    driver.log.clear()
    with dt.standin.stream(side):
        graph.replay()
        graph.replay()
    orders = [entry[:3] for entry in driver.of("wait", "write", "graph")]
    ptr = side.handle.ptr
    assert orders[0] == ("wait", ptr, done)
    assert [entry[0] for entry in orders] == ["wait", "write", "graph", "write", "graph"]


def test_memory_is_the_graphs(stand: Any) -> None:
    driver, device = stand()
    x = dt.ones(5000, device="standin")
    x.sum().item()
    before = dict(driver.blocks)
    graph, y = captured(lambda: ((x * 2).sum() + 1, x.cumsum(0).sort()))
    del y
    gc.collect()
    dt.standin.empty_cache()
    device._pool.empty_cache()
    taken = [start for start in driver.blocks if start in driver._fixed]
    assert taken
    graph.replay()
    graph.reset()
    gc.collect()
    assert not driver._fixed
    dt.standin.empty_cache()
    assert set(driver.blocks) <= set(before)


def test_draws_find_the_generators_place(stand: Any) -> None:
    driver, _ = stand()
    dt.standin.manual_seed(0x1234567890)
    dt.rand(8, device="standin")
    graph, _ = captured(lambda: dt.rand(8, device="standin"))
    handle = graph._handle
    assert handle.draws
    place = handle.state.ptr
    state = driver.blocks[place].view("uint64")
    assert state.tolist() == [0, 0]
    graph.replay()
    assert state.tolist() == [0, 0]
    graph.replay()
    assert state.tolist() == [0, 2]
    dt.standin.manual_seed(0x1234567891)
    graph.replay()
    assert state.tolist() == [1, (1 << 64) - 2]
    assert dt.standin._generator().get_offset() == 2
    plain, _ = captured(lambda: dt.ones(8, device="standin") + 1)
    assert not plain._handle.draws


def test_what_waits_is_refused(stand: Any) -> None:
    driver, _ = stand()
    x = dt.ones(3, device="standin")
    for wait in (x.tolist, lambda: x.sum().item(), dt.standin.synchronize, lambda: print(x)):
        with pytest.raises(RuntimeError, match="waits for the device, which cannot be while"):
            captured(wait)
        assert not driver.captured
    assert not dt.standin.is_current_stream_capturing()
    x.tolist()


def test_numbers_of_the_host_stay(stand: Any) -> None:
    """A tensor made of Python numbers in the capture is written by every replay."""
    driver, _ = stand()
    graph, _ = captured(lambda: dt.tensor([1.0, 2.0, 3.0], device="standin"))
    names = [entry[0] for entry in driver.log]
    inside = names[names.index("begin capture") : names.index("end capture")]
    assert "write" in inside
    assert "record" not in inside  # an event of a captured stream says nothing to the host
    (kept,) = graph._handle.held
    assert kept[:12].view("float32").tolist() == [1.0, 2.0, 3.0]


def test_tables_are_written_at_once(stand: Any) -> None:
    """A kernel's own table may serve calls that come before any replay."""
    driver, device = stand()
    with dt.standin.stream(dt.standin.Stream()):
        stream = driver.current_stream()
        graph = dt.standin.CUDAGraph()
        graph.capture_begin()
        import numpy as np

        table = device.constant(np.arange(4, dtype=np.int32))
        assert driver.of("write")[-1][2] != stream.ptr
        assert driver.log[-1][0] == "wait for"
        assert driver.blocks[table.ptr].view("int32").tolist() == [0, 1, 2, 3]
        pointer = table.ptr
        del table
        gc.collect()
        assert pointer in driver.blocks  # freed after the capture
        graph.capture_end()
        assert pointer not in driver.blocks


def test_a_capture_that_fails(stand: Any) -> None:
    driver, device = stand()
    failure = type(driver).error
    graph = dt.standin.CUDAGraph()

    def work() -> None:
        with dt.standin.graph(graph):
            dt.ones(3, device="standin")
            driver.pending.append(failure(904, "unjoined work"))

    with pytest.raises(RuntimeError, match="cannot be captured: unjoined work"):
        work()
    assert device.capture is None
    assert not device.capturing
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        graph.replay()
    captured(lambda: dt.ones(3, device="standin"))[0].replay()


def test_out_of_memory_in_a_capture(stand: Any) -> None:
    stand(total=1 << 20)
    x = dt.ones(1000, device="standin")
    with pytest.raises(dt.OutOfMemoryError, match="asked for"):
        captured(lambda: x.expand(1000, 1000) + 1)
    assert not dt.standin.is_current_stream_capturing()
