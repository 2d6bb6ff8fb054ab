"""How a listing is run: in a folder of its own, on the device that is tested, from one seed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dovetail as dt

from .listings import run_all, section_of


@pytest.fixture
def place_to_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own, plots into memory, seeds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    dt.manual_seed(0)
    np.random.seed(0)
    yield tmp_path
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def run_on_host(place_to_work: Path) -> Callable[[str], Any]:
    """Run the listings of a section up to the one named; its names come back."""
    return lambda place: run_all(section_of(place))


@pytest.fixture
def run(run_on_host: Callable[[str], Any], device: dt.device) -> Iterator[Callable[[str], Any]]:
    """The same, with new tensors on the device that is tested."""
    dt.set_default_device(device)
    yield run_on_host
    dt.set_default_device(None)


@pytest.fixture
def program(place_to_work: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program as a student does, in a process of its own."""

    def run_program(code: str, *options: str) -> subprocess.CompletedProcess[str]:
        """With options, through ``dovetail run``."""
        (place_to_work / "program.py").write_text(code, encoding="utf-8")
        words = ["-m", "dovetail", "run", *options] if options else []
        return subprocess.run(
            [sys.executable, *words, "program.py"],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return run_program
