"""Faults: each has an error of its own, what else there is stays whole, and training resumes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dovetail as dt

SCRIPT = Path(__file__).resolve().parents[2] / "plugins" / "dlp" / "examples" / "faults.py"
ERRORS = {"ecc": "EccError", "hang": "KernelTimeout", "lost": "DeviceLost"}


@pytest.mark.parametrize("fault", ERRORS)
def test_a_fault_has_its_error_until_the_reset(module: Any, fault: str) -> None:
    kind = getattr(module, ERRORS[fault])
    host, other = dt.arange(3.0), dt.arange(3.0, device="dlp:1")
    x = dt.ones(5000, device="dlp:0")
    dt.dlp.synchronize()
    module.inject("dlp:0", fault=fault, after=2, timeout=2.0 if fault == "hang" else None)
    y = x + 1
    y = y * 2
    with pytest.raises(kind, match="dlp:0"):
        y.sum().item()
    for again in (lambda: dt.ones(3, device="dlp:0"), dt.dlp.synchronize, lambda: x + 1):
        with pytest.raises(kind, match="reset"):
            again()
    assert other.tolist() == host.tolist() == [0, 1, 2]
    module.reset("dlp:0")
    assert dt.ones(3, device="dlp:0").tolist() == [1, 1, 1]
    assert issubclass(kind, module.DeviceError)
    assert issubclass(kind, RuntimeError)


def test_what_a_reset_lost_is_never_read(module: Any) -> None:
    x, y = dt.ones(100, device="dlp"), dt.ones(100, device="dlp")
    dt.dlp.synchronize()
    module.reset()
    for read in (lambda: x + 1, x.cpu, lambda: x.add_(1)):
        with pytest.raises(module.DeviceError, match="contents are lost"):
            read()
    y.copy_(dt.full((100,), 7.0))
    assert y.sum().item() == 700


def test_unknown_faults_are_refused(module: Any) -> None:
    with pytest.raises(ValueError, match="out_of_memory, ecc, hang, lost"):
        module.inject(fault="fire")
    with pytest.raises(ValueError, match="dlp:n"):
        module.inject("cuda:0")


def test_out_of_memory_on_request(module: Any) -> None:
    module.inject(0, fault="out_of_memory", after=1)
    dt.ones(3, device="dlp")
    with pytest.raises(dt.OutOfMemoryError, match="as inject\\(\\) asked"):
        dt.ones(12_345_678, device="dlp")
    module.inject(0)
    assert dt.ones(12_345, device="dlp").sum().item() == 12_345


def test_training_resumes_bit_identical_after_each_fault(module: Any) -> None:
    environment = {**os.environ, "DOVETAIL_DLP_CACHING": "0"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    wanted = {"out_of_memory": "OutOfMemoryError", **ERRORS}
    assert [line.split(":")[0] for line in lines[::2]] == list(wanted)
    for line, kind in zip(lines[::2], wanted.values(), strict=True):
        assert f"the user sees {kind}: " in line
    good = "    resumed bit-identical: True; dlp:1 and the host are whole: True"
    assert lines[1::2] == [good] * 4


def test_a_forked_child_is_refused(module: Any) -> None:
    code = (
        "import os, dovetail as dt\n"
        "x = dt.ones(3, device='dlp'); x.sum().item()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    try: x.sum().item()\n"
        "    except RuntimeError as e: print(e, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0); print(x.sum().item())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "dlp:0: this process was forked from one that uses the device" in done.stdout, (
        done.stderr
    )
    assert done.stdout.endswith("3.0\n")
