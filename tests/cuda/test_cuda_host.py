"""The host's side of the backend on a stand-in: memory, launches, streams, errors, copies."""

from __future__ import annotations

import gc
import os
import threading
import warnings
from typing import Any

import numpy as np
import pytest
from stand_in import Failure

import dovetail as dt
from dovetail.backend import OutOfMemoryError, registry
from dovetail.backend.allocator import pool_for

MIB = 1 << 20


def test_a_stand_in_is_not_graded(stand: Any) -> None:
    from dovetail_conformance.command import main
    from dovetail_conformance.target import Target

    stand()
    assert "computes nothing" in dt.standin.get_device_name()
    with pytest.raises(RuntimeError, match="stand-in that computes nothing: it is not graded"):
        Target.of("standin")
    assert main(["--device", "standin", "--jobs", "0", "--op", "add"]) == 2


def test_facts(stand: Any) -> None:
    stand(compute=(8, 6), total=3 * MIB)
    module = dt.standin
    assert module.get_device_capability() == (8, 6)
    assert module.get_device_properties().multi_processor_count == 4
    assert module.get_device_properties().total_memory == 3 * MIB
    assert module.mem_get_info()[1] == 3 * MIB
    assert module.is_bf16_supported()
    assert "stand_in" in registry.info("standin", 0).limits


# memory


def test_blocks_are_kept_and_handed_back(stand: Any) -> None:
    driver, device = stand()
    x = dt.empty(MIB, dtype=dt.uint8, device="standin")
    assert driver.of("allocate") == [("allocate", MIB, 0)]
    del x
    y = dt.empty(MIB, dtype=dt.uint8, device="standin")
    assert len(driver.of("allocate")) == 1
    assert not driver.of("free")
    del y
    dt.standin.empty_cache()
    waited, freed = (driver.log.index(driver.of(kind)[-1]) for kind in ("wait for", "free"))
    assert waited < freed
    assert driver.of("free") == [("free", MIB, 0)]
    assert device.used == 0


def test_memory_is_apart_by_stream(stand: Any) -> None:
    driver, _ = stand()
    x = dt.empty(MIB, dtype=dt.uint8, device="standin")
    first = x.data_ptr()
    del x
    side = dt.standin.Stream()
    with dt.standin.stream(side):
        y = dt.empty(MIB, dtype=dt.uint8, device="standin")
        assert y.data_ptr() != first
    assert driver.of("allocate")[-1] == ("allocate", MIB, side.handle.ptr)
    z = dt.empty(MIB, dtype=dt.uint8, device="standin")
    assert z.data_ptr() == first


def test_what_another_stream_uses_waits(stand: Any) -> None:
    driver, _ = stand()
    side = dt.standin.Stream()
    x = dt.empty(MIB, dtype=dt.uint8, device="standin")
    x.record_stream(side)
    first = x.data_ptr()
    del x
    event = driver.of("record")[-1]
    assert event[2] == side.handle.ptr
    driver.held.add(event[1])
    assert dt.empty(MIB, dtype=dt.uint8, device="standin").data_ptr() != first
    driver.held.clear()
    kept = [dt.empty(MIB, dtype=dt.uint8, device="standin") for _ in range(2)]
    assert first in [t.data_ptr() for t in kept]


def test_out_of_memory_makes_room_first(stand: Any) -> None:
    """What waits in caches goes back to the driver, and its pool is trimmed, before it is told."""
    driver, device = stand(total=8 * MIB)
    with device.scratch(3 * MIB):
        pass
    x = dt.empty(3 * MIB, dtype=dt.uint8, device="standin")
    del x
    kept = dt.empty(7 * MIB, dtype=dt.uint8, device="standin")
    assert {entry[1] for entry in driver.of("free")} == {3 * MIB}
    assert len(driver.of("free")) == 2
    assert driver.of("trim")[-1] == ("trim", 6 * MIB)
    with pytest.raises(OutOfMemoryError) as refused:
        dt.empty(2 * MIB, dtype=dt.uint8, device="standin")
    text = str(refused.value)
    for part in (
        f"asked for {2 * MIB} bytes", f"{7 * MIB} allocated", f"{7 * MIB} reserved",
        f"{7 * MIB} are in use here", f"of {8 * MIB} are free on the device",
    ):  # fmt: skip
        assert part in text
    assert dt.standin.memory_stats()["num_ooms"] == 1
    del kept
    dt.empty(7 * MIB, dtype=dt.uint8, device="standin")


