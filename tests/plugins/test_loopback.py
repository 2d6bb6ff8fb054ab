"""The loopback device: its checks bite, and the core keeps what it promised."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.backend import KernelTable, OutOfMemoryError, registry
from dovetail.spec import spec_of

Loopback = Callable[..., str]
LAYOUTS = ("strided", "broadcast", "contiguous")


@pytest.fixture
def plugin(loopback: Loopback) -> Any:
    """The plugin's modules."""
    import dovetail_loopback.kernels

    return dovetail_loopback


def strided(shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    base = np.zeros(64, np.float32)
    bytes_ = tuple(4 * s for s in strides)
    return np.lib.stride_tricks.as_strided(base, shape, bytes_)


SHAPES = [
    *[((), ()), ((3,), (1,)), ((3,), (2,)), ((3,), (0,)), ((2, 3), (3, 1)), ((2, 3), (1, 2))],
    *[((2, 3), (0, 1)), ((2, 3), (1, 0)), ((2, 3), (0, 0)), ((1, 3), (99, 1)), ((2, 0), (7, 1))],
    *[((2, 3), (4, 1)), ((2, 3, 2), (2, 0, 1)), ((2, 1), (1, 5)), ((2, 3, 2), (0, 4, 1))],
]


@pytest.mark.parametrize(("shape", "strides"), SHAPES)
def test_layout_agrees_with_the_core(
    plugin: Any, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    array = strided(shape, strides)
    spec = spec_of(shape, dt.float32, dt.device("cpu"), strides)
    assert plugin.kernels.layout_of(array) == spec.layout


def table_of(layout: str, plugin: Any) -> KernelTable:
    cpu = KernelTable(contract=(1, 0), broadcasts=True, scalars=True)
    cpu.update({"add": np.add, "softmax": lambda x, out: np.copyto(out, x)})
    cpu.add("copy", lambda x, out: np.copyto(out, x))
    return plugin.kernels.forwarding_table(cpu, layout)


def call(table: KernelTable, name: str, *arrays: np.ndarray, indices: Any = None) -> None:
    from dovetail_loopback.arrays import Array

    where = indices or [0] * len(arrays)
    made = [Array(a, i) for a, i in zip(arrays, where, strict=True)]
    table.entries(name)[0].function(*made)


def test_nothing_is_advertised(plugin: Any) -> None:
    for layout in LAYOUTS:
        entry = table_of(layout, plugin).entries("add")[0]
        assert (entry.layout, entry.broadcasts, entry.scalars) == (layout, False, False)
        assert table_of(layout, plugin).entries("copy")[0].layout == "strided"


def test_kernels_refuse_what_was_not_promised(plugin: Any) -> None:
    dense, wide = np.ones((2, 3), np.float32), strided((2, 3), (0, 1))
    turned = np.ones((3, 2), np.float32).T
    out = np.zeros((2, 3), np.float32)
    for layout, given in (("contiguous", wide), ("contiguous", turned), ("broadcast", turned)):
        with pytest.raises(AssertionError, match=f"the table accepts {layout}"):
            call(table_of(layout, plugin), "add", dense, given, out)
    with pytest.raises(AssertionError, match="not expanded"):
        call(table_of("strided", plugin), "add", dense, np.ones(3, np.float32), out)
    with pytest.raises(AssertionError, match="arrays of devices \\[0, 1\\]"):
        call(table_of("strided", plugin), "add", dense, dense, out, indices=[0, 1, 0])
    with pytest.raises(AssertionError, match="got ndarray, not an Array"):
        table_of("strided", plugin).entries("add")[0].function(dense, dense, out)
    call(table_of("broadcast", plugin), "add", dense, wide, out)
    call(table_of("strided", plugin), "add", out, turned, out)
    assert out.tolist() == [[2, 2, 2], [2, 2, 2]]


def test_the_host_cannot_read_an_array(loopback: Loopback) -> None:
    x = dt.ones(3, device=loopback())
    array = x._array
    for read in (np.asarray, len, list, lambda a: a[0]):
        with pytest.raises(AssertionError, match="the host read device memory"):
            read(array)


def test_a_handle_is_freed_once(loopback: Loopback) -> None:
    runtime = registry.get(loopback()).runtime
    handle = runtime.alloc(8, 0)
    assert type(handle) is int
    runtime.free(handle)
    with pytest.raises(KeyError):
        runtime.free(handle)


def test_fresh_memory_is_no_zeros(loopback: Loopback) -> None:
    runtime = registry.get(loopback()).runtime
    target = bytearray(4)
    runtime.d2h(memoryview(target), runtime.alloc(8, 1), 2)
    assert target == b"\xa5" * 4


def test_freed_memory_is_overwritten(loopback: Loopback) -> None:
    name = loopback(caching=False)
    x = dt.ones(2, device=name)
    array = x._array
    del x
    assert array.open().view(np.uint8).tolist() == [0xDD] * 8
    assert getattr(dt, name).memory_reserved() == 0


def test_copies_stay_inside(loopback: Loopback) -> None:
    runtime = registry.get(loopback()).runtime
    handle = runtime.alloc(8, 0)
    with pytest.raises(AssertionError, match="outside"):
        runtime.h2d(handle, 4, memoryview(bytes(5)))
    with pytest.raises(AssertionError, match="outside"):
        runtime.d2h(memoryview(bytearray(9)), handle, 0)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DOVETAIL_LOOPBACK_LAYOUT", "diagonal"),
        ("DOVETAIL_LOOPBACK_MEMORY", "1.5"),
        ("DOVETAIL_LOOPBACK_DEVICES", "-1"),
    ],
)
def test_settings_without_meaning(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"^{variable}: must be .*, got '{value}'"):
        plugin.backend()


