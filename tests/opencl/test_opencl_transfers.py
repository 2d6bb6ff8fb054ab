"""Copies between host and device: what is copied aside, in which order, and what an error leaves.

PoCL's device shares the host's memory; ``DOVETAIL_OPENCL_CLASS=gpu``, or ``is_apart``, has it
treated as one that does not.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dovetail as dt

MIB = 1 << 20
SIZES = [0, 1, 63, 65, 65537, MIB - 1, MIB, MIB + 1, 9 * MIB + 13]


def _bytes(nbytes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, nbytes, np.uint8)


class Line:
    """A queue of its own, a buffer, and transfers between it and the host."""

    def __init__(self, device: Any, *, is_apart: bool) -> None:
        import pyopencl as cl

        from dovetail_opencl.transfers import Transfers

        self.cl = cl
        self.context = device.context
        self.queue = cl.CommandQueue(device.context, device.handle)
        self.buffer = cl.Buffer(device.context, cl.mem_flags.READ_WRITE, 16 * MIB)
        self.transfers = Transfers(device.context, is_apart=is_apart)

    def write(self, data: np.ndarray, offset: int = 0) -> None:
        self.transfers.write(self.queue, self.buffer, offset, data.data)

    def read(self, nbytes: int, offset: int = 0) -> np.ndarray:
        made = np.full(nbytes, 77, np.uint8)
        self.transfers.read(self.queue, made.data, self.buffer, offset)
        return made

    def close(self) -> Any:
        """Let nothing that is queued from here on begin, until the event is completed."""
        gate = self.cl.UserEvent(self.context)
        self.cl.enqueue_barrier(self.queue, wait_for=[gate])
        self.queue.flush()
        return gate

    def open(self, gate: Any) -> None:
        gate.set_status(self.cl.command_execution_status.COMPLETE)


@pytest.fixture(params=[False, True], ids=["shared", "apart"])
def line(queue: Any, request: pytest.FixtureRequest) -> Iterator[Line]:
    made = Line(queue, is_apart=request.param)
    yield made
    made.queue.finish()


@pytest.fixture
def apart(queue: Any) -> Iterator[Line]:
    made = Line(queue, is_apart=True)
    yield made
    made.queue.finish()


@pytest.mark.parametrize("nbytes", SIZES)
def test_bytes_come_back_and_their_neighbours_stay(line: Line, nbytes: int) -> None:
    around = np.full(nbytes + 14, 5, np.uint8)
    data = _bytes(nbytes)
    line.write(around)
    line.write(data, 7)
    around[7 : 7 + nbytes] = data
    np.testing.assert_array_equal(line.read(nbytes + 14), around)
    np.testing.assert_array_equal(line.read(nbytes, 7), data)


def test_a_write_returns_before_the_queue_has_come_to_it(line: Line) -> None:
    sizes = [1, 100, MIB, 4 * MIB] if line.transfers.is_apart else [1, 100, MIB]
    gate = line.close()
    kept, offset = [], 0
    for seed, nbytes in enumerate(sizes):
        data = _bytes(nbytes, seed)
        kept.append((data.copy(), offset))
        line.write(data, offset)
        data[:] = 0  # the caller's memory is its own again
        offset += nbytes
    line.open(gate)
    for data, offset in kept:
        np.testing.assert_array_equal(line.read(len(data), offset), data)


@pytest.mark.parametrize(("nbytes", "count"), [(MIB, 11), (MIB // 2 + 1, 24), (3, 700)])
def test_a_full_ring_waits_and_mixes_nothing_up(line: Line, nbytes: int, count: int) -> None:
    gate = line.close()
    wanted = _bytes(nbytes * count)

    def write() -> None:
        for number in range(count):
            data = wanted[number * nbytes :][:nbytes].copy()
            line.write(data, number * nbytes)
            data[:] = 0

    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.2)
    assert writer.is_alive(), "no memory is given out that a copy has yet to read"
    line.open(gate)
    writer.join(60)
    assert not writer.is_alive()
    np.testing.assert_array_equal(line.read(len(wanted)), wanted)


def test_a_ring_serves_lap_after_lap(line: Line) -> None:
    sizes = np.random.default_rng(1).integers(1, MIB, 60)
    for seed, nbytes in enumerate(sizes):
        data = _bytes(int(nbytes), seed)
        line.write(data, 5)
        if seed % 3 == 0:
            np.testing.assert_array_equal(line.read(int(nbytes), 5), data)
    np.testing.assert_array_equal(line.read(len(data), 5), data)


@pytest.mark.parametrize("fails_at", [0, 2, 6])
def test_an_error_in_the_middle_leaves_a_line_that_works(
    apart: Line, fails_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cl, copy = apart.cl, apart.cl.enqueue_copy
    count = 0

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == fails_at + 1:
            raise KeyboardInterrupt
        return copy(*args, **kwargs)

    first, second = _bytes(9 * MIB, 1), _bytes(9 * MIB, 2)
    apart.write(first)
    monkeypatch.setattr(cl, "enqueue_copy", failing)
    with pytest.raises(KeyboardInterrupt):
        apart.write(second)
    np.testing.assert_array_equal(
        apart.read(9 * MIB)[fails_at * MIB :], first[fails_at * MIB :], "what was not queued"
    )
    count = 0
    with pytest.raises(KeyboardInterrupt):
        apart.read(9 * MIB)
    monkeypatch.undo()
    apart.write(second)
    np.testing.assert_array_equal(apart.read(9 * MIB), second)


def test_one_thread_reads_by_pieces_and_another_need_not_wait(apart: Line) -> None:
    data = _bytes(3 * MIB)
    apart.write(data)
    with apart.transfers._reading:
        np.testing.assert_array_equal(apart.read(3 * MIB), data)
    np.testing.assert_array_equal(apart.read(3 * MIB), data)
    assert apart.transfers._reading.acquire(blocking=False), "it is let go"


def test_pageable_memory_serves_where_there_is_no_other(
    queue: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from dovetail_opencl.transfers import page_locked

    nbytes = 2 * int(queue.handle.max_mem_alloc_size)  # touched by nobody, so no page is taken
    with caplog.at_level(logging.DEBUG, "dovetail.opencl"):
        assert page_locked(queue.context, nbytes).nbytes == nbytes
    assert "no page-locked memory" in caplog.text


PROGRAM = """
import threading
import numpy as np
import dovetail as dt
from dovetail_opencl.runtime import device_of
assert device_of(0).transfers.is_apart
"""


def test_writes_and_launches_keep_their_order(fresh: Callable[..., str]) -> None:
    code = """
