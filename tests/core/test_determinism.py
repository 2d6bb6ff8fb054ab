"""``use_deterministic_algorithms`` and what tells its mode, word for word as PyTorch has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

import dovetail as dt
from dovetail.late_binding import PLANS


@pytest.fixture(autouse=True)
def _default_again() -> Iterator[None]:
    yield
    dt.set_deterministic_debug_mode(0)


def _mode(there: Any) -> tuple[Any, ...]:
    return (
        there.are_deterministic_algorithms_enabled(),
        there.is_deterministic_algorithms_warn_only_enabled(),
        there.get_deterministic_debug_mode(),
    )


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda t: t.use_deterministic_algorithms(True), (True, False, 2)),
        (lambda t: t.use_deterministic_algorithms(True, warn_only=True), (True, True, 1)),
        (lambda t: t.use_deterministic_algorithms(False), (False, False, 0)),
        (lambda t: t.set_deterministic_debug_mode("warn"), (True, True, 1)),
        (lambda t: t.set_deterministic_debug_mode(2), (True, False, 2)),
        (lambda t: t.set_deterministic_debug_mode("default"), (False, False, 0)),
    ],
)
def test_modes(call: Any, expected: tuple[Any, ...]) -> None:
    dt.use_deterministic_algorithms(True)
    call(dt)
    assert _mode(dt) == expected
    torch = pytest.importorskip("torch")
    try:
        torch.use_deterministic_algorithms(True)
        call(torch)
        assert _mode(torch) == expected
    finally:
        torch.use_deterministic_algorithms(False)


def test_kernels_are_chosen_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[int] = []
    clear = PLANS.clear
    monkeypatch.setattr(PLANS, "clear", lambda: (cleared.append(1), clear()))
    dt.use_deterministic_algorithms(True)
    dt.use_deterministic_algorithms(True)
    dt.use_deterministic_algorithms(False)
    assert len(cleared) == 2


@pytest.mark.parametrize("mode", [3, "loud", 1.5])
def test_what_is_no_mode(mode: Any) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises((RuntimeError, TypeError)) as wanted:
        torch.set_deterministic_debug_mode(mode)
    with pytest.raises(wanted.type, match=f"^{re.escape(str(wanted.value))}$"):
        dt.set_deterministic_debug_mode(mode)
    with pytest.raises(TypeError, match="mode must be bool, not int"):
        dt.use_deterministic_algorithms(1)  # type: ignore[arg-type]