def test_settings_of_the_environment(plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOVETAIL_LOOPBACK_LAYOUT", "contiguous")
    monkeypatch.setenv("DOVETAIL_LOOPBACK_MEMORY", "4096")
    monkeypatch.setenv("DOVETAIL_LOOPBACK_DEVICES", "5")
    runtime = plugin.backend().runtime
    assert (runtime.layout, runtime.memory, runtime.count()) == ("contiguous", 4096, 5)
    assert plugin.backend(devices=1).runtime.count() == 1


def test_small_memory(loopback: Loopback) -> None:
    name = loopback(memory=1 << 20, devices=1)
    kept = dt.zeros(1 << 19, dtype=dt.uint8, device=name)
    with pytest.raises(OutOfMemoryError) as error:
        dt.zeros(1 << 20, dtype=dt.uint8, device=name)
    text = str(error.value)
    assert text.startswith(f"{name}:0: out of memory: asked for {1 << 20} bytes")
    assert f"{1 << 19} allocated" in text
    assert "reserved" in text
    del kept
    gc.collect()
    almost = 3 << 18  # more than the kept block: the cache must give way
    assert dt.zeros(almost, dtype=dt.uint8, device=name).sum().item() == 0


@pytest.mark.parametrize("caching", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_core_keeps_its_promises(loopback: Loopback, layout: str, caching: bool) -> None:
    name = loopback(layout=layout, caching=caching)
    host = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    x = dt.tensor(host, device=name)
    turned = x.permute(2, 0, 1)
    row = dt.tensor(host[0, 0], device=name)
    cases = [
        (turned + turned, host.transpose(2, 0, 1) * 2),
        (x + row, host + host[0, 0]),
        (x + 1.5, host + 1.5),
        (2 - x[:, ::2], 2 - host[:, ::2]),
        (turned.sum(0), host.transpose(2, 0, 1).sum(0)),
        (x[:, 1:].matmul(turned[:, 0]), host[:, 1:] @ host.transpose(2, 0, 1)[:, 0]),
        (dt.where(x > 5, x, -row), np.where(host > 5, host, -host[0, 0])),
        (turned.reshape(4, 6), host.transpose(2, 0, 1).reshape(4, 6)),
    ]
    for got, want in cases:
        assert got.device == dt.device(name, 0)
        np.testing.assert_allclose(got.cpu().numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("caching", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_writing_through_views(loopback: Loopback, layout: str, caching: bool) -> None:
    name = loopback(layout=layout, caching=caching)
    host = np.arange(12, dtype=np.float32).reshape(3, 4)
    x = dt.tensor(host, device=name)
    x.t()[1:3] += 10
    x[:, 0] = dt.tensor([7.0, 8.0, 9.0], device=name)
    host.T[1:3] += 10
    host[:, 0] = [7, 8, 9]
    np.testing.assert_array_equal(x.cpu().numpy(), host)


def test_between_devices(loopback: Loopback) -> None:
    name = loopback(devices=2)
    x = dt.tensor([1.0, 2.0], device=f"{name}:0")
    y = x.to(f"{name}:1")
    assert y.device == dt.device(name, 1)
    assert (y + y).tolist() == [2.0, 4.0]
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        x + y
    assert getattr(x.cpu(), name)().device == dt.device(name, 0)


def test_training_step(loopback: Loopback) -> None:
    losses = {}
    for device in ("cpu", loopback(layout="contiguous"), loopback()):
        dt.manual_seed(0)
        model = dt.nn.Sequential(dt.nn.Linear(4, 8), dt.nn.ReLU(), dt.nn.Linear(8, 2)).to(device)
        optimizer = dt.optim.SGD(model.parameters(), lr=0.1)
        x = dt.arange(12.0).view(3, 4).to(device)
        target = dt.tensor([0, 1, 0], device=device)
        seen = losses[device] = []
        for _ in range(3):
            loss = dt.nn.functional.cross_entropy(model(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen.append(loss.item())
    expected = losses.pop("cpu")
    for other in losses.values():
        assert other == pytest.approx(expected, rel=1e-5)


def test_installed_it_is_found(site: Any) -> None:
    site.install_loopback()
    code = (
        "import json, dovetail as dt\n"
        "x = dt.ones(3).loop()\n"
        "print(json.dumps([str((x + x).device), dt.loop.device_count(), x.sum().item()]))"
    )
    assert site.json(code, DOVETAIL_LOOPBACK_DEVICES="4") == ["loop:0", 4, 3.0]
