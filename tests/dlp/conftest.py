"""Fixture: the device ``dlp``, with the machine's defaults and without faults, before and after."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "plugins" / "dlp" / "examples"


@pytest.fixture(scope="session")
def scripts() -> dict[str, Any]:
    """By name of an example: its names, and the kernels that it left. Each is run once."""
    return {}


@pytest.fixture
def example(module: Any, scripts: dict[str, Any]) -> Iterator[Callable[[str], dict[str, Any]]]:
    """The names of a script of ``plugins/dlp/examples``; what it installs serves in this test."""
    from dovetail.backend.loader import registry
    from dovetail.dispatch import clear_plans

    entries: dict[str, list[Any]] = registry.get("dlp").table._entries

    def copied() -> dict[str, list[Any]]:
        return {name: list(kernels) for name, kernels in entries.items()}

    def load(name: str) -> dict[str, Any]:
        if name not in scripts:
            names = runpy.run_path(str(EXAMPLES / f"{name}.py"))
            scripts[name] = names, copied()
        entries.update(scripts[name][1])
        clear_plans()
        found: dict[str, Any] = scripts[name][0]
        return found

    before = copied()
    yield load
    entries.clear()
    entries.update(before)
    clear_plans()


@pytest.fixture
def module(need_device: Any) -> Iterator[Any]:
    """The package of the device, which this test may not be skipped for where it is promised.

    No fault, size or latency outlives a test.
    """
    need_device("dlp")
    import dovetail_dlp

    yield dovetail_dlp
    for index in (0, 1):
        dovetail_dlp.reset(index)
    dovetail_dlp.configure("dlp")
