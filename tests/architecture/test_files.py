"""One subject per file: past 800 lines it is two; past 400 it is worth a look."""

from __future__ import annotations

import pytest
from house import FOLDERS, files, name_of

LOOK_AT = 400
TOO_LONG = 800
SOURCES = (".py", ".pyi", ".cl", ".cu", ".c", ".cpp", ".h")


def test_no_file_is_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    lengths = {
        name_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in files(*FOLDERS, suffixes=SOURCES)
    }
    assert lengths, "no source file was found"
    long = sorted(((n, name) for name, n in lengths.items() if n > LOOK_AT), reverse=True)
    with capsys.disabled():
        for n, name in long:
            print(f"\n  {n} lines, aim for {LOOK_AT}: {name}", end="")
    assert [name for n, name in long if n > TOO_LONG] == []
