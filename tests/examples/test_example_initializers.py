"""``examples/initializers.py``, in short: what it prints, what it draws, and that both are true."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dovetail as dt

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "initializers.py"


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("example_initializers", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*words: str, cwd: Path) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLE), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    out = run("--width", "32", "--layers", "3", "--out", "picture.png", cwd=tmp_path)
    assert "nn.init, apply and modules begin alike: True" in out
    assert out.endswith("saved picture.png\n")
    picture = np.asarray(image.open(tmp_path / "picture.png").convert("RGB"))
    assert picture.shape == (720, 1260, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50  # curves in several colours


def test_without_matplotlib(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError(name='matplotlib')\n")
    code = (
        "import runpy, sys; sys.path.insert(0, '.');"
        f"sys.argv = ['x', '--width', '8']; runpy.run_path({str(EXAMPLE)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert 'no picture without matplotlib: pip install -e ".[demo]"' in done.stdout
    assert not (tmp_path / "initializers.png").exists()


def test_every_initialiser_is_there(example: Any) -> None:
    names = [name for name, *_ in example.INITIALISERS]
    assert sorted(names) == sorted(set(dt.nn.init.__all__) - {"calculate_gain"})


def test_the_table_is_true(example: Any, device: dt.device) -> None:
    dt.manual_seed(1)
    for line in example.table(device).split("\n")[1:]:
        mean, found_mean, std, found_std = map(float, line.split()[-4:])
        assert found_mean == pytest.approx(mean, abs=0.03 * std + 6e-5), line
        assert found_std == pytest.approx(std, rel=0.03, abs=1.5e-4), line  # four places printed


def test_the_glorot_condition(example: Any, device: dt.device) -> None:
    """Six layers: Xavier keeps the variance before tanh, Kaiming before ReLU, the others lose it.

    Expected by the derivation: U(±1/√n) has a third of the variance that is kept, Xavier before
    ReLU half of it; over five layers that is 3^-5 and 2^-5.
    """
    keeps = {}
    for title, nonlinearity, begin in example.CASES:
        dt.manual_seed(0)
        kinds = example.flow(nonlinearity, begin, 256, 6, device)
        forward, backward = ([float(v.var()) for v in values] for values in kinds)
        assert len(forward) == len(backward) == 6
        keeps[title] = (forward[-1] / forward[0], backward[0] / backward[-1])
    expected = {
        "tanh, U(±1/√n)": 3.0**-5, "tanh, Xavier": 1.0, "ReLU, Xavier": 2.0**-5,
        "ReLU, Kaiming": 1.0,
    }  # fmt: skip
    assert keeps.keys() == expected.keys()
    for title, ratios in keeps.items():
        for ratio in ratios:
            assert 0.4 < ratio / expected[title] < 2.5, (title, ratios)


def test_begin_alike_would_tell(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert example.three_ways()
    monkeypatch.setattr(dt.nn.Module, "apply", lambda self, function: self)
    assert not example.three_ways()
