"""A core that reaches into device memory, forgets to wait, or assumes float64 fails on this device.

Each test breaks the core on purpose, sees the device fail, and mends it again.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from test_queues import over_two_queues

import dovetail as dt
from dovetail import streams
from dovetail.backend.state import DeviceState
from dovetail.tensor import storage_of

READS_AS_ADDRESS = """
import ctypes, dovetail as dt
from dovetail.backend.state import DeviceState
def read(self, storage, offset, out):  # as if device memory were the host's
    ctypes.memmove(out.ctypes.data, storage.buffer + offset, out.nbytes)
x = dt.ones(3, device="dlp")
DeviceState.read = read
print(x.tolist())
"""


def test_the_host_reads_device_memory_as_an_address(module: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READS_AS_ADDRESS], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -11, (done.stdout, done.stderr)  # killed by SIGSEGV
    assert done.stdout == ""


def test_the_host_reads_device_memory_as_a_buffer(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = dt.ones(3, device="dlp")

    def read(self: DeviceState, storage: Any, offset: int, out: np.ndarray) -> None:
        out[...] = np.frombuffer(storage.buffer, out.dtype, out.size, offset)

    with monkeypatch.context() as broken:
        broken.setattr(DeviceState, "read", read)
        with pytest.raises(TypeError, match="bytes-like"):
            x.tolist()
    assert x.tolist() == [1, 1, 1]


def test_the_host_computes_on_what_kernels_take(module: Any) -> None:
    array = dt.ones(3, device="dlp")._materialize()
    for touch in (lambda: np.add(array, 1), lambda: np.asarray(array), lambda: array[0]):
        with pytest.raises(TypeError):
            touch()


def test_the_core_forgets_to_wait(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(streams.Event, "wait", lambda self, stream=None: None)
        wrong = {over_two_queues(module, seed, waits=True) for seed in range(6)}
    assert wrong != {20.0}
    assert {over_two_queues(module, seed, waits=True) for seed in range(6)} == {20.0}


def test_the_core_assumes_float64(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail.ops import families

    x = dt.arange(4).dlp()
    with monkeypatch.context() as broken:
        broken.setattr(families.d, "get_default_dtype", lambda: dt.float64)
        dt.arange(4).sinh()  # the cpu does not notice
        with pytest.raises(RuntimeError, match="dlp:0 has no float64; convert to one of bool"):
            x.sinh()
    assert x.exp().dtype is dt.float32


@pytest.mark.parametrize("make", ["ones", "rand", "to", "tensor"])
def test_float64_is_refused_and_never_numbers(module: Any, make: str) -> None:
    calls = {
        "ones": lambda: dt.ones(2, dtype=dt.float64, device="dlp"),
        "rand": lambda: dt.rand(2, dtype=dt.float64, device="dlp"),
        "to": lambda: dt.ones(2, device="dlp").to(dt.float64),
        "tensor": lambda: dt.tensor(np.ones(2)).dlp(),
    }
    with pytest.raises(RuntimeError, match="dlp:0 has no float64"):
        calls[make]()


def test_handles_are_numbers(module: Any) -> None:
    storage = storage_of(dt.ones(3, device="dlp:1"))
    assert type(storage.buffer) is int
