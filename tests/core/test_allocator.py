"""The caching allocator: blocks used again, counts, out of memory and recovery, nothing leaked."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

import dovetail as dt
from dovetail.backend.allocator import Pool, rounded
from dovetail.errors import OutOfMemoryError

KIB = 1024


class Memory:
    """A device's memory of a given size, as a pool sees it."""

    def __init__(self, room: int) -> None:
        self.room, self.blocks, self.synchronized = room, {}, 0
        self.handle = 0

    def alloc(self, nbytes: int) -> int:
        if sum(self.blocks.values()) + nbytes > self.room:
            raise OutOfMemoryError(f"no room for {nbytes}")
        self.handle += 1
        self.blocks[self.handle] = nbytes
        return self.handle

    def free(self, handle: int) -> None:
        del self.blocks[handle]

    def synchronize(self) -> None:
        self.synchronized += 1


def pool_over(memory: Memory, **options: Any) -> Pool:
    return Pool(memory.alloc, memory.free, memory.synchronize, "toy:0", **options)


def test_block_sizes() -> None:
    assert [rounded(n) for n in (0, 1, 512, 513, 4096, 4097)] == [512, 512, 512, 1024, 4096, 4608]
    large = 1 << 27
    assert [rounded(n) for n in (large, large + 1)] == [large, large + large // 32]
    for n in (1, 511, 5000, 10**6, 2**30, 2**30 + 1):
        size = rounded(n)
        assert size >= n
        assert size <= max(512, n * 1.13 + 512)
        assert rounded(size) == size  # a block that comes back serves the same requests


def test_a_block_serves_again() -> None:
    memory = Memory(10 * KIB)
    pool = pool_over(memory)
    first, size = pool.take(1000)
    pool.give(first, size)
    second, _ = pool.take(1020)
    assert first == second
    assert (pool.allocated, pool.reserved, pool.peak) == (1024, 1024, 1024)
    assert (pool.allocations, pool.frees) == (2, 1)


def test_without_caching_blocks_go_straight_back() -> None:
    memory = Memory(10 * KIB)
    pool = pool_over(memory, caching=False)
    pool.give(*pool.take(1000))
    assert memory.blocks == {}
    assert pool.reserved == 0


def test_idle_blocks_make_room_for_another_size() -> None:
    memory = Memory(4 * KIB)
    pool = pool_over(memory)
    blocks = [pool.take(KIB) for _ in range(4)]
    for block in blocks:
        pool.give(*block)
    assert pool.take(4 * KIB)[1] == 4 * KIB
    assert memory.synchronized == 1  # work that still uses the blocks is waited for
    assert pool.out_of_memory == 0


def test_out_of_memory_says_what_was_asked_and_what_is_in_use() -> None:
    pool = pool_over(Memory(4 * KIB))
    held = [pool.take(1000), pool.take(1000)]
    pool.give(*held.pop())
    text = "toy:0: out of memory: asked for 5000 bytes, 1024 allocated, 1024 reserved"
    with pytest.raises(OutOfMemoryError, match=text):
        pool.take(5000)
    assert pool.out_of_memory == 1
    assert pool.take(1000)[1] == KIB  # and it still works


def test_peaks_start_again() -> None:
    pool = pool_over(Memory(10 * KIB))
    pool.give(*pool.take(4 * KIB))
    pool.reset_peak()
    pool.take(512)
    assert pool.stats()["peak"] == 512
    assert pool.stats()["peak_reserved"] == 4 * KIB + 512
    pool.empty_cache()
    assert pool.stats()["reserved"] == 512


def test_who_gives_a_block_back_waits_for_nobody() -> None:
    """Finalizers give blocks back, in threads that may hold what the pool's user waits for."""
    memory = Memory(10 * KIB)
    pool = pool_over(memory)
    block, size = pool.take(1000)
    held, done = threading.Event(), threading.Event()
    other = threading.Thread(target=lambda: pool.attempt(lambda: (held.set(), done.wait(20))))
    other.start()
    assert held.wait(20)
    gives = threading.Thread(target=lambda: pool.give(block, size))
    gives.start()
    gives.join(10)
    has_ended = not gives.is_alive()
    done.set()
    gives.join()
    other.join()
    assert has_ended, "it waited for the thread that has the pool"
    stats = pool.stats()
    assert (stats["allocated"], stats["frees"]) == (0, 1)
    assert pool.take(1000)[0] == block, "the block serves again"


def test_a_block_that_another_thread_gives_back_stays_its_streams() -> None:
    """It serves again where the work that used it comes first, whoever takes it back in."""
    here = threading.local()
    pool = pool_over(Memory(10 * KIB), stream=lambda: getattr(here, "stream", 0))
    block, size = pool.take(1000)
    held, done, found = threading.Event(), threading.Event(), []

    def hold() -> None:
        here.stream = 1
        pool.attempt(lambda: (held.set(), done.wait(20)))
        found.append(pool.take(1000)[0])

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(20)
    pool.give(block, size)
    done.set()
    other.join()
    assert found != [block], "it is another stream's"
    assert pool.take(1000)[0] == block


def test_a_block_that_comes_back_while_the_device_is_waited_for_stays() -> None:
    """Its work may have been queued after the wait began."""
    memory = Memory(10 * KIB)
    memory.synchronize = lambda: pool.give(*late)  # type: ignore[method-assign]
    pool = pool_over(memory)
    idle, late = pool.take(KIB), pool.take(2 * KIB)
    pool.give(*idle)
    pool.empty_cache()
    assert late[0] in memory.blocks
    assert idle[0] not in memory.blocks
    assert pool.stats()["reserved"] == late[1]
    assert pool.take(2 * KIB)[0] == late[0]


def test_blocks_are_kept_where_the_device_fails_while_it_is_waited_for() -> None:
    memory = Memory(10 * KIB)

    def fail() -> None:
        raise RuntimeError("a kernel failed")

    memory.synchronize = fail  # type: ignore[method-assign]
    pool = pool_over(memory)
    block, size = pool.take(KIB)
    pool.give(block, size)
    with pytest.raises(RuntimeError, match="a kernel failed"):
        pool.empty_cache()
    assert pool.stats()["reserved"] == size
    assert pool.take(KIB)[0] == block


# Through tensors.


def allocated(device: Any) -> int:
    gc.collect()
    return int(dt.accelerator.memory_allocated(device))


def test_tensors_are_counted(device: Any) -> None:
    before = allocated(device)
    x = dt.zeros(1000, 100, device=device)
    assert 400_000 <= allocated(device) - before <= 452_000
    view, other = x[10:], x.detach()
    assert allocated(device) - before <= 452_000  # views share
    del x
    assert allocated(device) - before >= 400_000  # and keep
    del view, other
    assert allocated(device) == before


def test_small_tensors_are_counted(device: Any) -> None:
    before = allocated(device)
    xs = [dt.ones(4, device=device) for _ in range(10)]
    now = allocated(device)
    assert 160 <= now - before <= 10 * 512
    del xs
    assert allocated(device) == before


def test_the_peak_is_the_most_at_one_time(device: Any) -> None:
    gc.collect()  # what earlier tests left would be counted now and gone later
    before = allocated(device)
    dt.accelerator.reset_peak_memory_stats(device)
    for _ in range(5):
        dt.zeros(256 * KIB, device=device)
    peak = dt.accelerator.max_memory_allocated(device) - before
    assert 1024 * KIB <= peak <= 2.3 * 1024 * KIB


def test_memory_is_used_again_and_given_back(device: Any) -> None:
    name = device.type
    module = getattr(dt, name)
    dt.zeros(64 * KIB, device=device)
    reserved = module.memory_reserved(device)
    for _ in range(20):
        dt.zeros(64 * KIB, device=device)
    assert module.memory_reserved(device) == reserved
    gc.collect()
    module.empty_cache()
    assert module.memory_reserved(device) < reserved
    assert dt.ones(64 * KIB, device=device).sum().item() == 64 * KIB


def test_training_leaves_nothing(device: Any) -> None:
    def step() -> None:
        model = dt.nn.Sequential(dt.nn.Linear(64, 64), dt.nn.ReLU(), dt.nn.Linear(64, 8)).to(device)
        optimizer = dt.optim.Adam(model.parameters())
        for _ in range(3):
            loss = model(dt.rand(256, 64, device=device)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    step()
    before = allocated(device)
    step()
    assert allocated(device) == before


def test_history_is_freed_with_its_last_tensor(device: Any) -> None:
    x = dt.ones(100_000, device=device, requires_grad=True)
    before = allocated(device)
    y = x
    for _ in range(10):
        y = (y * y).exp()
    assert allocated(device) - before >= 10 * 400_000
    del y
    assert allocated(device) == before


def test_a_numpy_array_keeps_the_memory_of_its_tensor() -> None:
    before = allocated("cpu")
    array = dt.ones(100_000).numpy()[10:]
    other = [dt.zeros(100_000) for _ in range(4)]
    assert array.min() == 1
    assert allocated("cpu") - before >= 5 * 400_000
    del array, other
    assert allocated("cpu") == before


def test_out_of_memory_on_a_device_and_recovery(partial: Any) -> None:
    device = partial(memory=1024 * KIB, devices=1)
    kept = dt.zeros(128 * KIB, device=device)  # 512 KiB
    text = "out of memory: asked for 1048576 bytes, 524288 allocated, 524288 reserved"
    with pytest.raises(OutOfMemoryError, match=f"{device}:0: {text}"):
        dt.zeros(256 * KIB, device=device)
    assert kept.sum().item() == 0
    del kept
    assert dt.ones(240 * KIB, device=device).sum().item() == 240 * KIB
    assert dt.accelerator.memory_stats(device)["num_ooms"] == 1


def test_memory_in_a_cycle_is_found_before_giving_up(partial: Any) -> None:
    device = partial(memory=1024 * KIB, devices=1)
    gc.disable()
    try:
        held = [dt.zeros(192 * KIB, device=device)]
        held.append(held)  # only a collection frees it
        del held
        assert dt.ones(128 * KIB, device=device).sum().item() == 128 * KIB
    finally:
        gc.enable()


def test_numbers_that_plans_keep_are_given_up_first(partial: Any) -> None:
    device = partial(memory=64 * KIB, devices=1)
    x = dt.ones(16, device=device)
    for i in range(60):
        for _ in range(2):  # a number that comes twice stays on the device for the next call
            x + float(i)
    assert dt.accelerator.memory_allocated(device) > 16 * KIB
    assert dt.zeros(15 * KIB, device=device).sum().item() == 0


def test_out_of_memory_is_a_runtime_error_that_names_a_remedy(partial: Any) -> None:
    device = partial(memory=KIB, devices=1)
    with pytest.raises(RuntimeError, match="free tensors or use a smaller batch"):
        dt.zeros(KIB, device=device)
