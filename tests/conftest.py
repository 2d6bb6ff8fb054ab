"""``pytest --device NAME``: the device that the tests run on, and what the summary says of it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # each worker takes a core; with more threads they wait
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import dovetail as dt
from tests.extras import COMMANDS, without

# Files with tests of half a minute: compilers for GPUs, the simulator of races, whole programs.
LONG = ("test_cuda_compile.py", "test_opencl_oclgrind.py", "test_style.py", "test_command.py")

# Names of devices, such as "cpu,loop" in CI, whose tests may not be skipped for want of the device.
PROMISED = "DOVETAIL_PROMISED_DEVICES"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="device to test, such as loop:0 (default cpu)")


def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--device")
    reason = why_unusable(name)
    if reason:
        raise pytest.UsageError(f"--device {name}: {reason}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On another device than the cpu, run what takes the device: the rest cannot differ there.

    On the cpu, begin with what takes long, so that no worker waits for another one at the end.
    """
    if config.getoption("--device") == "cpu":
        items.sort(key=lambda item: item.path.name not in LONG)
        return
    takes_device = [("device" in getattr(item, "fixturenames", ()), item) for item in items]
    config.hook.pytest_deselected(items=[item for takes, item in takes_device if not takes])
    items[:] = [item for takes, item in takes_device if takes]


def pytest_collection_finish() -> None:
    """The items of all tests live to the end: collections of a test's own garbage go past them.

    So do plans, of which there are more and more: they are gone through a tenth as often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10 * gc.get_threshold()[0])


def pytest_report_header(config: pytest.Config) -> str:
    return f"device: {config.getoption('--device')}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = {kind: len(terminalreporter.getreports(kind)) for kind in ("passed", "skipped")}
    device = terminalreporter.config.getoption("--device")
    terminalreporter.write_line(f"device {device}: {counts}")
    for reason in filter(None, map(without, COMMANDS if counts["skipped"] else ())):
        terminalreporter.write_line(f"skipped what needs it: {reason}")


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> dt.device:
    """The device given with ``--device``."""
    return dt.device(pytestconfig.getoption("--device"))


@pytest.fixture
def need_device() -> Callable[[str], dt.device]:
    """A device by name: skips the test where it cannot be used, or fails it if it is promised."""

    def need(name: str) -> dt.device:
        reason = why_unusable(name)
        if reason:
            promised = os.environ.get(PROMISED, "cpu").split(",")
            (pytest.fail if name.split(":")[0] in promised else pytest.skip)(f"{name}: {reason}")
        return dt.device(name)

    return need


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, which results are compared with; or a skip that says what brings it."""
    return pytest.importorskip("torch", reason=without("torch"))


def why_unusable(name: str) -> str:
    """Empty where the device has memory to give; otherwise the reason."""
    try:
        dt.empty((1,), device=name)
    except (RuntimeError, ValueError) as error:
        return str(error)
    return ""
