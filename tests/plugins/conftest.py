"""Fixtures: throw-away installed plugins, and loopback devices inside this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from installed import LOOPBACK, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty folder of installed distributions."""
    return Site(tmp_path)


_names = (f"loop{n}" for n in itertools.count())


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """``loopback(layout=…, memory=…)`` registers a loopback device; returns its name."""
    monkeypatch.syspath_prepend(LOOPBACK)
    from dovetail.backend import registry
    from dovetail_loopback import backend

    used = []

    def register(**settings: Any) -> str:
        name = next(_names)
        registry.register(name, backend(**settings))
        used.append(name)
        return name

    yield register
    for name in used:
        registry.unregister(name)
