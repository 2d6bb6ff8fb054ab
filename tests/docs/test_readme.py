"""The README says what works: its commands are CI's, its examples run."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEST_COMMAND = 'pip install -e ".[test]" && pytest'


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert f"\n{TEST_COMMAND}\n" in README
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", README) if "://" not in t]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_first_example_trains(device: object) -> None:
    [example] = [block for block in blocks("python") if "optimizer.step()" in block]
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    first = names["loss"].item()  # type: ignore[attr-defined]
    assert 1.5 < first < 4.0  # ln 10 = 2.3 for ten equally likely classes
    exec("loss = dt.nn.functional.cross_entropy(model(images), labels)", names)
    assert names["loss"].item() < first  # type: ignore[attr-defined]


def test_backend_example_is_a_device(tmp_path: Path) -> None:
    for name in ("pip", "setuptools"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed, which installs packages")
    [backend] = [block for block in blocks("python") if "class Memory(Runtime)" in block]
    [usage] = [block for block in blocks("python") if 'device="ram"' in block]
    [project] = blocks("toml")
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    (source / "dovetail_ram.py").write_text(backend)
    (source / "pyproject.toml").write_text(project)
    (source / "use.py").write_text(usage)  # beside it, where a reader saves it

    environment = {k: v for k, v in os.environ.items() if not k.startswith("DOVETAIL_")}
    environment["DOVETAIL_FALLBACK"] = "error"

    def python(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=source,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    # As `pip install .`, without a network and into a folder of its own.
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--target", str(installed))
    python("-m", "pip", "install", "--quiet", *options, ".")
    assert (installed / "dovetail_ram.py").exists()
    assert not (installed / "use.py").exists()
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(installed), *filter(None, [environment.get("PYTHONPATH")])]
    )

    # Element (i, j) of the gradient: the sum of row j, the sum of column i, and 3.
    expected = "tensor([[10., 14.],\n        [12., 16.]], device='ram:0')\n"
    assert python("use.py") == expected
    assert re.search(r"^ram\b.*", python("-m", "dovetail", "devices"), re.MULTILINE)
    pytest.importorskip("sklearn", reason="the demo extra is not installed")
    words = ("--device", "ram", "--epochs", "1", "--out", str(tmp_path / "made"))
    lines = python("-m", "dovetail", "demo", *words, code=2).splitlines()
    [told] = [line for line in lines if line.startswith("dovetail demo: ")]
    assert "has no kernel of it" in told
    assert "`dovetail capabilities ram` lists what there is" in told
    assert "Traceback" not in " ".join(lines)
    environment["DOVETAIL_FALLBACK"] = "warn"
    assert "right after 1 epochs on ram" in python("-m", "dovetail", "demo", *words)


@pytest.mark.parametrize("option", ["--device", "--epochs", "--seed", "--out", "--data", "--json"])
def test_readme_and_help_name_the_same_options(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from dovetail.cli.demo import main

    with pytest.raises(SystemExit):
        main(["--help"])
    assert option in capsys.readouterr().out
    assert option in README
