"""What ``dovetail`` answers when it is asked for a name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import dovetail as dt
from dovetail.ops import FUNCTIONS


def test_a_module_that_is_not_there_is_no_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dt, "_MODULES", (*dt._MODULES, "absent"))  # type: ignore[attr-defined]
    assert not hasattr(dt, "absent")
    with pytest.raises(AttributeError, match="module 'dovetail' has no attribute 'absent'"):
        _ = dt.absent  # type: ignore[attr-defined]
    assert "absent" not in dir(dt)


def test_a_module_that_lacks_something_says_what(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n", encoding="utf-8")
    monkeypatch.setattr(dt, "__path__", [*dt.__path__, str(tmp_path)])
    monkeypatch.setattr(dt, "_MODULES", (*dt._MODULES, "broken"))  # type: ignore[attr-defined]
    with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
        _ = dt.broken  # type: ignore[attr-defined]
    assert "dovetail.broken" not in sys.modules


def test_dir_lists_what_is_found_later() -> None:
    listed = set(dir(dt))
    assert {*dt.__all__, *FUNCTIONS} <= listed
    assert {"nn", "optim", "testing", "capabilities", "conv2d"} <= listed
    assert [name for name in sorted(listed) if not hasattr(dt, name)] == []
