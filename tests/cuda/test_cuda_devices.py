"""Two GPUs on a stand-in: what goes to which of them, and copies in between."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import dovetail as dt
from dovetail.backend import OutOfMemoryError, registry

MIB = 1 << 20


@pytest.fixture
def two(stand: Any) -> Any:
    """The driver of a machine with two devices; ``standin:0`` is current."""
    driver, _ = stand(devices=2)
    return driver


def test_work_goes_to_its_device(two: Any) -> None:
    """The stand-in refuses memory, streams and kernels of a device that is not current."""
    x, y = (dt.ones(4, device=f"standin:{i}") for i in range(2))
    for _ in range(2):
        x + x
        y + y
    assert [two.owners[launch.buffer] for launch in two.launched[-4:]] == [0, 1, 0, 1]


@pytest.mark.parametrize("question", ["memory", "stream", "event", "synchronize", "properties"])
def test_a_question_about_the_other_device_changes_nothing(two: Any, question: str) -> None:
    x = dt.ones(4, device="standin:0")
    dt.ones(4, device="standin:1")
    x + x
    module = dt.standin
    {
        "memory": lambda: module.mem_get_info("standin:1"),
        "stream": lambda: module.Stream("standin:1"),
        "event": lambda: module.current_stream("standin:1").record_event(),
        "synchronize": lambda: module.synchronize("standin:1"),
        "properties": lambda: module.get_device_properties("standin:1"),
    }[question]()
    x + x
    assert two.owners[two.launched[-1].buffer] == 0


def test_who_else_chooses_a_device(two: Any) -> None:
    """Another library of the process may make one current."""
    x = dt.ones(4, device="standin:0")
    x + x
    two.use(1)
    x + x
    two.use(1)
    assert x.tolist() == [0, 0, 0, 0]
    two.use(1)
    dt.tensor([1.0], device="standin:0")


def test_threads_have_devices_of_their_own(two: Any) -> None:
    x, y = (dt.ones(4, device=f"standin:{i}") for i in range(2))
    errors: list[BaseException] = []

    def work(tensor: Any) -> None:
        try:
            for _ in range(50):
                tensor + tensor
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(tensor,)) for tensor in (x, y, x)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_default_streams_are_of_their_device(two: Any) -> None:
    module = dt.standin
    dt.ones(4, device="standin:0")
    event = module.default_stream("standin:1").record_event()
    assert event.handle.device == 1
    with module.device(1):
        assert module.default_stream().query()
        module.default_stream().synchronize()
    module.default_stream("standin:0").wait_event(event)
    assert two.of("wait")[-1] == ("wait", 0, event.handle.number, 0)


def _orders(driver: Any) -> list[tuple[Any, ...]]:
    return driver.of("record", "wait", "peer", "wait for")


def test_copies_wait_on_streams_both_ways(two: Any) -> None:
    """The copy, for what makes the source; the source's stream, for the copy; the host, never."""
    module = dt.standin
    x = dt.tensor([1.0, 2.0, 3.0], device="standin:0")
    first, second = module.Stream("standin:0"), module.Stream("standin:1")
    with module.stream(first), module.stream(second):
        two.log.clear()
        y = x.to("standin:1")
        made, waits, copied, done, holds = _orders(two)
    assert made[0::2] == ("record", first.handle.ptr)
    assert waits == ("wait", second.handle.ptr, made[1], 1)
    assert copied == ("peer", 0, 1)
    assert done[0::2] == ("record", second.handle.ptr)
    assert holds == ("wait", first.handle.ptr, done[1], 0)
    assert y.tolist() == [1.0, 2.0, 3.0]
    assert y.to("standin:0").tolist() == [1.0, 2.0, 3.0]


def test_devices_are_let_reach_each_other_once(two: Any) -> None:
    x = dt.ones(4, device="standin:0")
    for _ in range(3):
        x.to("standin:1").to("standin:0")
    assert sorted(two.of("allow")) == [("allow", 0, 1), ("allow", 1, 0)]


def test_devices_that_close_reach_each_other_no_more(two: Any) -> None:
    """The pools are the driver's own, which other libraries of the process use too."""
    dt.ones(4, device="standin:0").to("standin:1")
    runtime = registry.get("standin").runtime
    runtime.close()
    runtime.close()
    assert sorted(two.of("deny")) == [("deny", 0, 1), ("deny", 1, 0)]
    dt.ones(4, device="standin:0").to("standin:1")
    assert sorted(two.of("allow")) == 2 * [("allow", 0, 1)] + 2 * [("allow", 1, 0)]


def test_peer_access_can_be_turned_off(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver then copies through the host."""
    monkeypatch.setenv("DOVETAIL_CUDA_PEER", "0")
    driver, _ = stand(devices=2)
    x = dt.tensor([1.0, 2.0], device="standin:0")
    assert x.to("standin:1").tolist() == [1.0, 2.0]
    assert driver.of("allow") == []
    assert driver.of("peer")[-1] == ("peer", 0, 1)


def test_memory_is_each_devices_own(stand: Any) -> None:
    """Room is made on the device that has none."""
    driver, _ = stand(devices=2, total=1 << 40)
    from dovetail_cuda.runtime import device_of

    for i in range(2):
        device_of(i).memory_total = 4 * MIB
    x = dt.empty(3 * MIB, dtype=dt.uint8, device="standin:1")
    dt.empty(3 * MIB, dtype=dt.uint8, device="standin:0")
    del x
    dt.empty(2 * MIB, dtype=dt.uint8, device="standin:1")
    assert len(driver.of("free")) == 1
    kept = dt.empty(2 * MIB, dtype=dt.uint8, device="standin:1")
    with pytest.raises(OutOfMemoryError, match="standin:1"):
        dt.empty(3 * MIB, dtype=dt.uint8, device="standin:1")
    del kept
    dt.standin.empty_cache()
    assert [device_of(i).used for i in range(2)] == [0, 0]
