"""The course's pages: the same listings in both languages, each with a test; PyTorch's output."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tests.course.listings import DOCS, PAGES, run_all, sections
from tests.course.mistakes import rows

TESTS = sorted(Path(__file__).resolve().parents[1].glob("course/test_*.py"))
NAMES = [
    name
    for path in TESTS
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
]
ON_OTHERS = {"3.3", "3.4"}
"""Sections that need an accelerator."""
OURS = r"dovetail\.style|fixed_point|quantization"
"""What PyTorch lacks, or leaves to others."""


def places() -> list[str]:
    return [listing.place for listings in sections().values() for listing in listings]


def test_a_place_has_one_listing() -> None:
    assert len(places()) > 100
    assert len(set(places())) == len(places())


@pytest.mark.parametrize("place", places())
def test_every_listing_has_a_test(place: str) -> None:
    text, line = place.split()
    assert [n for n in NAMES if n.startswith(f"test_{text}_") and f"_{line}_" in n], place


def test_every_mistake_has_a_test_or_follows() -> None:
    assert list(rows()) == [f"M{n}" for n in range(1, 60)]
    tested = {m for name in NAMES for m in re.findall(r"_(M\d+)(?=_)", name)}
    [following] = re.findall(r"^\| ((?:M\d+ ){2,})\|", page(PAGES[0]), re.MULTILINE)
    only_text = {"M39", "M40"}
    assert {*tested, *following.split(), *only_text} == set(rows())
    assert tested.isdisjoint(following.split())


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def outside_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def test_both_languages_have_the_same_listings() -> None:
    english, chinese = (sections(name) for name in PAGES)
    assert list(english) == list(chinese)

    def without_comments(code: str) -> list[str]:
        first, *rest = code.splitlines()
        return [first, *(re.sub(r"\s*#.*$", "", line) for line in rest)]

    for number, listings in english.items():
        assert len(listings) == len(chinese[number]), number
        for mine, theirs in zip(listings, chinese[number], strict=True):
            assert without_comments(mine.code) == without_comments(theirs.code)
            assert mine.printed == theirs.printed
    for number, cells in rows(PAGES[0]).items():
        other = rows(PAGES[1])[number]
        assert (cells[0], cells[-1]) == (other[0], other[-1]), number


@pytest.mark.parametrize("name", PAGES)
def test_a_listing_names_its_mistakes_and_they_are_in_the_table(name: str) -> None:
    named = set(re.findall(r"\bM\d+\b", page(name)))
    assert named == set(rows(name))


@pytest.mark.parametrize(
    "number",
    [
        n for n, listings in sections().items()
        if n not in ON_OTHERS and not any(re.search(OURS, x.code) for x in listings)
    ],
)  # fmt: skip
def test_listings_print_the_same_in_pytorch(
    number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    torch.manual_seed(0)
    np.random.seed(0)
    run_all(sections()[number], "torch")


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    text = outside_code(page(name))
    titles = {
        re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-")
        for t in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", text) if "://" not in t]
    assert targets
    for target in targets:
        path, _, anchor = target.partition("#")
        assert not path or (DOCS / path).exists(), target
        assert path or anchor in titles, target
