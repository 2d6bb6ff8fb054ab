"""Helpers print what they compared; a device without float64 gets float32 throughout."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

pytest.register_assert_rewrite("nn_parity", "functions_beside")

ROOM = 3e-5
"""Of float32, relative and absolute, where a test was written for float64."""


@pytest.fixture(autouse=True)
def _floats_of_the_device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the device has no float64, have both libraries and the comparisons do without it."""
    if "device" not in request.fixturenames or has_float64(request.getfixturevalue("device")):
        return
    torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")
    import nn_parity

    monkeypatch.setattr(nn_parity, "is_narrow", True)
    for lib in (torch, dt):
        for kind in (lib.nn.Module, lib.Tensor):
            monkeypatch.setattr(kind, "double", kind.float)
        for name in ("tensor", "from_numpy"):
            monkeypatch.setattr(lib, name, of_narrow(getattr(lib, name)))
    monkeypatch.setattr(np.testing, "assert_allclose", with_room(np.testing.assert_allclose))
    for name in ("gradcheck", "gradgradcheck"):
        monkeypatch.setattr(dt.autograd, name, no_differences)


def has_float64(device: dt.device) -> bool:
    try:
        dt.empty(1, dtype=dt.float64, device=device)
    except NotImplementedError:
        return False
    return True


def of_narrow(make: Callable[..., Any]) -> Callable[..., Any]:
    """A maker of tensors that takes float64 arrays as float32."""

    def made(values: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(values, (np.ndarray, np.float64)) and values.dtype == np.float64:
            values = values.astype(np.float32)
        return make(values, *args, **kwargs)

    return made


def with_room(compare: Callable[..., None]) -> Callable[..., None]:
    def compared(a: Any, b: Any, rtol: float = 0, atol: float = 0, **options: Any) -> None:
        compare(a, b, max(rtol, ROOM), max(atol, ROOM), **options)

    return compared


def no_differences(*args: Any, **kwargs: Any) -> None:
    pytest.skip("finite differences say nothing in float32, and the device has no float64")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """A test that asks the device for float64 by name has nothing to ask where there is none."""
    try:
        return (yield)
    except NotImplementedError as error:
        if re.search(r"has no (float64|complex128)", str(error)) and "device" in item.fixturenames:
            pytest.skip("the device has no float64")
        raise
