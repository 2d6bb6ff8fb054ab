"""Threads that queue at the same time: numbers that stay set in kernels, memory, collections."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dovetail as dt

WRITES = """
kernel void written(global int *out, int value, int place) { out[place] = value; }
"""


@pytest.fixture
def often() -> Iterator[None]:
    """Garbage is collected all the time."""
    before = gc.get_threshold()
    gc.set_threshold(50, 2, 2)
    yield
    gc.set_threshold(*before)


def _together(*tasks: Callable[[], None]) -> None:
    """Run them in a thread each; the first error of one is raised."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(tasks))

    def run(task: Callable[[], None]) -> None:
        try:
            barrier.wait(20)
            task()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"
    if errors:
        raise errors[0]


def _launches(queue: Any, size: Any) -> list[Any]:
    kernel = [queue.launch(WRITES, "written", 1, [np.int32(n), np.int32(n)], size, "written")
              for n in range(3)]  # fmt: skip
    return kernel


@pytest.mark.parametrize("is_little", [True, False])
def test_launches_of_one_kernel_set_their_own_numbers(queue: Any, is_little: bool) -> None:
    """One that comes after another finds that one's numbers, be its own the same object."""
    size = ((1,), (1,)) if is_little else ((1 << 12,), (1,))
    first, second, third = _launches(queue, size)
    x = dt.zeros(3, dtype=dt.int32, device="opencl:0")
    buffers, kept = (x._storage.buffer,), ((0, np.int32(7)),)
    first.with_numbers(buffers, kept)
    second.with_numbers(buffers, kept)
    third(*buffers)
    assert x.tolist() == [7, 7, 2]
    first.with_numbers(buffers, ((0, np.int32(8)),))
    second.with_numbers(buffers, kept)
    first.with_numbers(buffers, kept)
    assert x.tolist() == [7, 7, 2]
    first.with_numbers(buffers, ((0, np.int32(9)),))
    assert x.tolist() == [9, 7, 2]


def test_threads_share_a_kernel(queue: Any, often: None) -> None:
    """Each reads other places of one buffer, so each has other numbers; rows are told apart."""
    values = np.arange(4 * 64 * 8, dtype=np.float32).reshape(4, 64, 8) % 31
    x = dt.tensor(values, device="opencl:0")
    weight = dt.ones(8, device="opencl:0")

    def task(i: int) -> Callable[[], None]:
        def run() -> None:
            part, own = x[i], values[i]
            centred = own - own.mean(1, keepdims=True)
            normal = centred / np.sqrt(own.var(1, keepdims=True) + 1e-5)
            for _ in range(40):
                for start in (0, 16, 0, 40):
                    rows = slice(start, start + 16)
                    made = dt.nn.functional.layer_norm(part[rows], (8,), weight)
                    sums, mean = part[rows].sum(1), part[rows].mean(1)
                    cycle: list[Any] = [made, sums]  # its memory comes back by a collection
                    cycle.append(cycle)
                    np.testing.assert_allclose(made.cpu().numpy(), normal[rows], atol=1e-4)
                    np.testing.assert_array_equal(sums.cpu().numpy(), own[rows].sum(1))
                    np.testing.assert_allclose(mean.cpu().numpy(), own[rows].mean(1), rtol=1e-6)

        return run

    _together(*map(task, range(4)))


def test_threads_train_while_garbage_is_collected(queue: Any, often: None) -> None:
    """All of them end, with the gradients of one alone."""
    functional = dt.nn.functional
    weight = dt.linspace(-1, 1, 4 * 3 * 9, device="opencl:0").reshape(4, 3, 3, 3)
    image = dt.linspace(-2, 2, 2 * 3 * 64, device="opencl:0").reshape(2, 3, 8, 8)
    places = dt.arange(2, device="opencl:0")

    def gradient() -> np.ndarray:
        w = weight.detach().clone().requires_grad_()
        out = functional.conv2d(image, w, padding=1).flatten(1)
        loss = functional.cross_entropy(functional.layer_norm(out, (256,)), places)
        loss.backward()
        assert w.grad is not None
        return w.grad.cpu().numpy()

    wanted = gradient()

    def run() -> None:
        for _ in range(15):
            np.testing.assert_allclose(gradient(), wanted, rtol=1e-4, atol=1e-6)

    _together(run, run, run)


ADDS = """
kernel void added(global int *out, int value, int place)
{
    if (get_global_id(0) == 0) out[place] += value;
}
"""


@pytest.fixture(params=["little", "large"])
def adding(request: pytest.FixtureRequest, queue: Any) -> Any:
    """(what adds 1, 10 and 100 to three places, the places)."""
    size = ((1,), (1,)) if request.param == "little" else ((1 << 12,), (1,))
    made = [
        queue.launch(ADDS, "added", 1, [np.int32(10**n), np.int32(n)], size, "added")
        for n in range(3)
    ]
    x = dt.zeros(3, dtype=dt.int32, device="opencl:0")
    buffer = x._storage.buffer
    return [lambda launch=launch: launch(buffer) for launch in made], x, made[0]._bound


def _once(bound: Any, name: str, function: Callable[[Any], None]) -> None:
    """Have the next call of a bound kernel's function be another one's."""
    usual = getattr(bound, name)

    def replaced(values: Any) -> None:
        setattr(bound, name, usual)
        usual(values)
        function(values)

    setattr(bound, name, replaced)


@pytest.mark.parametrize("place", ["set_numbers", "set_buffers"])
def test_a_signals_handler_uses_the_device(queue: Any, adding: Any, place: str) -> None:
    """It finds what it interrupted done, and that goes on behind it, and is not done twice."""
    (one, ten, hundred), x, bound = adding
    x.tolist()
    seen = []

    def handler(values: Any) -> None:
        ten()
        seen.append(x.tolist())

    before = queue.launches
    _once(bound, place, handler)
    one()
    for _ in range(7):  # so many that an event holds the queue
        hundred()
    one()
    assert x.tolist() == [2, 10, 700]
    assert queue.launches == before + 10
    assert seen in ([[2, 10, 700]], [[1, 10, 0]])  # all that waited, or the one that did not
    one()
    ten()
    assert x.tolist() == [3, 20, 700]


@pytest.mark.parametrize("place", ["set_numbers", "set_buffers"])
def test_what_was_interrupted_is_done_later(queue: Any, adding: Any, place: str) -> None:
    (one, ten, hundred), x, bound = adding

    def interrupt(values: Any) -> None:
        raise KeyboardInterrupt

    hundred()
    x.tolist()
    _once(bound, place, interrupt)

    def call() -> None:
        one()
        queue.flush()

    with pytest.raises(KeyboardInterrupt):
        call()
    ten()
    hundred()
    assert x.tolist() == [1, 10, 200]


def test_what_the_driver_refuses_is_not_asked_again(queue: Any, adding: Any) -> None:
    import pyopencl as cl

    (one, ten, _), x, bound = adding

    def refuse(values: Any) -> None:
        raise cl.LogicError("no")

    x.tolist()
    _once(bound, "set_buffers", refuse)

    def call() -> None:
        one()
        queue.flush()

    with pytest.raises(cl.LogicError, match="no"):
        call()
    ten()
    assert x.tolist() == [0, 10, 0]