x, total = dt.empty(70000, device="opencl:0"), dt.zeros(70000, device="opencl:0")
data = np.empty(70000, np.float32)
for step in range(200):
    data[:] = step
    x.copy_(dt.from_numpy(data))
    total += x
assert total.cpu().numpy().tolist() == [199.0 * 100] * 70000
"""
    fresh(PROGRAM + code, DOVETAIL_OPENCL_CLASS="gpu")


def test_arrays_of_any_layout_come_and_go(fresh: Callable[..., str]) -> None:
    code = """
full = np.random.default_rng(0).standard_normal((3, 300, 300))
for kind in (np.float32, np.float16, np.float64):  # 1.03 MiB, under one, over two
    x = full.astype(kind)
    for view in (x, x.transpose(2, 0, 1), x[:, ::3, ::-1], x[1:, 5:, 7:9], x[:, :0]):
        y = dt.tensor(view, device="opencl:0")
        np.testing.assert_array_equal(y.cpu().numpy(), view)
        np.testing.assert_array_equal(y.mT[..., 1:].cpu().numpy(), view.swapaxes(-1, -2)[..., 1:])
        z = dt.zeros(view.shape[::-1], dtype=y.dtype, device="opencl:0").permute(2, 1, 0)
        z.copy_(dt.tensor(view))
        np.testing.assert_array_equal(z.cpu().numpy(), view)
"""
    fresh(PROGRAM + code, DOVETAIL_OPENCL_CLASS="gpu")


def test_threads_write_and_read_at_once(fresh: Callable[..., str]) -> None:
    code = """
wrong = []

def work(seed):
    random = np.random.default_rng(seed)
    for _ in range(12):
        data = random.standard_normal(random.integers(1, 900_000)).astype(np.float32)
        x = dt.tensor(data, device="opencl:0")
        if not np.array_equal((x + seed).cpu().numpy(), data + np.float32(seed)):
            wrong.append(seed)

threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not wrong, wrong
"""
    fresh(PROGRAM + code, DOVETAIL_OPENCL_CLASS="gpu")


def test_a_read_tells_which_kernels_may_have_failed(
    queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As synchronize does; the driver's error is not what comes out."""
    import pyopencl as cl

    x = dt.ones(3, device="opencl:0") * 2
    refused: Any = None
    try:
        cl.Buffer(queue.context, cl.mem_flags.READ_WRITE, 0)
    except cl.Error as error:
        refused = error

    def fail(*args: Any, **kwargs: Any) -> None:
        raise refused

    monkeypatch.setattr(queue.transfers, "read", fail)
    said = "kernels queued last, latest first: mul"
    with pytest.raises(dt.AcceleratorError, match=said) as caught:
        x.tolist()
    assert caught.value.__cause__ is refused


# page-locked memory of the user's


def test_a_pinned_tensor_is_copied_without_waiting(opencl: dt.device, queue: Any) -> None:
    """While the queue stands still, so a call that waited would never return."""
    import pyopencl as cl

    x = dt.from_numpy(_bytes(3 * MIB)).pin_memory(opencl)
    assert x.is_pinned()
    expected = x.clone()
    dt.opencl.synchronize()
    gate = cl.UserEvent(queue.context)
    cl.enqueue_barrier(queue.queue, wait_for=[gate])
    there = x.to(opencl, non_blocking=True)
    twice = there + there
    address = x.data_ptr()
    del x
    other = dt.zeros(3 * MIB, dtype=dt.uint8).pin_memory(opencl)
    assert other.data_ptr() != address
    gate.set_status(cl.command_execution_status.COMPLETE)
    assert dt.equal(there.cpu(), expected)
    assert dt.equal(twice.cpu(), expected + expected)


def test_pinned_memory_serves_again(opencl: dt.device) -> None:
    x = dt.ones(MIB).pin_memory(opencl)
    address = x.data_ptr()
    x.to(opencl, non_blocking=True)
    del x
    dt.opencl.synchronize()
    dt.ones(1).pin_memory(opencl).to(opencl, non_blocking=True)  # lets go of what was lent
    assert dt.zeros(MIB).pin_memory(opencl).data_ptr() == address
