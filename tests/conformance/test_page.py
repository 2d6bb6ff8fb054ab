"""The page is one file, says what the report says, and stays small."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from outcomes import case, report, values_cases

from dovetail_conformance.matrix import cells_of, rows_of
from dovetail_conformance.model import Failure
from dovetail_conformance.page import page, write_page

EVIL = "</script><img src=x onerror=alert(1)>&{{device}}"


class Reader(HTMLParser):
    """Collects tags, text by tag, and the data of the script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def cells(self) -> dict[tuple[str, str], list]:
        rows = next(json.loads(t) for t in self.texts if t.startswith('{"device"'))["cells"]
        return {(row[0], row[1]): row for row in rows}


def test_nothing_is_fetched_and_nothing_is_left_open() -> None:
    text = page(report(values_cases(lambda op, dtype, f: f["offset"] > 0)))
    sources = [a.get(name) for _, a in Reader(text).tags for name in ("src", "href") if a.get(name)]
    assert sources == ["data:,"]
    assert not re.search(r"url\(|@import|https?://|fetch\(|XMLHttp", text)
    assert "default-src 'none'" in text
    assert "{{" not in text


def test_it_says_what_the_report_says(tmp_path: Path) -> None:
    made = report(values_cases(lambda op, dtype, f: f["offset"] > 0), capabilities={})
    write_page(made, tmp_path / "page.html")
    words = " ".join(Reader((tmp_path / "page.html").read_text(encoding="utf-8")).texts)
    for part in (
        made.content_hash(),
        "loop:0",
        "Every operator: calls whose input starts at a storage offset fail",
        "Does Runtime.view",
        "--op add --dtype float32",
        "is stopped by 36 cases",
        "0.1.0",
    ):
        assert part in words


def test_cells_are_the_table_s_and_the_cases() -> None:
    outcomes = [
        case("1/values/add/float32", worst=0.25),
        case("1/values/add/int8", "failed"),
        case(
            "1/values/add/int16", "expected", reason="known-bug: x", failures=(Failure("v", "y"),)
        ),
        case("2/values/relu/float32"),
        case("1/claims/add/complex64"),
        case("0/errors/add"),
        case("0/memory/alloc"),
    ]
    table = {
        "add": {"float32": "kernel", "int8": "kernel", "int16": "kernel", "int64": "kernel"},
        "relu": {"float32": "fused", "int8": "none"},
        "mode": {"float32": "host"},
    }
    made = report(outcomes, capabilities=table)
    states = {key: (cell.state, cell.is_tested) for key, cell in cells_of(made).items()}
    assert states["add", "float32"] == ("kernel", True)
    assert states["add", "int8"] == ("fail", True)
    assert states["add", "int16"] == ("expected", True)
    assert states["add", "int64"] == ("kernel", False)
    assert states["relu", "float32"] == ("fused", True)
    assert states["relu", "int8"] == ("none", False)
    assert states["mode", "float32"] == ("host", False)
    assert states["add", "complex64"] == ("none", True)
    assert states["alloc", ""] == ("right", True)
    assert rows_of(cells_of(made)) == {0: ["alloc"], 1: ["add"], 2: ["relu"], None: ["mode"]}
    shown = Reader(page(made))
    assert shown.cells["add", "float32"][5:7] == [{"passed": 1}, "0.25"]
    assert shown.cells["add", "int8"][7][0][1:3] == [
        "failed",
        "add: element [0] must be 1.0, got 2.0",
    ]
    assert shown.cells["add", "int16"][7][0][3] == "known-bug: x"
    buttons = [a for tag, a in shown.tags if tag == "button" and "data-i" in a]
    assert len(buttons) == sum(s != ("none", False) for s in states.values())
    assert sum("untested" in (a["class"] or "") for a in buttons) == 2


def test_what_is_written_by_others_is_text() -> None:
    failure = Failure("raises", f"KeyError: {EVIL}", {}, f"Traceback {EVIL}")
    outcomes = [
        case(f"1/values/add{EVIL.replace('/', '-')}/float32", "failed", failures=(failure,)),
        case("1/values/exp/float32", "expected", reason=EVIL),
    ]
    made = report(outcomes, environment={EVIL: EVIL}, notes=(EVIL,), stale=(EVIL,))
    made.device = f"loop{EVIL}"
    shown = Reader(page(made))
    assert not [tag for tag, _ in shown.tags if tag == "img"]
    assert [tag for tag, _ in shown.tags].count("script") == 2
    assert any(EVIL in text for text in shown.texts)
    data = next(text for text in shown.texts if text.startswith('{"device"'))
    assert not set(data) & set("<>&")
    assert len(shown.cells) == 3


def test_twenty_thousand_cases_stay_small() -> None:
    text = "element [0] must be 1.0, got 2.0; " * 30
    good = [case(f"1/values/operator_{i}/float32/{j}") for i in range(250) for j in range(80)]
    bad = [
        case(f"1/values/operator_{i}/{d}/{j}", "failed", failures=(Failure("values", text),))
        for i in range(250)
        for d in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "bool")
        for j in range(10)
    ]
    assert len(page(report(good)).encode()) < 300_000
    assert len(page(report(bad)).encode()) < 3_000_000


def test_a_report_without_failures_has_no_section_of_them() -> None:
    good = page(report([case(f"{n}/values/add/float32") for n in range(6)], asked=5))
    assert "What is wrong" not in good
    assert "nothing is left unexplained" in good
    assert good.count('class="reached"') == 6
    assert "What is wrong" in page(report([case("1/values/add/int8", "failed")]))


def test_a_run_that_is_not_whole_says_so() -> None:
    text = page(report([], collected={0: 5}))
    assert "About this run" in text
    assert "cases were executed" in text
