"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "core"


def modules_with_examples() -> list[str]:
    paths = sorted(CORE.rglob("*.py"))
    return [
        ".".join(path.relative_to(CORE).with_suffix("").parts).removesuffix(".__init__")
        for path in paths
        if ">>> " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples(name: str) -> None:
    import dovetail

    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    names = {"dt": dovetail, "dovetail": dovetail}
    result = doctest.testmod(
        importlib.import_module(name), extraglobs=names, optionflags=flags, report=True
    )
    assert result.attempted > 0
    assert result.failed == 0
