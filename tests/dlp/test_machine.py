"""Sizes, costs and profile of the simulated machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dovetail as dt


def test_configure_changes_sizes_and_refuses_nonsense(module: Any) -> None:
    machine = module.configure(nram=256 << 10, clock=2e9)
    assert (machine.nram, machine.clock) == (256 << 10, 2e9)
    for wrong in ({"nram": 0}, {"alignment": 48}, {"neurons": 3}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            module.configure(**wrong)
    with pytest.raises(ValueError, match="diannao"):
        module.configure("mlu9000")
    dt.ones(1, device="dlp").item()
    with pytest.raises(RuntimeError, match="DOVETAIL_DLP_MEMORY"):
        module.configure(memory=1 << 20)


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def test_the_environment_configures(module: Any) -> None:
    code = (
        "import dovetail as dt, dovetail_dlp as d; c = d.configure();"
        "print(c.name, c.cores, dt.dlp.device_count(), dt.ones(3, device='dlp:3').sum().item())"
    )
    done = python(
        code, DOVETAIL_DLP_PRESET="shidiannao", DOVETAIL_DLP_CORES="2", DOVETAIL_DLP_DEVICES="4"
    )
    assert done.stdout.split() == ["shidiannao", "2", "4", "3.0"], done.stderr


def test_a_wrong_variable_is_told_by_the_device_alone(module: Any) -> None:
    code = (
        "import dovetail as dt\ntry: dt.ones(1, device='dlp')\nexcept RuntimeError as e: print(e)"
    )
    done = python(code, DOVETAIL_DLP_NRAM="lots")
    assert "DOVETAIL_DLP_NRAM: must be a number, got 'lots'" in done.stdout, done.stderr


def test_every_preset_computes(module: Any) -> None:
    x = dt.arange(600.0).reshape(20, 30)
    for name in module.PRESETS:
        module.configure(name)
        y = x.dlp()
        assert dt.allclose((y @ y.t()).softmax(1).sum(0).cpu(), (x @ x.t()).softmax(1).sum(0)), name


def test_memory_has_an_end(module: Any) -> None:
    code = (
        "import dovetail as dt\n"
        "x = dt.ones(1 << 20, device='dlp')\n"
        "try: y = [dt.ones(1 << 20, device='dlp') for _ in range(4)]\n"
        "except dt.OutOfMemoryError as e: print(e)\n"
        "print(x.sum().item())"
    )
    done = python(code, DOVETAIL_DLP_MEMORY=str(12 << 20))
    assert "dlp:0: GDRAM must have 4194304 bytes" in done.stdout, done.stderr
    assert "1048576.0" in done.stdout


def test_profile_counts_and_explains(module: Any, tmp_path: Path) -> None:
    x = dt.ones(100_000).dlp()
    with module.profile() as found:
        y = x.exp()
        (y + x).cpu()
    lines = {line.name: line for line in found.lines()}
    assert set(lines) == {"exp", "add"}
    assert lines["exp"].nbytes == 800_000
    assert lines["add"].nbytes == 1_200_000
    assert lines["exp"].operations == 100_000
    assert found.copies == [(0, 0, "d2h", 400_000)]
    text = str(found)
    assert "roofline" in text
    assert "add" in text
    with module.profile() as nothing:
        pass
    assert nothing.lines() == []
    events = json.loads(found.save_trace(tmp_path / "trace.json").read_text())["traceEvents"]
    bars = [e for e in events if e["ph"] == "X"]
    assert {"exp", "add", "load", "store", "vector_exp"} <= {e["name"] for e in bars}
    threads = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert {"queue 0", "core 00 dma", "core 15 vector"} <= set(threads.values())
    whole = {
        e["name"]: (e["ts"], e["ts"] + e["dur"]) for e in bars if threads[e["tid"]] == "queue 0"
    }
    assert whole["exp"][1] <= whole["add"][0]
    for event in bars:  # every instruction lies inside of a kernel
        start, end = event["ts"], event["ts"] + event["dur"]
        assert any(a <= start and end <= b + 1e-6 for a, b in whole.values())


def test_picture(module: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    with module.profile() as found:
        dt.ones(1000, device="dlp").exp()
    path = found.save_picture(tmp_path / "picture.png")
    assert path.read_bytes()[:4] == b"\x89PNG"


def cycles_of(module: Any, *, overlapped: bool, bandwidth: float = 100.0) -> float:
    import dovetail_dlp.lang as dlp

    module.configure(bandwidth=bandwidth)

    @dlp.kernel(tasks=1)
    def work(x: Any, out: Any) -> None:
        a, b = dlp.nram(4096, x.dtype), dlp.nram(4096, x.dtype)
        dlp.load(a, x[:4096])
        if overlapped:
            dlp.load_async(b, x[4096:])
        else:
            dlp.load(b, x[4096:])
        dlp.vector_exp(a, a)
        dlp.sync()
        dlp.vector_add(a, a, b)
        dlp.store(out, a)

    x, out = dt.ones(8192, device="dlp"), dt.empty(4096, device="dlp")
    with module.profile() as found:
        work(x._materialize(), out._materialize())
    assert (out.cpu() - (dt.ones(1).exp() + 1)).abs().max().item() < 1e-6
    return found.cycles


def test_a_dma_that_is_not_waited_for_runs_beside_compute(module: Any) -> None:
    apart, beside = (cycles_of(module, overlapped=o) for o in (False, True))
    exp = 8 + 4 * 4096 * 4 / 128
    load = 200 + 4096 * 4 / 64
    assert apart - beside == pytest.approx(min(exp, load))


def test_bandwidth_is_a_wall(module: Any) -> None:
    slow, fast = (cycles_of(module, overlapped=False, bandwidth=b) for b in (8.0, 16.0))
    assert slow - fast == pytest.approx(3 * 4096 * 4 * (1 / 8 - 1 / 16))


def test_events_measure_the_machines_time(module: Any) -> None:
    x = dt.ones(1 << 16, device="dlp")
    start, end = (dt.Event("dlp:0", enable_timing=True) for _ in range(2))
    start.record()
    with module.profile() as found:
        x.exp()
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) == pytest.approx(found.cycles / 1e9 * 1e3)
