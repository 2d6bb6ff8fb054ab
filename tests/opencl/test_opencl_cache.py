"""Compiled programs on disk: found again, written by several at once, and mended when damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import dovetail as dt

SQUARE = "kernel void square(global float *x) { x[get_global_id(0)] *= x[get_global_id(0)]; }"

PROGRAM = f"""
import logging
logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
for name in ("pytools", "pyopencl"):
    logging.getLogger(name).setLevel(logging.ERROR)
import numpy as np
import pyopencl as cl
from dovetail_opencl.runtime import device_of
device = device_of(0)
kernel = device.kernel({SQUARE!r}, "square").kernel
x = np.arange(4, dtype=np.float32)
buffer = cl.Buffer(device.context, cl.mem_flags.COPY_HOST_PTR | cl.mem_flags.READ_WRITE, hostbuf=x)
kernel.set_arg(0, buffer)
cl.enqueue_nd_range_kernel(device.queue, kernel, (4,), (1,))
cl.enqueue_copy(device.queue, x, buffer)
assert x.tolist() == [0, 1, 4, 9], x
print("found", device.cache.found, "compiled", device.cache.compiled)
"""


def test_the_next_process_finds_the_program(fresh: Callable[..., str], tmp_path: Path) -> None:
    chosen = {"DOVETAIL_OPENCL_CACHE": str(tmp_path / "programs")}
    assert fresh(PROGRAM, **chosen).strip() == "found 0 compiled 1"
    assert fresh(PROGRAM, **chosen).strip() == "found 1 compiled 0"
    (entry,) = (tmp_path / "programs").iterdir()
    assert entry.suffix == ".bin"


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "refused"])
def test_a_damaged_entry_is_compiled_again_and_replaced(
    opencl: dt.device, tmp_path: Path, damage: str
) -> None:
    def run() -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "DOVETAIL_OPENCL_CACHE": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), done.stderr

    run()
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    if damage == "refused":  # whole, but no program
        import hashlib

        head = whole[: whole.index(b"\n") + 1]
        entry.write_bytes(head + hashlib.sha256(b"nothing").digest() + b"nothing")
    else:
        changed = bytes([whole[-1] ^ 1])
        entry.write_bytes({"cut": whole[:-9], "bit": whole[:-1] + changed, "empty": b""}[damage])
    said, logged = run()
    assert said == "found 0 compiled 1"
    assert "dovetail.opencl:" in logged
    assert "compiled from source" in logged
    assert run()[0] == "found 1 compiled 0"


def test_processes_that_write_at_once_leave_one_whole_entry(
    opencl: dt.device, tmp_path: Path
) -> None:
    environment = {**os.environ, "DOVETAIL_OPENCL_CACHE": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in running:
        process.communicate(timeout=120)
        assert process.returncode == 0
    (entry,) = tmp_path.iterdir()
    assert entry.suffix == ".bin", "no file that was being written is left"


def test_a_folder_that_cannot_be_written_only_costs_the_entry(
    fresh: Callable[..., str], tmp_path: Path
) -> None:
    taken = tmp_path / "file"
    taken.write_text("not a folder")
    said = fresh(PROGRAM, DOVETAIL_OPENCL_CACHE=str(taken / "programs"))
    assert said.strip() == "found 0 compiled 1"


def test_the_longest_unused_entries_are_removed(
    opencl: dt.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dovetail_kernels import entries
    from dovetail_opencl import cache

    monkeypatch.setattr(cache, "LIMIT", 250)
    for number in range(4):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(b"x" * 100)
        os.utime(path, (1000 + number, 1000 + number))
    entries.trim(tmp_path, "*.bin", cache.LIMIT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2.bin", "3.bin"]


def test_0_keeps_nothing(fresh: Callable[..., str], tmp_path: Path) -> None:
    said = fresh(PROGRAM, DOVETAIL_OPENCL_CACHE="0", XDG_CACHE_HOME=str(tmp_path))
    assert said.strip() == "found 0 compiled 1"
    assert not (tmp_path / "dovetail").exists()


def test_pyopencl_keeps_nothing_either(fresh: Callable[..., str], tmp_path: Path) -> None:
    """It would, for a driver that keeps nothing itself."""
    code = """
