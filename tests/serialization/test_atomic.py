"""A save that is killed at any moment leaves the old file or the new one."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dovetail as dt
from dovetail.serialization import safetensors
from dovetail.serialization.atomic import replacing

SAVER = """
import sys
import dovetail as dt
from dovetail.serialization import safetensors
path, kind = sys.argv[1:]
number = 0
print("ready", flush=True)
while True:
    number += 1
    x = dt.full((300_000,), float(number))
    if kind == "zip":
        dt.save({"x": x, "number": number}, path)
    elif kind == "legacy":
        dt.save({"x": x, "number": number}, path, _use_new_zipfile_serialization=False)
    else:
        safetensors.save_file({"x": x, "number": dt.tensor(number)}, path)
"""


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none" / "x.pt"
    said = f"^Parent directory {path.parent} does not exist.$"
    for kind in (RuntimeError, OSError):  # PyTorch's, and that of other files
        with pytest.raises(kind, match=said):
            dt.save({}, path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_seen_and_killed_at_any_moment(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    choose = random.Random(kind)
    for _ in range(3):
        command = [sys.executable, "-c", SAVER, str(path), kind]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as saver:
            assert saver.stdout is not None
            assert saver.stdout.readline() == b"ready\n"
            while not path.exists():
                time.sleep(0.001)
            for _ in range(20):
                check_whole(path, kind)
            time.sleep(choose.random() * 0.1)
            saver.send_signal(signal.SIGKILL)
        check_whole(path, kind)


def check_whole(path: Path, kind: str) -> None:
    """The file is one of those that were saved."""
    loaded = safetensors.load_file(path) if kind == "safetensors" else dt.load(path)
    assert loaded["x"].shape == (300_000,)
    assert bool((loaded["x"] == int(loaded["number"])).all())


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fails() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_mode_and_link_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    dt.save(1, path)
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)
    path.chmod(0o600)
    link.symlink_to("file")
    dt.save(2, link)
    assert link.is_symlink()
    assert dt.load(path) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dt.save(3, "file.pth")
    assert dt.load("file.pth") == 3
    assert os.listdir(tmp_path) == ["file.pth"]


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_old_file_is_not_written_to(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    savers = {
        "zip": dt.save,
        "legacy": lambda x, f: dt.save(x, f, _use_new_zipfile_serialization=False),
        "safetensors": safetensors.save_file,
    }
    savers[kind]({"x": dt.ones(3)}, path)
    calls = []
    for name in ("fsync", "replace"):

        def noted(*arguments: object, name: str = name, real: object = getattr(os, name)) -> None:
            calls.append(name)
            real(*arguments)  # type: ignore[operator]

        monkeypatch.setattr(os, name, noted)
    with open(path, "rb") as old:
        before = old.read()
        savers[kind]({"x": dt.zeros(3)}, path)
        old.seek(0)
        assert old.read() == before
    assert path.read_bytes() != before
    assert calls[:2] == ["fsync", "replace"], "the bytes are on the disk before the name is"
