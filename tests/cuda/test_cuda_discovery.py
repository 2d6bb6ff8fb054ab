"""What is said where something is missing, and the command that mends it."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
from typing import Any

import pytest

from dovetail_cuda import discovery, doctor


class _Driver:
    """NVIDIA's library: a version, and what its functions answer."""

    def __init__(self, version: int, count: int, error: int = 0) -> None:
        self.version, self.count, self.error = version, count, error

    def cuDriverGetVersion(self, to: Any) -> int:
        to._obj.value = self.version
        return 0

    def cuInit(self, flags: int) -> int:
        return self.error

    def cuDeviceGetCount(self, to: Any) -> int:
        to._obj.value = self.count
        return self.error


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``found(driver, cupy=…)``: what is discovered with such a driver and package."""

    def run(driver: _Driver | None, cupy: bool = True, platform: str = "linux") -> Any:
        def load(name: str) -> _Driver:
            assert name in ("libcuda.so.1", "nvcuda.dll")
            if driver is None:
                raise OSError("cannot open shared object file")
            return driver

        spec = importlib.util.find_spec
        monkeypatch.setattr(ctypes, "CDLL", load)
        monkeypatch.setattr(discovery.sys, "platform", platform)
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name: (object() if cupy else None) if name == "cupy" else spec(name),
        )
        return discovery.discover.__wrapped__()

    return run


def test_no_driver(found: Any) -> None:
    seen = found(None)
    assert seen.count == 0
    missing = "no NVIDIA driver: libcuda.so.1 cannot be loaded"
    assert seen.reason == f"{missing} (Debian's package: nvidia-driver)"
    assert "nvidia-driver" in seen.command
    assert "no NVIDIA driver for darwin" in found(None, platform="darwin").reason
    assert "nvcuda.dll" in found(None, platform="win32").reason


@pytest.mark.parametrize(("code", "said"), discovery.REASONS.items())
def test_a_driver_that_refuses(found: Any, code: int, said: str) -> None:
    seen = found(_Driver(13000, 1, code))
    assert (seen.count, seen.reason, seen.driver) == (0, said, (13, 0))
    assert found(_Driver(13000, 1, 46)).reason == "the NVIDIA driver's error 46"


def test_no_gpu(found: Any) -> None:
    assert (
        "sees no NVIDIA GPU (CUDA_VISIBLE_DEVICES may hide it)" in found(_Driver(13000, 0)).reason
    )


def test_an_old_driver(found: Any) -> None:
    seen = found(_Driver(11080, 1))
    assert seen.count == 0
    assert "knows CUDA 11.8; 12.0 is needed: update the driver" in seen.reason


def test_no_cupy(found: Any) -> None:
    seen = found(_Driver(13000, 2), cupy=False)
    assert (seen.count, seen.reason) == (0, "CuPy is not installed")
    assert seen.command == "pip install 'dovetail[cuda]'"
    assert found(_Driver(12040, 2), cupy=False).command == "pip install 'dovetail[cuda12]'"
    assert found(_Driver(12040, 2)).count == 2


# the doctor


@pytest.fixture
def advice(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``advice(packages, missing, driver)``: what the doctor says of an installation."""

    def run(packages: list[str], missing: dict[str, str], driver: int = 13) -> Any:
        from dovetail_cuda import driver as drivers

        def version(name: str) -> str:
            if name in packages:
                return "14.2.0"
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(doctor, "discover", lambda: discovery.Discovery(1, (driver, 0)))
        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(drivers, "load_library", lambda name: missing.get(name, ""))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
        return doctor.doctor()

    return run


def test_nothing_is_wrong(advice: Any) -> None:
    assert advice(["cupy-cuda13x"], {}) == []


def test_no_device_is_what_discovery_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "discover", lambda: discovery.Discovery(0, reason="a", command="b"))
    assert doctor.doctor() == [("a", "b")]


def test_several_cupys(advice: Any) -> None:
    ((said, command),) = advice(["cupy-cuda12x", "cupy-cuda13x"], {})
    assert said == "several CuPy packages: cupy-cuda12x cupy-cuda13x"
    assert command == "pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install 'dovetail[cuda]'"


def test_a_cupy_for_a_later_driver(advice: Any) -> None:
    ((said, command),) = advice(["cupy-cuda13x"], {}, driver=12)
    assert said == "CuPy is made for CUDA 13, the driver knows CUDA 12"
    assert command.endswith("pip install 'dovetail[cuda12]'")


def test_missing_libraries(advice: Any) -> None:
    trouble = {"nvrtc": "libnvrtc.so.13: cannot open", "cublasLt": "libcublasLt.so.13: cannot open"}
    assert advice(["cupy-cuda13x"], trouble) == [
        ("libnvrtc, which compiles the kernels: libnvrtc.so.13: cannot open",
         "pip install nvidia-cuda-nvrtc"),
        ("libcublasLt, for matrix products: libcublasLt.so.13: cannot open",
         "pip install nvidia-cublas"),
    ]  # fmt: skip
    said = advice(["cupy-cuda12x"], {"nvrtc": "libnvrtc.so.12: cannot open"}, driver=12)
    assert said[0][1] == "pip install nvidia-cuda-nvrtc-cu12"
