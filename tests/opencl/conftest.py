"""The device of these tests: the first OpenCL device, or a skip that says why there is none."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.extras import imported, without

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
        skip_without_imports(code)
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


def skip_without_imports(code: str) -> None:
    """Skip the test where the program imports an extra's package that is not installed."""
    for reason in filter(None, map(without, imported(code))):
        pytest.skip(reason)


PROGRAMS = """
import contextlib
import json
import sys
import traceback

for line in sys.stdin:
    said = ""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            exec(compile(json.loads(line), "<program>", "exec"), {"__name__": "__main__"})
    except BaseException:
        said = traceback.format_exc()
    print(json.dumps(said), flush=True)
"""
"""Programs come, one a line; what goes wrong in each goes back."""


class Runner:
    """A process that runs one program after another, in which the device is of a class."""

    def __init__(self, kind: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAMS],
            env={**os.environ, "DOVETAIL_OPENCL_CLASS": kind},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str) -> None:
        """Run a program; the test fails where that does."""
        given, made = self._process.stdin, self._process.stdout
        assert given is not None
        assert made is not None
        given.write(json.dumps(code) + "\n")
        given.flush()
        assert select.select([made], [], [], 600)[0], "no answer after 600 s"
        line = made.readline()
        assert line, f"the process ended with {self._process.wait()}"
        said = json.loads(line)
        assert not said, said

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def runners() -> Iterator[dict[str, Runner]]:
    """By class, the processes of a module's tests."""
    made: dict[str, Runner] = {}
    yield made
    for runner in made.values():
        runner.close()


@pytest.fixture
def in_class(opencl: dt.device, runners: dict[str, Runner]) -> Callable[[str, str], None]:
    """Run a program where the device is of a class, ``cpu`` or ``gpu``.

    The process is the same for all of a module: to start one and import PyTorch takes longer than
    most of these tests.
    """

    def run(code: str, kind: str) -> None:
        skip_without_imports(code)
        if kind not in runners:
            runners[kind] = Runner(kind)
        try:
            runners[kind].run(code)
        except AssertionError:
            runners.pop(kind).close()  # the next test begins anew
            raise

    return run
