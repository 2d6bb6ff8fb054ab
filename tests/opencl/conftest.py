"""The device of these tests: the first OpenCL device, or a skip that says why there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import dovetail as dt

NAME = "opencl:0"


@pytest.fixture
def opencl(need_device: Callable[[str], dt.device]) -> dt.device:
    """``opencl:0``."""
    return need_device(NAME)


@pytest.fixture
def queue(opencl: dt.device) -> Any:
    """The backend's own object of ``opencl:0``: launches, programs, patience."""
    from dovetail_opencl.runtime import device_of

    return device_of(0)


@pytest.fixture
def fresh(opencl: dt.device) -> Callable[..., str]:
    """Run a program in a process of its own, with environment variables; what it prints."""

    def run(code: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
