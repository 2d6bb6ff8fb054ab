"""Generators: seeds, states, defaults of devices, forks, threads."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest

import dovetail as dt
from dovetail.generator import default_generator, fork_rng


@pytest.fixture(autouse=True)
def _keep_defaults() -> Any:
    with fork_rng():
        yield


def test_seeds() -> None:
    generator = dt.Generator()
    assert generator.initial_seed() == 67280421310721  # as PyTorch's
    assert generator.manual_seed(5) is generator
    assert (generator.initial_seed(), generator.get_offset()) == (5, 0)
    assert generator.manual_seed(-1).initial_seed() == 2**64 - 1
    assert generator.seed() == generator.initial_seed()
    assert generator.device == dt.device("cpu")


@pytest.mark.parametrize(("seed", "error", "match"), [
    (2**64, ValueError, "Overflow when unpacking long"),
    (-(2**63) - 1, ValueError, "Overflow when unpacking long"),
    ("a", RuntimeError, "manual_seed expected a long, but got str"),
    (1.5, RuntimeError, "manual_seed expected a long, but got float"),
])  # fmt: skip
def test_wrong_seeds(seed: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        dt.Generator().manual_seed(seed)


def test_module_functions() -> None:
    assert dt.manual_seed(3.7).initial_seed() == 3
    assert dt.initial_seed() == 3
    first = dt.rand(5).tolist()
    state = dt.get_rng_state()
    second = dt.rand(5).tolist()
    assert first != second
    dt.set_rng_state(state)
    assert dt.rand(5).tolist() == second
    assert dt.seed() == dt.initial_seed()
    assert dt.default_generator.initial_seed() == dt.initial_seed()


def test_state_is_seed_and_offset() -> None:
    generator = dt.Generator().manual_seed(0x0123456789ABCDEF)
    generator.set_offset(258)
    state = generator.get_state()
    assert state.dtype is dt.uint8
    assert state.tolist() == [0xEF, 0xCD, 0xAB, 0x89, 0x67, 0x45, 0x23, 1, 2, 1, 0, 0, 0, 0, 0, 0]
    other = dt.Generator()
    other.set_state(state)
    assert (other.initial_seed(), other.get_offset()) == (0x0123456789ABCDEF, 258)


def test_wrong_states() -> None:
    generator = dt.Generator()
    with pytest.raises(TypeError, match=r"must be a torch\.ByteTensor"):
        generator.set_state(dt.zeros(16))
    with pytest.raises(RuntimeError, match="16 bytes"):
        generator.set_state(dt.zeros(3, dtype=dt.uint8))
    with pytest.raises(ValueError, match="offset must be in"):
        generator.set_offset(-1)


def test_copies_go_on_by_themselves() -> None:
    generator = dt.Generator().manual_seed(1)
    dt.rand(3, generator=generator)
    twins = [
        generator.clone_state(),
        copy.deepcopy(generator),
        pickle.loads(pickle.dumps(generator)),
    ]
    expected = dt.rand(4, generator=generator).tolist()
    for twin in twins:
        assert dt.rand(4, generator=twin).tolist() == expected
    assert "seed 1, offset 2" in repr(generator)


def test_all_devices_have_the_same_stream(device: Any, need_device: Any) -> None:
    other = need_device("loop")
    dt.manual_seed(21)
    here = [dt.rand(7, device=device).tolist(), dt.randint(100, (3,), device=device).tolist()]
    dt.manual_seed(21)
    there = [dt.rand(7, device=other).tolist(), dt.randint(100, (3,), device=other).tolist()]
    assert here == there
    # The default generators of two devices do not take from each other.
    dt.manual_seed(21)
    dt.rand(7, device=other)
    assert dt.rand(7, device="cpu").tolist() == here[0] or device == other


def test_generator_of_another_device(need_device: Any) -> None:
    other = need_device("loop")
    with pytest.raises(RuntimeError, match="Expected a 'loop' device type for generator but found"):
        dt.rand(2, device=other, generator=dt.Generator())
    with pytest.raises(TypeError, match=r"'generator' must be torch\.Generator, not int"):
        dt.rand(2, generator=5)
    made = dt.rand(2, device=other, generator=dt.Generator(other).manual_seed(4))
    assert made.tolist() == dt.rand(2, generator=dt.Generator().manual_seed(4)).tolist()


def test_fork(device: Any) -> None:
    dt.manual_seed(8)
    expected = dt.rand(3, device=device).tolist()
    dt.manual_seed(8)
    with dt.random.fork_rng():
        dt.manual_seed(99)
        dt.rand(100, device=device)
    assert dt.initial_seed() == 8
    assert dt.rand(3, device=device).tolist() == expected
    with fork_rng(enabled=False):
        dt.rand(3)
    assert dt.default_generator.get_offset() != 0

    @fork_rng(devices=[])
    def draw() -> None:
        dt.rand(4)

    before = default_generator().get_offset()
    draw()
    assert default_generator().get_offset() == before


def test_threads_never_get_the_same_blocks() -> None:
    generator = dt.Generator().manual_seed(2)
    taken: list[int] = []

    def work() -> None:
        taken.extend(generator.take(4)[1] for _ in range(2000))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(8000))


def test_threads_draw_right_numbers(device: Any) -> None:
    expected = {
        seed: dt.randn(
            40000, device=device, generator=dt.Generator(device).manual_seed(seed)
        ).tolist()
        for seed in range(3)
    }
    wrong: list[int] = []

    def work(seed: int) -> None:
        for _ in range(5):
            generator = dt.Generator(device).manual_seed(seed)
            if dt.randn(40000, device=device, generator=generator).tolist() != expected[seed]:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_module_random_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    assert set(torch.random.__all__) <= set(dt.random.__all__)
    assert isinstance(dt.random.default_generator, dt.Generator)
    assert dt.random.default_generator is dt.default_generator
    assert dt.random.thread_safe_generator() is None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dt.random.nothing  # noqa: B018


def test_graphsafe_states(device: Any) -> None:
    g = dt.Generator(device).manual_seed(3)
    dt.rand(5, generator=g, device=device)
    state = g.graphsafe_get_state()
    first = dt.rand(4, generator=g, device=device).tolist()
    g.graphsafe_set_state(state)
    assert dt.rand(4, generator=g, device=device).tolist() == first
    with pytest.raises(TypeError, match="must be a Generator"):
        g.graphsafe_set_state(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{}, {"devices": []}, {"device_type": "meta"}])
def test_fork_rng_takes_pytorchs_arguments(options: dict[str, Any]) -> None:
    dt.manual_seed(4)
    before = dt.get_rng_state().tolist()
    with dt.random.fork_rng(**options):
        dt.manual_seed(9)
        dt.rand(3)
    assert dt.get_rng_state().tolist() == before
