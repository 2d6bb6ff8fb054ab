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


def test_a_part_of_the_memory(loopback: Loopback) -> None:
    name = loopback(memory=8 * MEGA)
    module = getattr(dt, name)
    assert module.get_per_process_memory_fraction() == 1.0
    module.set_per_process_memory_fraction(0.25)
    assert module.get_per_process_memory_fraction() == 0.25
    x = dt.empty(MEGA, dtype=dt.uint8, device=name)
    y = dt.empty(MEGA, dtype=dt.uint8, device=name)
    with pytest.raises(module.OutOfMemoryError, match="this process may take 2097152 bytes"):
        dt.empty(MEGA, dtype=dt.uint8, device=name)
    del y  # its block is kept, in another size than what is asked for
    z = dt.empty(MEGA // 2, dtype=dt.uint8, device=name)
    module.set_per_process_memory_fraction(1.0)
    w = dt.empty(4 * MEGA, dtype=dt.uint8, device=name)
    for wrong, error in ((2.0, ValueError), (-0.5, ValueError), (1, TypeError)):
        with pytest.raises(error, match="fraction"):
            module.set_per_process_memory_fraction(wrong)
    with pytest.raises(RuntimeError, match="does not tell how much memory"):
        getattr(dt, loopback()).set_per_process_memory_fraction(0.5)
    del x, z, w


def test_counts_by_other_names(loopback: Loopback) -> None:
    name = loopback()
    module = getattr(dt, name)
    x = dt.empty(MEGA, dtype=dt.uint8, device=name)
    nested = module.memory_stats_as_nested_dict()
    assert nested["allocated_bytes"]["all"] == {"current": MEGA, "peak": MEGA}
    assert module.memory_cached() == module.max_memory_cached() == module.memory_reserved()
    assert module.memory.memory_allocated() == MEGA
    assert module.random.initial_seed() == module.initial_seed()
    del x
    module.reset_max_memory_allocated()
    assert module.max_memory_allocated() == 0
    assert module.memory_stats()["allocation.all.allocated"] == 1
    module.reset_accumulated_memory_stats()
    assert module.memory_stats()["allocation.all.allocated"] == 0


def test_old_types_of_a_device(loopback: Loopback) -> None:
    name = loopback()
    module = getattr(dt, name)
    x = module.FloatTensor([1, 2])
    assert x.device == dt.device(name, 0)
    assert isinstance(x, module.FloatTensor)
    assert not isinstance(x, dt.FloatTensor)
    assert not isinstance(x, module.DoubleTensor)
    assert module.LongTensor(2, 3).shape == (2, 3)
    assert x.type() == f"torch.{name}.FloatTensor"
    host = x.type("torch.DoubleTensor")
    assert (host.device.type, host.dtype) == ("cpu", dt.float64)
    for kind in (f"torch.{name}.HalfTensor", module.HalfTensor):
        assert host.type(kind).type() == f"torch.{name}.HalfTensor"
    assert x.type(dt.int32).device == x.device
    with pytest.raises(RuntimeError, match=f"expects device type: {name} but device type: cpu"):
        module.FloatTensor(host)
    for wrong in ("torch.nonsense.FloatTensor", f"torch.{name}.Nonsense", "FloatTensor2"):
        with pytest.raises(ValueError, match=f"^invalid type: '{wrong}'$"):
            x.type(wrong)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        module.nonsense  # noqa: B018


def test_default_type_of_a_device(loopback: Loopback) -> None:
    name = loopback()
    try:
        dt.set_default_tensor_type(f"torch.{name}.DoubleTensor")
        assert dt.zeros(1).type() == f"torch.{name}.DoubleTensor"
        assert dt.zeros(1, dtype=dt.int8).type("torch.Tensor").type() == dt.zeros(1).type()
    finally:
        dt.set_default_tensor_type(dt.FloatTensor)
    assert dt.zeros(1).type() == "torch.FloatTensor"


def test_streams_have_types(loopback: Loopback) -> None:
    module, other = getattr(dt, loopback()), getattr(dt, loopback())
    stream, event = module.Stream(), module.Event(enable_timing=True)
    assert isinstance(stream, module.Stream)
    assert isinstance(stream, dt.Stream)
    assert isinstance(module.current_stream(), module.Stream)
    assert not isinstance(stream, other.Stream)
    assert not isinstance(stream, module.Event)
    assert isinstance(event, module.Event)
    assert isinstance(module.stream(stream), module.StreamContext)
    assert module.Stream is module.Stream
    assert issubclass(module.Stream, module.Stream)
    assert not issubclass(module.Stream, other.Stream)


def test_module_of_a_device(loopback: Loopback) -> None:
    name = loopback()
    assert dt.get_device_module(name) is getattr(dt, name)
    assert dt.get_device_module(dt.device(name, 0)) is getattr(dt, name)
    assert dt.get_device_module("cpu") is dt.cpu
    with pytest.raises(RuntimeError, match=r"expect torch\.device, str, or None"):
        dt.get_device_module(3)


def test_autocast_functions_by_their_old_place() -> None:
    class Twice(dt.autograd.Function):
        @staticmethod
        @dt.cuda.amp.custom_fwd
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @dt.cuda.amp.custom_bwd
        def backward(ctx, grad):
            return grad * 2

    x = dt.ones(2, requires_grad=True)
    Twice.apply(x).sum().backward()
    assert x.grad.tolist() == [2, 2]
    assert dt.cuda.get_arch_list() == [] or dt.cuda.is_available()
