"""Many threads at once: plans, tensors, memory, modes and default devices of their own."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dovetail as dt
from dovetail.dispatch import clear_plans

THREADS = 8


@pytest.fixture(autouse=True)
def switching_often() -> Iterator[None]:
    """Give way a thousand times as often as usual, so that races show."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual)


def together(work: Callable[[int], Any]) -> list[Any]:
    """``work(0)`` … at the same time; their results, or the first exception."""
    results: list[Any] = [None] * THREADS
    errors: list[BaseException] = []
    start = threading.Barrier(THREADS)

    def run(i: int) -> None:
        try:
            start.wait()
            results[i] = work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    return results


def test_plans_made_at_the_same_time(device: Any) -> None:
    clear_plans()

    def work(i: int) -> list[Any]:
        out = []
        for n in range(1, 40):
            x = dt.full((n, 2), float(i), device=device)
            y = (x * 2 + x.t().reshape(n, 2)).sum(0, keepdim=True)
            out.append((y.cpu() / n).tolist())
        return out

    for i, result in enumerate(together(work)):
        assert result == [[[3.0 * i, 3.0 * i]]] * 39


def test_plans_forgotten_while_they_are_used(device: Any) -> None:
    def work(i: int) -> float:
        total = 0.0
        for n in range(200):
            if i == 0 and n % 10 == 0:
                clear_plans()
            total += (dt.ones(3, device=device) + n).sum().item()
        return total

    expected = sum(3.0 * (n + 1) for n in range(200))
    assert together(work) == [expected] * THREADS


def test_memory_taken_and_given_by_all(device: Any) -> None:
    gc.collect()
    before = dt.accelerator.memory_allocated(device)

    def work(i: int) -> None:
        held = []
        for n in range(60):
            x = dt.full((10_000 + 1_000 * (n % 3),), i * 1000 + n, device=device)
            held.append((x, i * 1000 + n))
            if len(held) > 5:
                old, value = held.pop(0)
                assert (old[0].item(), old[-1].item()) == (value, value)

    together(work)
    gc.collect()
    assert dt.accelerator.memory_allocated(device) == before


def test_gradients_of_a_shared_leaf_add_up(device: Any) -> None:
    x = dt.ones(5, device=device, requires_grad=True)

    def work(i: int) -> None:
        for _ in range(20):
            (x * (i + 1)).sum().backward()

    together(work)
    assert x.grad.tolist() == [20.0 * sum(range(1, THREADS + 1))] * 5


def test_modes_belong_to_their_thread(device: Any) -> None:
    x = dt.ones(2, device=device, requires_grad=True)

    def work(i: int) -> bool:
        for _ in range(50):
            if i % 2:
                with dt.no_grad():
                    assert not (x * 2).requires_grad
            assert (x * 2).requires_grad
        return True

    assert all(together(work))


def test_default_devices_belong_to_their_thread(device: Any) -> None:
    def work(i: int) -> None:
        where = device if i % 2 else dt.device("cpu")
        for n in range(1, 30):
            with where:
                assert dt.zeros(n).device.type == where.type
                assert dt.rand(n).device.type == where.type
            assert dt.ones(n).device.type == "cpu"

    together(work)


def test_first_use_of_a_backend_by_many(partial: Any) -> None:
    name = partial()
    results = together(lambda i: dt.full((3,), i, device=name).add(1).tolist())
    assert results == [[i + 1] * 3 for i in range(THREADS)]


def test_backends_come_and_go_while_others_work(partial: Any) -> None:
    x = dt.ones(4)

    def work(i: int) -> None:
        for _ in range(5 if i == 0 else 100):
            if i == 0:
                name = partial()
                assert dt.ones(2, device=name).tolist() == [1, 1]
            assert (x + i).tolist() == [1.0 + i] * 4

    together(work)
