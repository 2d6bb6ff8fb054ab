"""Nothing that a test allows stays allowed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import dovetail as dt


@pytest.fixture(autouse=True)
def _no_safe_globals() -> Iterator[None]:
    yield
    dt.serialization.clear_safe_globals()
