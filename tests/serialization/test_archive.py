"""What the archive writer writes, other readers read; the reader reads 64-bit archives too."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

import dovetail as dt
from dovetail.serialization import archive
from dovetail.serialization.limits import Budget
from dovetail.serialization.source import Cursor, Source

CONTENT = {"data.pkl": b"abc", "data/0": bytes(range(256)) * 3, "data/1": b"", "version": b"3\n"}


def written() -> bytes:
    file = io.BytesIO()
    writer = archive.ArchiveWriter(file)
    for name, data in CONTENT.items():
        writer.add(name, np.frombuffer(data, np.uint8) if "/" in name else data)
    writer.finish()
    return file.getvalue()


def check(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as other:
        assert other.testzip() is None
        found = {name: other.read(name) for name in other.namelist()}
    assert found == {f"archive/{name}": content for name, content in CONTENT.items()}
    reader = archive.ArchiveReader(Source(io.BytesIO(data)), Budget())
    assert {name: reader.read(name, 10_000) for name in reader.entries} == CONTENT
    assert {entry.place % archive.ALIGNMENT for entry in reader.entries.values()} == {0}


def test_writer_and_reader() -> None:
    check(written())


@pytest.mark.parametrize("large", [0, 2, 200, 400])
def test_64_bit(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bound of 32-bit numbers lowered: sizes, places and the end take the wide fields."""
    short = written()
    monkeypatch.setattr(archive, "LARGE", large)
    wide = written()
    assert len(wide) > len(short)
    check(wide)
    file = io.BytesIO()
    dt.save({"x": dt.arange(300)}, file)
    for reader in (dt, pytest.importorskip("torch", reason="the parity extra is not installed")):
        file.seek(0)
        assert reader.load(file)["x"].tolist() == list(range(300))


def test_entry_larger_than_asked_for() -> None:
    reader = archive.ArchiveReader(Source(io.BytesIO(written())), Budget())
    with pytest.raises(dt.serialization.CheckpointError, match="at most 2"):
        reader.read("data.pkl", 2)
    with pytest.raises(dt.serialization.CheckpointError, match="no entry"):
        reader.read("nothing", 2)


def test_cursor_crosses_its_window() -> None:
    data = bytes(range(256)) * 1024
    cursor = Cursor(Source(io.BytesIO(data)), 10, 200_000)
    got = bytearray()
    for n in (1, 65_530, 20, 100_000, 3, 40):
        got += cursor.take(n)
        got.append(cursor.byte())
    assert bytes(got) == data[10 : 10 + len(got)]
    assert cursor.place == 10 + len(got)
    rest = 200_000 - cursor.place
    assert cursor.read() == data[200_000 - rest : 200_000]
    with pytest.raises(dt.serialization.CheckpointError, match="truncated"):
        cursor.byte()


def test_sums_of_large_and_small_storages(tmp_path: Path) -> None:
    """Those of large ones are computed beside writing: each must stand with its own bytes."""
    rng = np.random.default_rng(0)
    sizes = (400_000, 3, 70_000, 0, 300_000, 1, 65_536)
    state = {str(n): dt.tensor(rng.random(n, np.float32)) for n in sizes}
    dt.save(state, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as other:
        assert other.testzip() is None
        found = [other.read(f"archive/data/{i}") for i in range(len(sizes))]
    assert found == [value.numpy().tobytes() for value in state.values()]
