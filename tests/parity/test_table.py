"""docs/parity.md is what its command would write."""

from __future__ import annotations

from tools import parity_table


def test_the_table_is_up_to_date() -> None:
    written = parity_table.FILE.read_text(encoding="utf-8")
    assert written == parity_table.text(), "run python tools/parity_table.py"
