"""Pages of docs/decisions: links lead somewhere, and files that those of opencl name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DECISIONS = ROOT / "docs" / "decisions"
PAGES = sorted(DECISIONS.rglob("*.md"))
OPENCL = [DECISIONS / "opencl.md", *sorted((DECISIONS / "opencl").glob("*.md"))]
SOURCES = ("backends", "benchmarks", "core", "tests", "tools")

MOST = 1500
"""Words of a page, numbers and all, that one sitting takes."""


def _name(page: Path) -> str:
    return page.relative_to(DECISIONS).as_posix()


def _text(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", _text(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _text(page)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there), target


@pytest.mark.parametrize("page", OPENCL, ids=_name)
def test_files_that_are_named_exist(page: Path) -> None:
    files = [p.as_posix() for top in SOURCES for p in (ROOT / top).rglob("*.*")]
    for quoted in re.findall(r"`([^`]+)`", _text(page)):
        for name in re.findall(r"[\w*/]+\.(?:py|cl|toml)\b", quoted):
            pattern = re.compile("(.*/)?" + re.escape(name).replace(r"\*", "[^/]*"))
            assert any(pattern.fullmatch(file) for file in files), name


@pytest.mark.parametrize("page", OPENCL, ids=_name)
def test_a_page_has_one_subject(page: Path) -> None:
    assert len(re.findall(r"[^\s|]*\w[^\s|]*", _text(page))) <= MOST


def test_every_page_of_opencl_is_in_the_overview() -> None:
    overview = OPENCL[0].read_text(encoding="utf-8")
    assert [page.name for page in OPENCL[1:] if f"(opencl/{page.name})" not in overview] == []
