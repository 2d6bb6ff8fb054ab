"""Devices of these tests: a stand-in for the driver, which computes nothing."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stand_in import StandIn, device_on

from dovetail.backend import registry

NAME = "standin"


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[StandIn, Any]]]:
    """``stand(total=…)`` registers the device ``standin``; returns the driver and the device."""

    def made(**settings: Any) -> tuple[StandIn, Any]:
        driver = StandIn(**settings)
        return driver, device_on(driver, monkeypatch, NAME)

    yield made
    gc.collect()
    if NAME in registry:
        registry.unregister(NAME)
