"""How far a command is: a bar on a terminal, whole lines elsewhere."""

from __future__ import annotations

import io

import pytest

from dovetail.cli import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    with progress.progress(3000, "images", 1000, "epoch 2/3") as bar:
        bar.update(500)
        bar.set_description("epoch 3/3")
        bar.set_postfix(loss="0.5", refresh=False)
        bar.update(500)
        bar.update(1000)
    return stream.getvalue()


def test_a_file_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(io.StringIO(), monkeypatch).splitlines() == [
        "epoch 2/3  1,500 of 3,000 images",
        "epoch 3/3  2,000 of 3,000 images  loss 0.5",
    ]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(Terminal(), monkeypatch)
    assert "\repoch 2/3:" in text
    assert "images" in text
