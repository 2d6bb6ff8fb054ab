"""docs/opencl.md names the variables, packages and files that there are."""

from __future__ import annotations

import re
from pathlib import Path

from dovetail_opencl import drivers, settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "opencl.md").read_text(encoding="utf-8")


def test_each_variable_has_its_row_and_no_other_is_named() -> None:
    rows = re.findall(r"^\| `(DOVETAIL_\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted([*settings.VARIABLES, "DOVETAIL_FALLBACK"])
    assert set(re.findall(r"DOVETAIL_\w+", PAGE)) == set(rows)


def test_the_table_of_packages_is_the_doctors() -> None:
    for vendor, ways in drivers.WAYS.items():
        for way in ways:
            rows = [row for row in PAGE.splitlines() if row.startswith(f"| {vendor}")]
            for package in way.packages.values():
                name = package.replace("$(cut -d. -f1 /sys/module/nvidia/version)", "N")
                assert any(f"`{name}`" in row for row in rows), f"{vendor}: {name}"
            assert not way.rusticl or f"`{way.rusticl}`" in PAGE.replace("=", "` `")
    (host,) = (row for row in PAGE.splitlines() if row.startswith("| none: the processor"))
    assert re.findall(r"`([\w-]+)`", host) == list(drivers.POCL.values())


def test_links_lead_somewhere() -> None:
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in t]
    assert targets
    for target in targets:
        file, _, anchor = target.partition("#")
        text = (DOCS / file).read_text(encoding="utf-8") if file else PAGE
        titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        assert not anchor or anchor in anchors, target
