"""The API reference: it is what the generator writes, and what it shows is what happens."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dovetail as dt
from dovetail.ops import FUNCTIONS

ROOT = Path(__file__).resolve().parents[2]
API = ROOT / "docs" / "api"
PAGES = sorted(API.glob("*.md"))


def test_the_pages_are_what_the_generator_writes() -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_api.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrun: python tools/make_api.py"


def entries(page: Path) -> Iterator[tuple[str, str]]:
    """Each entry's name and its text."""
    for part in page.read_text(encoding="utf-8").split("\n## ")[1:]:
        name, _, text = part.partition("\n")
        yield name.strip(), text


def test_every_function_has_an_entry() -> None:
    named = {name for page in PAGES for name, _ in entries(page)}
    missing = [n for n in FUNCTIONS if n not in named and n.removesuffix("_") not in named]
    assert missing == []
    functional = {name for name, _ in entries(API / "nn.functional.md")}
    listed = set(dt.nn.functional.__all__)
    assert {n for n in listed if not n.endswith("_") or n[:-1] not in listed} <= functional


def test_every_method_is_somewhere() -> None:
    named = {name for page in PAGES for name, _ in entries(page)}
    page = (API / "tensor.md").read_text(encoding="utf-8")
    for name, value in vars(dt.Tensor).items():
        if name.startswith("_") or getattr(value, "__module__", "") == "dovetail.device_methods":
            continue
        known = name in named or name.removesuffix("_") in named
        assert known or f"`{name}`" in page or f"`x.{name}(" in page, name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_entries_say_something(page: Path) -> None:
    for name, text in entries(page):
        if text.strip().startswith("Another name of") or page.stem == "tensor":
            continue
        assert "```python" in text, name
        sentence = re.sub(r"```.*?```", "", text, flags=re.DOTALL).strip().split("\n\n")[0]
        assert re.search(r"[A-Za-z]", sentence), f"{name} has no sentence"
        assert not sentence.startswith("| |"), f"{name} has no sentence"
        assert ":func:" not in text, f"{name}: a role of another markup"
        assert "Any" not in text.split("```")[1].partition("(")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
@pytest.mark.filterwarnings("ignore:.* is deprecated")
def test_examples_print_what_they_say(page: Path) -> None:
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    runner = doctest.DocTestRunner(optionflags=flags)
    for name, text in entries(page):
        for block in re.findall(r"^```pycon\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            names = {"dt": dt, "dovetail": dt}
            test = doctest.DocTestParser().get_doctest(block, names, name, str(page), 0)
            assert test.examples, name
            out: list[str] = []
            runner.run(test, out=out.append)
            assert runner.failures == 0, "".join(out)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    titles = {p.name: {n.lower().replace(".", "") for n, _ in entries(p)} for p in PAGES}
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        path = API / file if file else page
        assert path.exists(), target
        if anchor:
            assert anchor in titles[path.name], target