def test_an_emptied_cache_is_the_systems(stand: Any) -> None:
    """What tensors and kernels left goes to the driver, and from the driver's pool to the system,
    when the streams that freed it have got there."""
    driver, device = stand(total=16 * MIB)
    with device.scratch(2 * MIB):
        pass
    device.workspace(3 * MIB)
    x = dt.empty(4 * MIB, dtype=dt.uint8, device="standin")
    del x
    assert dt.standin.mem_get_info()[0] == 7 * MIB
    dt.standin.empty_cache()
    assert dt.standin.mem_get_info()[0] == 16 * MIB
    assert driver.of("trim")[-1] == ("trim", 9 * MIB)
    orders = [entry[0] for entry in driver.log if entry[0] in ("free", "wait for", "trim")]
    assert orders[-3:] == ["free", "wait for", "trim"]
    assert device.workspace(MIB) in driver.blocks


def test_an_emptied_cache_leaves_a_capture_alone(stand: Any) -> None:
    driver, device = stand()
    side = dt.standin.Stream()
    graph = dt.standin.CUDAGraph()
    with dt.standin.graph(graph, stream=side):
        device.trim()
    assert not driver.of("trim")


def test_a_workspace_that_could_not_grow_is_nobodys(stand: Any) -> None:
    """Its block went back to the pool, so the next call must not find it."""
    driver, device = stand(total=8 * MIB)
    device.workspace(2 * MIB)
    with pytest.raises(OutOfMemoryError):
        device.workspace(9 * MIB)
    with device.scratch(2 * MIB) as (block,):
        assert device.workspace(MIB) != block.ptr
        assert device.workspace(MIB) in driver.blocks


def test_memory_waits_for_no_kernel(stand: Any) -> None:
    """A thread that queues may have its garbage go to a pool in which another one allocates: were
    memory to wait for the device's lock, they would wait for each other."""
    driver, device = stand()
    kept = dt.empty(MIB, dtype=dt.uint8, device="standin")
    found: list[Any] = []
    with device.lock:
        other = threading.Thread(
            target=lambda: found.append(dt.empty(2 * MIB, dtype=dt.uint8, device="standin"))
        )
        other.start()
        other.join(20)
        assert found, "it waits for the lock of a kernel that is being queued"
        del kept
    assert len(driver.of("allocate")) == 2


