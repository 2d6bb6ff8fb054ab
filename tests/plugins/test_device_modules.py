"""``dt.<name>`` and ``dt.accelerator`` on a device that counts."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

import dovetail as dt
from dovetail.backend import BackendUnavailable, registry

Loopback = Callable[..., str]
MEGA = 1 << 20


def test_module_of_a_registered_device(loopback: Loopback) -> None:
    name = loopback(devices=2, memory=8 * MEGA)
    module = getattr(dt, name)
    assert module is getattr(dt, name)
    assert module.is_available()
    assert module.device_count() == 2
    assert module.current_device() == 0
    assert module.get_device_name() == "loopback (strided)"
    properties = module.get_device_properties(1)
    assert (properties.name, properties.total_memory) == ("loopback (strided)", 8 * MEGA)
    assert pickle.loads(pickle.dumps(module)) is module
    module.synchronize()
    module.synchronize(1)
    module.synchronize(f"{name}:1")


def test_the_cpu_has_one_too() -> None:
    assert dt.cpu.is_available()
    assert dt.cpu.device_count() == 1
    assert dt.cpu.current_device() == "cpu"
    dt.cpu.synchronize()


def test_cuda_can_be_asked_for_without_a_plugin() -> None:
    if "cuda" in registry:
        pytest.skip("a plugin offers cuda here")
    assert not dt.cuda.is_available()
    assert dt.cuda.device_count() == 0
    assert dt.cuda.memory_allocated() == 0
    assert "not available" in dt.cuda.memory_summary()
    dt.cuda.manual_seed(1)
    dt.cuda.manual_seed_all(1)
    dt.cuda.empty_cache()
    with pytest.raises(RuntimeError, match="cuda"):
        dt.cuda.synchronize()
    with pytest.raises(BackendUnavailable, match=r"^cuda: no plugin has registered this device"):
        dt.cuda.current_device()


def test_unknown_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        dt.nonsense  # noqa: B018


def test_current_device(loopback: Loopback) -> None:
    name = loopback(devices=3)
    module = getattr(dt, name)
    module.set_device(2)
    assert dt.zeros(1, device=name).device == dt.device(name, 2)
    with module.device(1):
        assert module.current_device() == 1
        with module.device(None), module.device(-1):
            assert dt.zeros(1, device=name).device == dt.device(name, 1)
        with module.device_of(dt.zeros(1, device=f"{name}:0")):
            assert module.current_device() == 0
        with module.device_of(dt.zeros(1)):
            assert module.current_device() == 1
    assert module.current_device() == 2
    with pytest.raises(RuntimeError, match="index must be below 3"):
        module.set_device(3)
    with pytest.raises(ValueError, match=f"Expected a {name} device, but got: cpu"):
        module.synchronize("cpu")


def test_memory_counts(loopback: Loopback) -> None:
    name = loopback(devices=2)
    module = getattr(dt, name)
    assert module.memory_allocated() == module.max_memory_allocated() == 0
    x = dt.empty(MEGA, dtype=dt.uint8, device=name)
    assert module.memory_allocated() == MEGA
    assert module.memory_allocated(1) == 0
    y = dt.empty(MEGA, dtype=dt.uint8, device=name)
    del y
    assert module.memory_allocated() == MEGA
    assert module.max_memory_allocated() == 2 * MEGA
    assert module.memory_reserved() == module.max_memory_reserved() == 2 * MEGA
    module.empty_cache()
    assert module.memory_reserved() == MEGA
    module.reset_peak_memory_stats()
    assert module.max_memory_allocated() == MEGA
    stats = module.memory_stats()
    assert stats["allocated_bytes.all.current"] == MEGA
    assert list(stats) == sorted(stats)
    summary = module.memory_summary()
    assert f"Memory of {name}:0" in summary
    assert summary.splitlines()[2].split() == ["allocated", "1.0", "MiB", "1.0", "MiB"]
    assert "out of memory" in summary
    assert "out of memory" not in module.memory_summary(abbreviated=True)
    del x


def test_memory_of_the_device_itself(loopback: Loopback) -> None:
    name = loopback(memory=4 * MEGA)
    x = dt.empty(MEGA, dtype=dt.uint8, device=name)
    assert getattr(dt, name).mem_get_info() == (3 * MEGA, 4 * MEGA)
    del x
    with pytest.raises(RuntimeError, match="does not tell how much memory"):
        getattr(dt, loopback()).mem_get_info()


def test_seeds(loopback: Loopback) -> None:
    name = loopback(devices=2)
    module = getattr(dt, name)
    module.manual_seed_all(5)
    first = [dt.rand(4, device=f"{name}:{i}").tolist() for i in (0, 1)]
    assert first[0] == first[1]
    module.manual_seed(5)
    assert module.initial_seed() == 5
    state = module.get_rng_state()
    assert dt.rand(4, device=name).tolist() == first[0]
    module.set_rng_state(state)
    assert dt.rand(4, device=name).tolist() == first[0]
    assert dt.rand(4, device=f"{name}:1").tolist() != first[0]


def test_accelerator(loopback: Loopback) -> None:
    name = loopback(devices=2)
    with dt.device(name):
        acc = dt.accelerator
        assert acc.is_available()
        assert acc.current_accelerator() == dt.device(name)
        assert acc.device_count() == 2
        assert acc.current_device_index() == 0
        acc.set_device_index(1)
        assert acc.current_device_index() == getattr(dt, name).current_device() == 1
        with acc.device_index(0):
            assert acc.current_device_index() == 0
        acc.synchronize()
        x = dt.empty(MEGA, dtype=dt.uint8, device=name)
        assert acc.memory_allocated() == acc.max_memory_allocated() == MEGA
        assert acc.memory_reserved(1) == acc.max_memory_reserved() == MEGA
        assert acc.memory_stats()["allocated_bytes.all.peak"] == MEGA
        assert f"{name}:1" in acc.memory_summary()
        del x
        acc.empty_cache()
        assert acc.memory_reserved() == 0
        acc.reset_peak_memory_stats()
        assert acc.max_memory_allocated() == 0
        acc.manual_seed_all(3)


def test_accelerator_reaches_every_device_by_name(loopback: Loopback) -> None:
    name = loopback(devices=2)
    dt.accelerator.synchronize("cpu")
    dt.accelerator.synchronize(f"{name}:1")
    x = dt.zeros(MEGA, dtype=dt.uint8)
    assert dt.accelerator.memory_allocated("cpu") >= MEGA
    assert dt.accelerator.memory_allocated(name) == 0
    del x


def test_without_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "accelerator", lambda preferred=None: None)
    assert not dt.accelerator.is_available()
    assert dt.accelerator.current_accelerator() is None
    assert dt.accelerator.device_count() == 0
    dt.accelerator.manual_seed(1)
    with pytest.raises(RuntimeError, match=r"^Cannot access accelerator device when none is av"):
        dt.accelerator.synchronize()
    with pytest.raises(RuntimeError, match=r"^Cannot access accelerator device when none is av"):
        dt.device(0)


def test_what_the_hardware_is(loopback: Loopback) -> None:
    module = getattr(dt, loopback())
    with pytest.raises(RuntimeError, match=r"get_device_capability: .* does not tell of one"):
        module.get_device_capability()
    assert module.is_bf16_supported()
    assert module.is_initialized()
    module.init()
    module.ipc_collect()
    assert not dt.cuda.is_initialized() or dt.cuda.is_available()
    assert dt.float32 in dt.accelerator.get_device_capability("cpu")["supported_dtypes"]


def test_seeds_of_all_devices(loopback: Loopback) -> None:
    name = loopback(devices=2)
    module = getattr(dt, name)
    module.manual_seed_all(4)
    states = module.get_rng_state_all()
    drawn = [dt.rand(3, device=f"{name}:{i}").tolist() for i in range(2)]
    module.set_rng_state_all(states)
    assert [dt.rand(3, device=f"{name}:{i}").tolist() for i in range(2)] == drawn
    module.seed_all()
    again = [dt.rand(3, device=f"{name}:{i}").tolist() for i in range(2)]
    assert again[0] == again[1]
    assert again != drawn
    module.seed()
    assert dt.rand(3, device=name).tolist() != dt.rand(3, device=f"{name}:1").tolist()


def test_graphs_need_an_accelerator(loopback: Loopback) -> None:
    loopback()
    graph = dt.accelerator.Graph()
    with pytest.raises(RuntimeError, match="cannot capture graphs"), dt.Stream(), graph:
        pass
