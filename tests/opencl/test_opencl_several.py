"""Two drivers in one process: which device is which, copies between them, one cache for both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dovetail as dt

MIB = 1 << 20


@pytest.fixture
def platforms() -> list[str]:
    """The names of the platforms of ``opencl:0`` and ``opencl:1``."""
    pytest.importorskip("pyopencl", reason="PyOpenCL is not installed")
    from dovetail_opencl.discovery import discover

    names = [device.platform.name for device in discover().devices]
    if len(set(names)) < 2:
        pytest.skip(f"one OpenCL driver at most, and two are needed: {names or 'none'}")
    if names[0] == names[1]:
        pytest.skip(f"opencl:0 and opencl:1 are of one driver: {names}")
    return names[:2]


def _same(found: Any, wanted: Any) -> bool:
    return [d.int_ptr for d in found.devices] == [d.int_ptr for d in wanted.devices]


def test_the_loaders_order_decides_nothing(
    platforms: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyopencl as cl

    from dovetail_opencl.discovery import discover

    usual = discover()
    turned = cl.get_platforms()[::-1]
    monkeypatch.setattr(cl, "get_platforms", lambda: turned)
    discover.cache_clear()
    assert _same(discover(), usual)
    discover.cache_clear()


def test_drivers_of_one_name_are_ordered_by_their_versions(
    opencl: dt.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two releases of PoCL, say: a system's and a wheel's."""
    import pyopencl as cl

    from dovetail_opencl.discovery import discover

    class Platform:
        name = "PoCL"

        def __init__(self, version: str) -> None:
            self.version = version

        def get_devices(self) -> list[Any]:
            return [Handle(self)]

    class Handle:
        type, version, name = cl.device_type.CPU, "OpenCL 3.0", "cpu"
        available = compiler_available = endian_little = True

        def __init__(self, platform: Platform) -> None:
            self.platform = platform

    both = [Platform("OpenCL 3.0 PoCL 3.1"), Platform("OpenCL 3.0 PoCL 5.0")]
    for order in (both, both[::-1]):
        monkeypatch.setattr(cl, "get_platforms", lambda order=order: order)
        discover.cache_clear()
        assert [d.platform for d in discover("").devices] == both
    discover.cache_clear()


def test_the_variable_chooses_between_drivers(platforms: list[str]) -> None:
    from dovetail_opencl.discovery import discover

    def chosen(words: str) -> list[str]:
        return [d.platform.name for d in discover(words).devices]

    first, second = platforms
    assert set(chosen(first)) == {first}
    assert set(chosen(second.lower()[:5])) == {second}
    assert chosen(f"{second}:0,{first}:0")[:2] == [second, first], "its order is ours"
    by_number = [chosen(str(number)) for number in range(2)]
    assert {names[0] for names in by_number} == {first, second}
    assert all(len(set(names)) == 1 for names in by_number)
    assert not chosen(f"{first}:99")


@pytest.mark.parametrize("source", [0, 1])
def test_copies_go_from_one_driver_to_the_other(platforms: list[str], source: int) -> None:
    here, there = f"opencl:{source}", f"opencl:{1 - source}"
    values = np.random.default_rng(0).standard_normal((3, 300, 500)).astype(np.float32)
    x = dt.tensor(values, device=here)
    np.testing.assert_array_equal(x.to(there).cpu().numpy(), values)
    moved = (x.permute(2, 0, 1)[::2] * 2).to(there) + 1
    assert str(moved.device) == there
    np.testing.assert_array_equal(moved.cpu().numpy(), values.transpose(2, 0, 1)[::2] * 2 + 1)
    target = dt.zeros(500, 300, device=there).t()
    target.copy_(x[1])
    np.testing.assert_array_equal(target.cpu().numpy(), values[1])
    x.requires_grad_()
    (x.to(there) * 3).sum().backward()
    assert x.grad is not None
    assert str(x.grad.device) == here
    assert x.grad.sum().item() == 3 * values.size
    with pytest.raises(RuntimeError, match="device"):
        x + moved


def test_threads_use_one_driver_each(platforms: list[str]) -> None:
    values = np.random.default_rng(1).integers(-9, 9, (64, 96)).astype(np.float32)
    wanted = values @ values.T
    wrong: list[str] = []

    def work(device: str) -> None:
        x = dt.tensor(values, device=device)
        for step in range(30):
            made = (x @ x.t() + step).relu().sum(0)
            if not np.array_equal(made.cpu().numpy(), np.maximum(wanted + step, 0).sum(0)):
                wrong.append(device)

    threads = [threading.Thread(target=work, args=(f"opencl:{i % 2}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_one_cache_keeps_the_programs_of_both(
    platforms: list[str], fresh: Callable[..., str], tmp_path: Path
) -> None:
    code = """
from dovetail_opencl.runtime import device_of
for index in range(2):
    device = device_of(index)
    device.program("kernel void nothing(global float *x) { x[0] = 1; }")
    print(device.cache.found, device.cache.compiled)
"""
    assert fresh(code, DOVETAIL_OPENCL_CACHE=str(tmp_path)).split() == ["0", "1", "0", "1"]
    assert fresh(code, DOVETAIL_OPENCL_CACHE=str(tmp_path)).split() == ["1", "0", "1", "0"]
    assert len(list(tmp_path.iterdir())) == 2
