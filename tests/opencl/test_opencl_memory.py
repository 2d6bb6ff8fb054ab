"""Memory of the opencl device: what is counted, what is freed when it runs out, and who waits."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import dovetail as dt

MIB = 1 << 20


def test_every_count_of_the_allocator_is_right(fresh: Callable[..., str]) -> None:
    fresh(
        f"""
import dovetail as dt
from dovetail.backend.allocator import empty_cache, reset_peak, stats
seen = lambda: stats("opencl:0")
start = seen()
assert start["allocated"] == start["reserved"] == start["peak"] == 0, start
a = dt.empty({MIB} // 4, device="opencl:0")
b = dt.empty({MIB} // 2, device="opencl:0")
assert seen()["allocated"] == seen()["reserved"] == 3 * {MIB}, seen()
assert seen()["allocations"] == 2 and seen()["frees"] == 0
del a
now = seen()
assert now["allocated"] == 2 * {MIB} and now["reserved"] == 3 * {MIB}, now
assert now["peak"] == now["peak_reserved"] == 3 * {MIB} and now["frees"] == 1
c = dt.empty({MIB} // 4, device="opencl:0")
assert seen()["reserved"] == 3 * {MIB}, "the freed block serves again"
del b, c
empty_cache("opencl:0")
reset_peak("opencl:0")
now = seen()
assert now["allocated"] == now["reserved"] == now["peak"] == now["peak_reserved"] == 0, now
try:
    dt.empty(1 << 40, dtype=dt.uint8, device="opencl:0")
except RuntimeError:
    pass
assert seen()["out_of_memory"] == 1
from dovetail_opencl.runtime import device_of
assert device_of(0).used == 0, "the driver has everything back"
""",
        DOVETAIL_OPENCL_MEMORY=str(64 * MIB),
    )


def test_scratch_and_tensors_make_room_for_each_other(fresh: Callable[..., str]) -> None:
    fresh(
        f"""
import dovetail as dt
from dovetail_opencl.runtime import device_of
device = device_of(0)
with device.scratch(6 * {MIB}):
    pass
kept = dt.empty(7 * {MIB}, dtype=dt.uint8, device="opencl:0")
del kept
with device.scratch(8 * {MIB}):
    pass
assert device.used <= 10 * {MIB}
""",
        DOVETAIL_OPENCL_MEMORY=str(10 * MIB),
    )


def test_memory_waits_for_no_kernel(queue: Any) -> None:
    """A thread that queues may have its garbage go to a pool in which another one allocates."""
    kept = dt.empty(MIB + 7, dtype=dt.uint8, device="opencl:0")
    found: list[Any] = []
    size = 3 * MIB + 11  # of no other test: no block waits

    def ask() -> None:
        found.append(dt.empty(size, dtype=dt.uint8, device="opencl:0"))

    with queue.lock:
        other = threading.Thread(target=ask)
        other.start()
        other.join(20)
        assert found, "it waits for the lock of a kernel that is being queued"
        del kept
    other.join()


def test_room_is_made_without_waiting_for_who_may_wait(fresh: Callable[..., str]) -> None:
    """Both pools may be full at once in two threads, each of which holds its own."""
    fresh(
        f"""
import threading
import dovetail as dt
from dovetail.errors import OutOfMemoryError
from dovetail_opencl.runtime import device_of
device = device_of(0)
with device.scratch({MIB}):
    pass
held, done, found = threading.Event(), threading.Event(), []
hold = lambda: device._pool.attempt(lambda: (held.set(), done.wait(20)))
def ask():
    try:
        dt.empty(15 * {MIB} // 2, dtype=dt.uint8, device="opencl:0")
    except OutOfMemoryError as refused:
        found.append(str(refused))
threads = [threading.Thread(target=target) for target in (hold, ask)]
threads[0].start()
assert held.wait(20)
threads[1].start()
threads[1].join(10)
assert not threads[1].is_alive(), "each waits for the other"
done.set()
threads[0].join()
assert found, "the other thread's pool was not touched"
dt.empty(15 * {MIB} // 2, dtype=dt.uint8, device="opencl:0")
""",
        DOVETAIL_OPENCL_MEMORY=str(8 * MIB),
    )


def test_a_freed_buffer_lives_until_its_launches_are_handed_over(queue: Any) -> None:
    used = queue.used
    x = dt.ones(1000, device="opencl:0")
    queue.synchronize()
    buffer = queue.alloc(1 << 12)
    gone = weakref.ref(buffer)
    queue.copy(buffer, 0, x._storage.buffer, 0, 4000)
    queue.free(buffer)
    del buffer
    if queue.is_cpu:
        assert gone() is not None, "the copy waits"
    queue.synchronize()
    assert gone() is None
    assert x.sum().item() == 1000
    del x
    assert queue.used <= used + (1 << 12)


class _Bags(dt.nn.Module):
    """Bags by offsets, in each mode and with what makes other launches of them."""

    def __init__(self) -> None:
        super().__init__()
        kinds: list[dict[str, Any]] = [
            {"mode": "sum"}, {"mode": "mean"}, {"mode": "max"}, {"mode": "mean", "padding_idx": 1},
            {"mode": "max", "padding_idx": 1}, {"mode": "sum", "scale_grad_by_freq": True},
        ]  # fmt: skip
        self.tables = dt.nn.ModuleList(dt.nn.EmbeddingBag(9, 4, **kind) for kind in kinds)
        self.rest = dt.nn.Sequential(
            dt.nn.BatchNorm1d(4), dt.nn.Dropout(0.25), dt.nn.Linear(4, 4),
        )  # fmt: skip
        self.register_buffer("words", dt.tensor([1, 0, 8, 3, 1, 2, 7]))
        self.register_buffer("offsets", dt.tensor([0, 2, 2, 3, 6]))

    def forward(self, x: Any) -> Any:
        functional: Any = dt.nn.functional
        made = sum(table(self.words, self.offsets) for table in self.tables)
        weights = x.reshape(-1)[:7]
        made = made + self.tables[0](self.words, self.offsets, per_sample_weights=weights)
        counts = dt.repeat_interleave(self.words[:5], self.offsets, output_size=13)
        hot = functional.one_hot(self.words[:5], 9).to(dt.float32).sum(1, keepdim=True)
        return self.rest(made) + counts[:1] + hot


MODELS = {
    "products": lambda: dt.nn.Sequential(dt.nn.Linear(8, 16), dt.nn.ReLU(), dt.nn.Linear(16, 4)),
    "bags": _Bags,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_waits_for_nothing(
    name: str, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyopencl as cl

    functional: Any = dt.nn.functional
    model: Any = MODELS[name]().to("opencl:0")
    optimizer = dt.optim.Adam(model.parameters())
    target = dt.tensor([0, 1, 2, 3, 0], device="opencl:0")

    def step() -> Any:
        x = dt.randn(5, 8, device="opencl:0")
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    step()
    waited: list[str] = []
    copy = cl.enqueue_copy

    def watched(*args: Any, **kwargs: Any) -> Any:
        # A copy between buffers never blocks.
        is_inside = all(isinstance(a, cl.Buffer) for a in args[1:3])
        if not is_inside and kwargs.get("is_blocking", True):
            waited.append("copy")
        return copy(*args, **kwargs)

    monkeypatch.setattr(cl, "enqueue_copy", watched)
    monkeypatch.setattr(type(queue), "synchronize", lambda self: waited.append("synchronize"))
    loss = step()
    assert not waited
    assert loss.item() > 0
    assert waited == ["copy"], "the value is what is waited for"