def test_room_is_made_without_waiting_for_who_may_wait(stand: Any) -> None:
    """Both pools may be full at once in two threads, each of which holds its own."""
    _driver, device = stand(total=8 * MIB)
    with device.scratch(MIB):
        pass
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with device.lock:
            device._pool.attempt(lambda: (held.set(), done.wait(20)))

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(20)
    found: list[str] = []

    def ask() -> None:
        try:
            dt.empty(15 * MIB // 2, dtype=dt.uint8, device="standin")
        except OutOfMemoryError as refused:
            found.append(str(refused))

    asks = threading.Thread(target=ask)
    asks.start()
    asks.join(20)
    has_ended = not asks.is_alive()
    done.set()
    other.join()
    asks.join()
    assert has_ended, "each waits for the other"
    assert found, "the other thread's pool was not touched"
    dt.empty(15 * MIB // 2, dtype=dt.uint8, device="standin")


def test_the_limit_of_the_environment(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOVETAIL_CUDA_MEMORY", str(2 * MIB))
    stand()
    with pytest.raises(OutOfMemoryError, match=f"asked for {3 * MIB} bytes"):
        dt.empty(3 * MIB, dtype=dt.uint8, device="standin")
    dt.empty(MIB, dtype=dt.uint8, device="standin")


def test_nothing_is_lost(stand: Any) -> None:
    driver, device = stand()
    for _ in range(3):
        x = dt.randn(50, 50, device="standin", requires_grad=True)
        (x @ x).softmax(-1).sum().backward()
    del x
    gc.collect()
    from dovetail.dispatch import clear_plans

    clear_plans()
    gc.collect()
    dt.standin.empty_cache()
    device._pool.empty_cache()
    device.kept.clear()
    assert pool_for("standin").allocated == 0
    assert device.used == sum(block.nbytes for block in driver.blocks.values())


# launches


def test_offsets_and_strides_reach_the_launch(stand: Any) -> None:
    driver, _ = stand()
    x = dt.zeros(40, device="standin")
    out = dt.zeros(3, 2, device="standin")
    driver.launched.clear()
    out.copy_(x.as_strided((3, 2), (7, 2), 5))
    (copied,) = driver.launched
    assert copied.stream == 0
    assert {3, 2, 7, 5} <= set(copied.words)
    driver.launched.clear()
    out.copy_(x.as_strided((3, 2), (11, 3), 4))
    (copied,) = driver.launched
    assert {11, 4} <= set(copied.words)
    assert not {7, 5} & set(copied.words)


def test_a_launch_writes_its_numbers_again_when_they_differ(stand: Any) -> None:
    """Offsets come and go; where none is, it is told so by the same object each time."""
    driver, _ = stand()
    x = dt.ones(24, device="standin")
    driver.launched.clear()
    for start in (5, 0, 0, 3, 5, 0):
        x[start : start + 16].sum()
    seen = [{3, 5} & set(launch.words[1:5]) for launch in driver.launched]
    assert seen == [{5}, set(), set(), {3}, {5}, set()]


def test_launches_go_to_the_threads_stream(stand: Any) -> None:
    driver, _ = stand()
    x = dt.ones(10, device="standin")
    side = dt.standin.Stream()
    with dt.standin.stream(side):
        x + x
    assert driver.launched[-1].stream == side.handle.ptr
    x + x
    assert driver.launched[-1].stream == 0


def test_programs_are_compiled_once(stand: Any) -> None:
    driver, _ = stand(compute=(8, 9))
    x = dt.ones(10, device="standin")
    x.sum()
    assert {entry[2] for entry in driver.of("compile")} == {"sm_89"}
    compiled = len(driver.of("compile"))
    for n in (10, 11, 12):
        dt.ones(n, device="standin").sum()
    assert len(driver.of("compile")) == compiled


def test_a_text_that_does_not_compile_is_shown(stand: Any) -> None:
    from dovetail_cuda.cache import CompileError

    def refuse(text: str, options: tuple[str, ...]) -> None:
        assert "-std=c++17" in options
        raise CompileError("line 7: no such thing")

    stand(compiler=refuse)
    with pytest.raises(RuntimeError, match=r"(?s)does not compile: line 7.*__global__"):
        dt.ones(3, device="standin")


@pytest.mark.parametrize(("operator", "label"), [("sum", "kernel"), ("softmax", "fused")])
def test_labels_of_dispatch(stand: Any, operator: str, label: str) -> None:
    driver, _ = stand()
    x = dt.ones(4, 4, device="standin")
    with dt.trace() as seen:
        x.softmax(-1) if operator == "softmax" else x.sum()
    (event,) = [e for e in seen if e.op == operator]
    assert event.served_by == label
    assert driver.of("launch")


def test_errors_of_queued_work_name_their_kernels(stand: Any) -> None:
    driver, _ = stand()
    x = dt.ones(4, device="standin")
    y = x.exp().sum()
    driver.pending.append(Failure(700, "cudaErrorIllegalAddress: an illegal memory access"))
    with pytest.raises(RuntimeError, match=r"illegal memory access.*latest first: sum, exp"):
        y.item()
    driver.pending.append(Failure(719, "cudaErrorLaunchFailure"))
    with pytest.raises(RuntimeError, match=r"LaunchFailure.*latest first: sum, exp"):
        dt.standin.synchronize()
    assert y.item() == 0.0  # the stand-in goes on


@pytest.mark.parametrize("order", ["write", "copy"])
def test_errors_that_show_at_a_copy_name_their_kernels(
    stand: Any, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """CUDA tells of queued work at whatever is asked of it next."""
    driver, device = stand()
    x = dt.ones(4, device="standin")
    x.exp().sum()

    def fail(*arguments: Any) -> None:
        raise Failure(700, "cudaErrorIllegalAddress: an illegal memory access")

    held = device.alloc(4)
    attempts = {
        "write": lambda: dt.tensor([1.0, 2.0], device="standin"),
        "copy": lambda: device.copy(held, 0, held, 0, 4),
    }
    monkeypatch.setattr(driver, order, fail)
    with pytest.raises(RuntimeError, match=r"illegal memory access.*latest first: sum, exp"):
        attempts[order]()


# copies


def test_small_writes_are_staged(stand: Any) -> None:
    """Each from page-locked memory that no copy reads; it serves again when its event happened."""
    driver, _ = stand()
    values = np.arange(100, dtype=np.float32)
    x = dt.from_numpy(values).to("standin")
    assert len(driver.of("pinned")) == 1
    assert not driver.of("wait for")
    dt.from_numpy(values + 1).to("standin")
    assert len(driver.of("pinned")) == 1
    driver.held |= {entry[1] for entry in driver.of("record")}
    dt.from_numpy(values + 2).to("standin")
    assert len(driver.of("pinned")) == 2
    np.testing.assert_array_equal(x.cpu().numpy(), values)


def test_staging_is_bounded(stand: Any) -> None:
    driver, device = stand()
    for i in range(200):
        driver.held |= {entry[1] for entry in driver.of("record")}
        dt.tensor([float(i)], device="standin")
    assert len(device._staged) <= 66
    assert driver.of("await")


def test_large_writes_wait(stand: Any) -> None:
    """The caller's memory is his again, so the copy must be done."""
    driver, _ = stand()
    dt.from_numpy(np.zeros(3 * MIB, np.uint8)).to("standin")
    assert not driver.of("pinned")
    orders = [entry[0] for entry in driver.log if entry[0] in ("write", "wait for")]
    assert orders[-2:] == ["write", "wait for"]


def test_pinned_tensors_are_copied_from_where_they_lie(stand: Any) -> None:
    """Nothing is staged, nothing waits, and the memory is kept until the event happened."""
    driver, _device = stand()
    x = dt.arange(float(MIB)).pin_memory("standin")
    assert x.is_pinned()
    assert driver.of("pinned") == [("pinned", 4 * MIB)]
    address = x.data_ptr()
    there = x.to("standin", non_blocking=True)
    assert len(driver.of("pinned")) == 1
    assert not driver.of("wait for")
    driver.held |= {entry[1] for entry in driver.of("record")}
    del x
    other = dt.zeros(MIB).pin_memory("standin")
    assert other.data_ptr() != address
    driver.held.clear()
    dt.ones(1).pin_memory("standin").to("standin", non_blocking=True)
    assert dt.zeros(MIB).pin_memory("standin").data_ptr() == address
    assert there.cpu()[-1] == MIB - 1


def test_pinned_memory_that_the_system_does_not_give(
    stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, _ = stand()

    def refuse(nbytes: int) -> Any:
        raise Failure(2, "cudaErrorMemoryAllocation: out of memory")

    monkeypatch.setattr(driver, "pinned", refuse)
    with pytest.raises(dt.OutOfMemoryError, match=r"4194304 bytes of page-locked memory"):
        dt.ones(MIB).pin_memory("standin")


def test_reads_wait_for_their_stream(stand: Any) -> None:
    driver, _ = stand()
    side = dt.standin.Stream()
    with dt.standin.stream(side):
        x = dt.tensor([1.0, 2.0], device="standin")
        assert x.tolist() == [1.0, 2.0]
    assert driver.of("read")[-1] == ("read", 8, side.handle.ptr)
    assert driver.of("wait for")[-1] == ("wait for", "stream", side.handle.ptr)


def test_events_and_streams_in_order(stand: Any) -> None:
    driver, _ = stand()
    module = dt.standin
    first, second = module.Stream(), module.Stream(priority=-1)
    assert driver.of("stream")[-1][2] == -1
    event = module.Event(enable_timing=True)
    event.record(first)
    second.wait_event(event)
    end = module.Event(enable_timing=True)
    end.record(second)
    orders = [entry[0] for entry in driver.log if entry[0] in ("record", "wait")]
    assert orders == ["record", "wait", "record"]
    number = driver.of("record")[0][1]
    assert driver.of("wait") == [("wait", second.handle.ptr, number)]
    assert event.elapsed_time(end) == 1.5
    driver.held.add(number)
    assert not event.query()
    event.synchronize()
    assert event.query()


def test_a_forked_process_is_told(stand: Any) -> None:
    """What it asks of the device; what it only forgets is the parent's."""
    driver, _ = stand()
    x = dt.ones(4, device="standin")
    y = dt.empty(MIB, dtype=dt.uint8, device="standin")
    reads, writes = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are threads
        child = os.fork()
    if not child:
        said = []
        for attempt in (lambda: x + x, lambda: x.tolist(), dt.standin.synchronize):
            try:
                attempt()
            except RuntimeError as error:
                said.append("was forked" in str(error))
        del x, y
        gc.collect()
        os.write(writes, repr(said).encode())
        os._exit(0)
    os.close(writes)
    os.waitpid(child, 0)
    with os.fdopen(reads) as stream:
        assert stream.read() == "[True, True, True]"
    assert (x + x).shape == (4,)
    assert not driver.of("free")
