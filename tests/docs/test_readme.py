"""The README says what works: its commands are CI's, its examples run."""

from __future__ import annotations

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
    [backend] = [block for block in blocks("python") if "class Memory(Runtime)" in block]
    [usage] = [block for block in blocks("python") if 'device="ram"' in block]
    [project] = blocks("toml")
    [module] = re.findall(r'^ram = "(.*)"$', project, re.MULTILINE)
    (tmp_path / "dovetail_ram.py").write_text(backend)
    # What an installer would leave behind.
    metadata = tmp_path / "dovetail_ram-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: dovetail-ram\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text(f"[dovetail.backends]\nram = {module}\n")

    environment = {k: v for k, v in os.environ.items() if not k.startswith("DOVETAIL_")}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(tmp_path), *filter(None, [environment.get("PYTHONPATH")])]
    )
    environment["DOVETAIL_FALLBACK"] = "error"

    def python(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    # Element (i, j) of the gradient: the sum of row j, the sum of column i, and 3.
    expected = "tensor([[10., 14.],\n        [12., 16.]], device='ram:0')\n"
    assert python("-c", usage) == expected
    assert re.search(r"^ram\b.*", python("-m", "dovetail", "devices"), re.MULTILINE)
    pytest.importorskip("sklearn", reason="the demo extra is not installed")
    lines = python("-m", "dovetail", "demo", "--device", "ram", code=2).splitlines()
    [told] = [line for line in lines if line.startswith("dovetail demo: ")]
    assert told.endswith("`dovetail capabilities ram` shows which operators it has")
    assert "has no kernel of it" in told
    assert "Traceback" not in " ".join(lines)


@pytest.mark.parametrize("option", ["--device", "--epochs", "--seed", "--out", "--data", "--json"])
def test_readme_and_help_name_the_same_options(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from dovetail.cli.demo import main

    with pytest.raises(SystemExit):
        main(["--help"])
    assert option in capsys.readouterr().out
    assert option in README
