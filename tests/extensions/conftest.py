"""Fixture: a folder of installed distributions, which the plugin tests have too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[1] / "plugins"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """An empty folder of installed distributions (``tests/plugins/installed.py``)."""
    if str(PLUGINS) not in sys.path:
        monkeypatch.syspath_prepend(PLUGINS)
    from installed import Site

    return Site(tmp_path)
