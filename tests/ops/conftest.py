"""Run a test twice: with the device's own kernels, and with the required ones only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dovetail.backend.state import state_of
from dovetail.device import resolve
from dovetail.dispatch import clear_plans
from dovetail.ops import REGISTRY


@pytest.fixture(params=["kernels", "primitives"])
def served(request: pytest.FixtureRequest, device: Any) -> Iterator[str]:
    """``kernels``: as the device is. ``primitives``: as if it had the required kernels only."""
    if request.param == "kernels":
        yield request.param
        return
    state = state_of(resolve(device))  # with its index, as tensors have it
    whole = state.table
    bare = whole.copy()
    for name in whole:
        if name not in REGISTRY or not REGISTRY[name].required:
            bare.remove(name)
    state.table = bare
    clear_plans()
    try:
        yield request.param
    finally:
        state.table = whole
        clear_plans()
