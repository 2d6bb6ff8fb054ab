"""The tile that products are computed by: measured on demand, kept on disk, read with caution."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dovetail as dt

tuning: Any = pytest.importorskip("dovetail_opencl.tuning")
cache: Any = pytest.importorskip("dovetail_opencl.cache")
tiles: Any = pytest.importorskip("dovetail_kernels.tiles")

PROGRAM = """
import dovetail as dt
from dovetail_opencl import tuning
tuning.SECONDS = 0.0
from dovetail_opencl.runtime import device_of
x = dt.ones(16, 16, device="opencl:0")
assert (x @ x).tolist() == [[16.0] * 16] * 16
print(device_of(0).tiles[dt.float32])
"""


@pytest.fixture
def known(queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The device's candidates, with findings in a folder of the test's own."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    monkeypatch.delenv(tuning.TUNE, raising=False)
    found: list[Any] = tiles.candidates(queue, dt.float32)
    return found


def test_what_is_kept_is_found_again(queue: Any, known: list[Any], tmp_path: Path) -> None:
    assert tuning.found(queue, dt.float32, known) is None
    tuning.keep(queue, dt.float32, known[1], 0.25)
    assert tuning.found(queue, dt.float32, known) == known[1]
    assert tuning.found(queue, dt.float64, known) is None, "of another dtype nothing is known"
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"], "nothing else is left behind"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"key": 3}', '{"key": [], "tile": {}}', "\x00\xff"]
)
def test_a_file_that_cannot_be_read_counts_as_none(
    queue: Any, known: list[Any], tmp_path: Path, text: str
) -> None:
    tuning.keep(queue, dt.float32, known[0], 0.25)
    (path,) = tmp_path.iterdir()
    path.write_text(text, encoding="latin-1")
    assert tuning.found(queue, dt.float32, known) is None
    tuning.keep(queue, dt.float32, known[0], 0.25)
    assert tuning.found(queue, dt.float32, known) == known[0], "and is written over"


def test_a_tile_that_is_no_candidate_is_not_used(
    queue: Any, known: list[Any], tmp_path: Path
) -> None:
    tuning.keep(queue, dt.float32, known[0], 0.25)
    (path,) = tmp_path.iterdir()
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "tile": {**data["tile"], "rows": 10**6}}))
    assert tuning.found(queue, dt.float32, known) is None


def test_other_sources_and_drivers_have_other_files(
    queue: Any, known: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning.keep(queue, dt.float32, known[0], 0.25)
    monkeypatch.setattr(tuning, "_sources", lambda: "other")
    assert tuning.found(queue, dt.float32, known) is None


def test_several_writers_leave_a_whole_file(queue: Any, known: list[Any], tmp_path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(20):
            tuning.keep(queue, dt.float32, known[number], 0.25)

    threads = [threading.Thread(target=write, args=(number,)) for number in (0, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            assert tuning.found(queue, dt.float32, known) in (None, *known[:3])
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["seconds"] == 0.25


def test_tuning_is_asked_for_and_then_served_to_others(
    fresh: Callable[..., str], tmp_path: Path
) -> None:
    folder = str(tmp_path / "made")
    usual = fresh(PROGRAM, **{cache.VARIABLE: folder})
    assert not list(Path(folder).glob("tile-*")), "nobody asked"
    measured = fresh(PROGRAM, **{cache.VARIABLE: folder, tuning.TUNE: "1"})
    assert len(list(Path(folder).glob("tile-*"))) == 1
    assert fresh(PROGRAM, **{cache.VARIABLE: folder}) == measured
    assert fresh(PROGRAM, **{cache.VARIABLE: folder, tuning.TUNE: "0"}) == usual


def test_where_nothing_can_be_kept_it_says_so_and_goes_on(
    queue: Any, known: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        tuning.keep(queue, dt.float32, known[0], 0.25)


def test_of_two_ways_the_faster_one_is_kept(
    queue: Any, known: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def way(name: str, seconds: float) -> Callable[[], Callable[[], float]]:
        return lambda: made.append(name) or (lambda: seconds)  # type: ignore[func-returns-value]

    monkeypatch.setattr(tuning, "_seconds", lambda device, run: run())
    ways = {"slow": way("slow", 2.0), "fast": way("fast", 1.0)}
    assert queue.faster("it", ways) is None
    assert not made, "nobody asked"
    monkeypatch.setenv(tuning.TUNE, "1")
    assert queue.faster("it", ways) == "fast"
    assert queue.faster("it", {"fast": way("again", 3.0)}) == "fast"
    monkeypatch.delenv(tuning.TUNE)
    assert queue.faster("it", ways) == "fast"
    assert queue.faster("others", ways) is None
    assert queue.faster("it", {"slow": way("slow", 2.0)}) is None, "it is no longer there"
    monkeypatch.setenv(tuning.TUNE, "0")
    assert queue.faster("it", ways) is None
    assert made == ["slow", "fast"]
    (path,) = tmp_path.glob("way-*")
    assert json.loads(path.read_text())["seconds"] == 1.0


def test_a_convolution_goes_the_way_that_was_measured(
    fresh: Callable[..., str], tmp_path: Path
) -> None:
    code = """
import dovetail as dt
from dovetail_opencl import tuning
from dovetail_opencl.runtime import device_of

tuning.SECONDS, tuning.ROUNDS = 0.0, 1
found, seen = tuning.faster, []
tuning.faster = lambda *arguments: seen.append(found(*arguments)) or seen[-1]
x = dt.ones(2, 32, 9, 9, device="opencl:0")
weight = dt.ones(32, 32, 3, 3, device="opencl:0")
y = dt.nn.functional.conv2d(x, weight, dt.ones(32, device="opencl:0"))
assert ((y - 289).abs() < 1e-2).all().item()
print(seen, "transform_image" in {key[1] for key in device_of(0)._kernels})
"""
    given = {cache.VARIABLE: str(tmp_path), "DOVETAIL_OPENCL_CLASS": "gpu"}
    assert fresh(code, **given).strip() == "[None] False"
    measured = fresh(code, **given, **{tuning.TUNE: "1"}).strip()
    assert measured in ("['direct'] True", "['winograd'] True")  # both were tried
    (path,) = tmp_path.glob("way-*")
    for way, is_there in (("direct", False), ("winograd", True)):
        data = json.loads(path.read_text())
        path.write_text(json.dumps({**data, "way": way}))
        assert fresh(code, **given).strip() == f"['{way}'] {is_there}"
