"""What must come is the same for every device, and is found once where a folder keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dovetail_conformance import kept, slopes
from dovetail_conformance.checks import double

ASKED = ("mul", 0, False, "mixed", (0,))


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Asks as another process does, which remembers nothing."""

    def ask() -> tuple[Any, Any]:
        for remembered in (slopes.expected_of, double._second):
            remembered.cache_clear()
        return slopes.expected_of(*ASKED), double._second("mul", 0, (0,), (0, 1))

    monkeypatch.delenv(kept.VARIABLE, raising=False)
    yield ask
    for remembered in (slopes.expected_of, double._second):
        remembered.cache_clear()


def _refuse(*_: Any) -> Any:
    raise AssertionError("it was found again")


def test_it_is_found_once(again: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, plain_second = again()
    monkeypatch.setenv(kept.VARIABLE, str(tmp_path / "kept"))
    again()
    monkeypatch.setattr(slopes, "slope", _refuse)
    monkeypatch.setattr(double, "mixed_slope", _refuse)
    expected, second = again()
    for mine, other in ((expected.slopes, plain.slopes), (second.slopes, plain_second.slopes)):
        assert len(mine) == len(other) > 2
        for a, b in zip(mine, other, strict=True):
            assert (a[:2], a[3]) == (b[:2], b[3])
            np.testing.assert_array_equal(a[2], b[2])
    np.testing.assert_array_equal(expected.vectors, plain.vectors)
    np.testing.assert_array_equal(second.tangents, plain_second.tangents)


def test_other_code_finds_it_anew(
    again: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kept.VARIABLE, str(tmp_path))
    again()
    monkeypatch.setattr(kept, "_code", lambda: "changed")
    monkeypatch.setattr(slopes, "slope", _refuse)
    with pytest.raises(AssertionError, match="found again"):
        again()


def test_nothing_is_kept_unless_asked(
    again: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    again()
    assert not list(tmp_path.iterdir())
