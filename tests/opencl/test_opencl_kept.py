"""What PoCL keeps of programs, after a process that did not come to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dovetail as dt
from dovetail_opencl.kept import MARKS

PROGRAM = """
import dovetail as dt
print((dt.arange(3.0, device="opencl:0") + 1).tolist())
"""


def _run(folder: Path, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "POCL_CACHE_DIR": str(folder / "pocl"),
        "DOVETAIL_OPENCL_CACHE": "",
        "XDG_CACHE_HOME": str(folder),
    }
    words = [sys.executable, "-c", program]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("suffix", [".so", ".bc"])
@pytest.mark.parametrize("size", [0, 1000])
def test_entries_that_are_cut_off_are_compiled_again(
    tmp_path: Path, suffix: str, size: int, opencl: dt.device, queue: Any
) -> None:
    if "Portable" not in queue.handle.platform.name:
        pytest.skip("of PoCL's programs")
    assert _run(tmp_path).stdout == "[1.0, 2.0, 3.0]\n"
    marks = tmp_path / "pocl" / MARKS
    assert list(marks.iterdir()) == []  # it came to its end
    entries = [p for p in (tmp_path / "pocl").rglob(f"*{suffix}") if p.is_file()]
    assert entries
    for entry in entries:
        os.truncate(entry, size)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (marks / str(gone.pid)).touch()
    last = min((tmp_path / "pocl").rglob("last_accessed"), key=lambda p: p.stat().st_mtime)
    os.utime(marks / str(gone.pid), (last.stat().st_mtime, last.stat().st_mtime))
    mended = _run(tmp_path)
    assert (mended.returncode, mended.stdout) == (0, "[1.0, 2.0, 3.0]\n"), mended.stderr
    assert "is cut off" in mended.stderr
    again = _run(tmp_path)
    assert (again.stdout, again.stderr) == ("[1.0, 2.0, 3.0]\n", "")


def test_a_process_that_is_killed_leaves_its_mark(tmp_path: Path, opencl: dt.device) -> None:
    ended = _run(tmp_path, PROGRAM + "import os; os.kill(os.getpid(), 9)")
    assert ended.returncode == -9
    marks = tmp_path / "pocl" / MARKS
    assert len(list(marks.iterdir())) == 1
    assert _run(tmp_path).stderr == ""  # nothing is cut off
    assert list(marks.iterdir()) == []
