"""``examples/adaptive_bits.py``, in short: one epoch, and its report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "adaptive_bits.py"


@pytest.mark.parametrize("name", ["cpu", "loop:0"])
def test_the_report(name: str, need_device: Any) -> None:
    pytest.importorskip("sklearn")
    need_device(name)
    words = [sys.executable, "-W", "error", str(EXAMPLE), "--device", name, "--epochs", "3"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heads, row, empty, layers, *rest = done.stdout.splitlines()
    assert heads.split("  ")[:3] == ["Network", "float32 Acc", "Adaptive Acc"]
    network, float32, adaptive, activation, weight, *gradient = row.split()
    assert network == "Net"
    assert float(float32) > 85
    assert float(adaptive) > float(float32) - 3
    assert (activation, weight) == ("100.0%", "100.0%")
    assert sum(float(share.rstrip("%")) for share in gradient) == pytest.approx(100, abs=0.2)
    assert empty == ""
    assert layers.split()[::6] == ["Layer", "Measured"]
    assert [line.split()[0] for line in rest] == ["conv1", "conv2", "fc1", "fc2"]
    assert {line.split()[2] for line in rest} == {"69"}  # 3 epochs of 23 batches
