"""Finding oneDNN, doing without it, threads, forks, and the bounds of what is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from dovetail_cpu.kernels.conv import conv
from dovetail_cpu.kernels.matmul import matmul
from dovetail_cpu.onednn import library, session, status
from dovetail_cpu.onednn.api import OneDnnError

GEOMETRY = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}

PROGRAM = """
import numpy as np
from dovetail_cpu.kernels.conv import conv
from dovetail_cpu.kernels.matmul import matmul
from dovetail_cpu.onednn import status
x, w = np.ones((4, 16, 32, 32), np.float32), np.ones((32, 16, 3, 3), np.float32)
a = np.ones((256, 256), np.float32)
def work():
    out, product = np.empty((4, 32, 32, 32), np.float32), np.empty_like(a)
    conv(x, w, out, stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1)
    matmul(a, a, product)
    assert (out[:, :, 1:-1, 1:-1] == 144).all() and (product == 256).all()
"""

needs_onednn = pytest.mark.skipif(
    not status().loaded, reason=f"oneDNN: {status().reason or 'present'}"
)


def _run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_switched_off_everything_still_works() -> None:
    text = _run("work(); print(status())", DOVETAIL_ONEDNN="0")
    assert "not used" in text
    assert "DOVETAIL_ONEDNN=0" in text


def test_a_file_that_is_no_library_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "libdnnl.so.3"
    wrong.write_text("this is no library")
    text = _run("work(); print(status().reason)", DOVETAIL_ONEDNN=str(wrong))
    assert str(wrong) in text


def test_absence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_candidates", lambda: iter(()))
    monkeypatch.setattr(library, "_file_name", lambda: "libdnnl-that-is-not-there.so")
    monkeypatch.delenv(library.VARIABLE, raising=False)
    with pytest.raises(OneDnnError, match=r"pip install .*onednn"):
        library._open()


def test_nothing_is_loaded_before_it_is_needed() -> None:
    text = _run(
        "from dovetail_cpu.onednn.library import _state\n"
        "small = np.ones((8, 8), np.float32); matmul(small, small, np.empty_like(small))\n"
        "print(_state.library, _state.reason)"
    )
    assert text.split() == ["None", "None"]


@needs_onednn
def test_status_names_version_and_file() -> None:
    found = status()
    assert found.version.startswith("3.")
    assert found.threads >= 1
    assert found.path in str(found)


@needs_onednn
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_computes_without_it() -> None:
    """OpenMP's threads do not survive a fork; a child that used them would hang."""
    text = _run(
        "import os, warnings; warnings.simplefilter('ignore')\n"
        "work()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    work(); print('child', status(), flush=True); os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "work(); print('parent', status())"
    )
    child, parent = text.splitlines()
    assert "forked" in child
    assert parent.startswith("parent oneDNN 3.")


def test_threads_do_not_disturb_each_other() -> None:
    """Each thread has its own shapes in the same kernels, many times over."""
    failures: list[str] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((2 + seed, 16, 9, 9)).astype(np.float32)
        weight = rng.standard_normal((16, 16, 3, 3)).astype(np.float32)
        a = rng.standard_normal((128 + seed, 128)).astype(np.float32)
        outs = []
        for _ in range(20):
            out, product = np.empty_like(x), np.empty((128 + seed,) * 2, np.float32)
            conv(x, weight, out, **GEOMETRY)
            matmul(a, a.T, product)
            outs.append((out, product))
        if not all((o == outs[0][0]).all() and (p == outs[0][1]).all() for o, p in outs):
            failures.append(f"thread {seed}: results differ")
        if not np.allclose(outs[0][1], a.astype(np.float64) @ a.T, atol=1e-4):
            failures.append(f"thread {seed}: wrong product")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@needs_onednn
def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = session.current()
    assert mine is not None
    monkeypatch.setattr(session, "CAPACITY", 4)
    monkeypatch.setattr(mine, "plans", {})
    weight = np.ones((16, 16, 3, 3), np.float32)
    for size in range(5, 15):
        x = np.ones((1, 16, size, size), np.float32)
        out = np.empty_like(x)
        conv(x, weight, out, **GEOMETRY)
        assert out[0, 0, 2, 2] == 144
    assert len(mine.plans) == 4


@needs_onednn
def test_a_large_arena_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = session.current()
    assert mine is not None
    monkeypatch.setattr(session, "KEPT_ARENA", 1 << 10)
    x, weight = np.ones((2, 16, 20, 20), np.float32), np.ones((16, 16, 3, 3), np.float32)
    for _ in range(2):
        out = np.empty_like(x)
        conv(x, weight, out, **GEOMETRY)
        assert (out[:, :, 1:-1, 1:-1] == 144).all()
        assert mine.arena.size == 0


@needs_onednn
def test_other_libraries_keep_their_number_of_threads() -> None:
    """OpenMP's number is shared with PyTorch and others; a small program runs on one core."""
    mine = session.current()
    assert mine is not None
    before = mine.library.get_threads()
    x, weight = np.ones((1, 16, 5, 5), np.float32), np.ones((16, 16, 3, 3), np.float32)
    for _ in range(2):  # made, and found again
        conv(x, weight, np.empty_like(x), **GEOMETRY)
        assert mine.library.get_threads() == before
    a = np.ones((256, 256), np.float32)
    matmul(a, a, np.empty_like(a))
    assert mine.library.get_threads() == before


@needs_onednn
def test_another_number_of_threads_means_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = session.current()
    assert mine is not None
    a = np.ones((256, 256), np.float32)
    for count in (1, 3, 2):
        monkeypatch.setattr(mine.library, "threads", count)
        out = np.empty_like(a)
        matmul(a, a, out)
        assert (out == 256).all()
        assert {plan.program.threads for plan in mine.plans.values() if plan} == {count}
