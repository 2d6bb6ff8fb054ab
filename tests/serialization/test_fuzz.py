"""A thousand damaged files: no crash, no code run, one class of error, little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).with_name("fuzz.py")
FILES = 1000
MEMORY = 64 << 20


def test_a_thousand_damaged_files() -> None:
    command = [sys.executable, str(FUZZ), str(FILES), "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"the process ended with {done.returncode}: {done.stderr[-2000:]}"
    report = json.loads(done.stdout)
    assert report["wrong"] == [], "another class than CheckpointError"
    assert report["events"] == [], "something was imported, compiled or executed"
    outcomes = report["outcomes"]
    assert outcomes["refused"] + outcomes["loaded"] == FILES
    assert outcomes["refused"] > FILES // 3, "the damage does no harm: nothing was tested"
    assert outcomes["loaded"] > FILES // 50, "nothing of the files was looked at"
    assert report["most_bytes"] < MEMORY
    assert report["resident_bytes"] < MEMORY
