"""The table of the texts' mistakes in docs/course.md."""

from __future__ import annotations

import re

from .listings import DOCS, PAGES


def rows(page: str = PAGES[0]) -> dict[str, tuple[str, ...]]:
    """The cells of each mistake's row, by its number."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = {}
    for line in text.splitlines():
        if re.match(r"\| M\d+ \|", line):
            number, *cells = (cell.strip() for cell in line.strip("|").split(" | "))
            found[number.strip()] = tuple(cells)
    return found


def told(number: str) -> list[str]:
    """What the page says that dovetail says."""
    return re.findall(r"`([^`]+)`", rows()[number][-1])


def says(number: str, text: str) -> None:
    """The message has all that the page says of it."""
    fragments = told(number)
    assert fragments, f"{number}: the page shows no message"
    assert [f for f in fragments if f not in text] == [], f"{number}: {text}"
