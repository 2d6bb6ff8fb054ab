"""The listings of docs/course.md: where they stand, what they print, and how to run one."""

from __future__ import annotations

import contextlib
import io
import re
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("course.md", "course.zh.md")

_BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
_PLACE = re.compile(r"# (\d{3}) L(\d+)(?:-(\d+))?$")


@dataclass(frozen=True)
class Listing:
    """One block of code.

    Attributes:
        place: text and first line, such as ``003 L293``.
        code: with the line that says the place.
        printed: what the page says it prints; None where it says nothing.
    """

    place: str
    code: str
    printed: str | None


@cache
def sections(page: str = PAGES[0]) -> dict[str, tuple[Listing, ...]]:
    """The listings of each section, under its number; they share their names."""
    text = (DOCS / page).read_text(encoding="utf-8")
    parts = re.split(r"^### ([\d.]+) .*$", text, flags=re.MULTILINE)[1:]
    return {
        number: tuple(_listings(body.split("\n## ")[0]))
        for number, body in zip(parts[::2], parts[1::2], strict=True)
    }


def _listings(text: str) -> Iterator[Listing]:
    for code, printed in _BLOCK.findall(text):
        found = _PLACE.match(code.partition("\n")[0])
        assert found is not None, f"a listing without its place:\n{code}"
        yield Listing(f"{found[1]} L{found[2]}", code, printed or None)


def section_of(place: str) -> tuple[Listing, ...]:
    """The listings of a section up to the one at ``place``, which is the last."""
    for listings in sections().values():
        places = [listing.place for listing in listings]
        if place in places:
            return listings[: places.index(place) + 1]
    raise LookupError(f"docs/course.md has no listing {place}")


def run_all(listings: tuple[Listing, ...], library: str = "dovetail") -> Any:
    """Run listings one after the other; what they print must be what the page says.

    Args:
        library: what stands in the place of dovetail.

    Returns:
        The names that there are at the end, as attributes; ``printed``: what the last one printed.
    """
    module = types.ModuleType("course")
    out = io.StringIO()
    for listing in listings:
        code = re.sub(r"\bdovetail\b", library, listing.code)
        out = io.StringIO()
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            # Agg, which draws into memory, warns of show() and pause().
            warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
            # PyTorch's.
            warnings.filterwarnings("ignore", message="Anomaly Detection has been enabled")
            # Where there are fewer processors than the listing has workers.
            warnings.filterwarnings("ignore", message="This DataLoader will create")
            exec(compile(code, listing.place, "exec"), vars(module))
        if listing.printed is not None:
            said, expected = _plain(out.getvalue()), _plain(listing.printed)
            assert said in (expected, "".join(expected.split())), listing.place
    module.printed = out.getvalue()  # type: ignore[attr-defined]
    return module


def _plain(text: str) -> str:
    """Without trailing spaces; from another device than the cpu, without the device and all spaces.

    Tensors print their device there, and break their lines elsewhere.
    """
    text, count = re.subn(r",\s*device='\w+:\d+'", "", text)
    if count:
        return "".join(text.split())
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())
