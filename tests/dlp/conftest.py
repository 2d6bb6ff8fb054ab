"""Fixture: the device ``dlp``, with the machine's defaults and without faults, before and after."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "plugins" / "dlp" / "examples"


@pytest.fixture(scope="session")
def example() -> Callable[[str], dict[str, Any]]:
    """The names of a script of ``plugins/dlp/examples``, which is run once."""
    known: dict[str, dict[str, Any]] = {}

    def load(name: str) -> dict[str, Any]:
        if name not in known:
            known[name] = runpy.run_path(str(EXAMPLES / f"{name}.py"))
        return known[name]

    return load


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