import pyopencl.cache, pyopencl.characterize
def asked(*args, **kwargs):
    raise AssertionError("PyOpenCL's cache was asked")
pyopencl.cache.create_built_program_from_source_cached = asked
pyopencl.characterize.has_src_build_cache = lambda device: False
"""
    assert fresh(code + PROGRAM, DOVETAIL_OPENCL_CACHE="0").strip() == "found 0 compiled 1"


@pytest.mark.parametrize("cache", ["0", "folder"])
def test_what_a_compiler_says_is_no_warning(
    fresh: Callable[..., str], tmp_path: Path, cache: str
) -> None:
    """Some compilers tell of every step; warnings are errors in this process."""
    code = f"""
import pyopencl as cl
from dovetail_opencl.runtime import device_of
build = cl.Program.build
def telling(self, *args, **kwargs):
    made = build(self, *args, **kwargs)
    cl.compiler_output("Compilation started. Device build done. Kernel was vectorized (16).")
    return made
cl.Program.build = telling
device_of(0).program({SQUARE!r})
import warnings
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    warnings.warn("still seen", stacklevel=1)
assert len(seen) == 1
"""
    fresh(code, DOVETAIL_OPENCL_CACHE="0" if cache == "0" else str(tmp_path))


def test_a_line_warns_once_though_kernels_are_compiled(fresh: Callable[..., str]) -> None:
    """Python forgets what it has shown whenever the filters change."""
    code = f"""
import warnings
from dovetail_opencl.runtime import device_of
device = device_of(0)
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("default")
    for name in ("one", "two", "three"):
        warnings.warn("once a line", stacklevel=1)
        device.program({SQUARE!r}.replace("square", name))
print(device.cache.compiled, len(seen))
"""
    assert fresh(code, DOVETAIL_OPENCL_CACHE="0").strip() == "3 1"


def test_what_cannot_be_written_to_its_end_leaves_nothing(
    opencl: dt.device, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a full disk: a file of this process may have 1000 bytes."""
    import logging
    import resource

    from dovetail_kernels import entries

    caplog.set_level(logging.DEBUG)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        entries.write(tmp_path / "a.bin", b"", bytes(5000), 1 << 20, logging.getLogger("here"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "a.bin cannot be written" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_what_was_never_written_to_its_end_is_removed(opencl: dt.device, tmp_path: Path) -> None:
    """A process that was killed left it; of one that is at work it stays."""
    import logging

    from dovetail_kernels import entries

    left, begun = tmp_path / f"{entries.BESIDE}left", tmp_path / f"{entries.BESIDE}begun"
    for path in (left, begun):
        path.write_bytes(b"part")
    os.utime(left, (1000, 1000))
    entries.write(tmp_path / "a.bin", b"", b"whole", 1 << 20, logging.getLogger("here"))
    assert sorted(tmp_path.iterdir()) == [begun, tmp_path / "a.bin"]


def test_a_relative_cache_is_none(
    opencl: dt.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dovetail_kernels import entries

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert entries.user_folder("opencl") == tmp_path / ".cache" / "dovetail" / "opencl"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "there"))
    assert entries.user_folder("opencl") == tmp_path / "there" / "dovetail" / "opencl"


def test_a_user_without_a_home_keeps_nothing(fresh: Callable[..., str]) -> None:
    code = """
import os, pathlib, warnings
import dovetail as dt

def home():
    raise RuntimeError("Could not determine home directory.")

pathlib.Path.home = home
for name in ("HOME", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
from dovetail_opencl import tuning
from dovetail_opencl.runtime import device_of

print(device_of(0).cache.folder, (dt.ones(2, device="opencl:0") + 1).tolist())
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    print(tuning.faster(device_of(0), "a way", {"one": lambda: lambda: None}))
print("has no home" in str(seen[0].message))
"""
    said = fresh(code, DOVETAIL_OPENCL_CACHE="1", DOVETAIL_OPENCL_TUNE="1")
    assert said.splitlines() == ["None [2.0, 2.0]", "one", "True"]
