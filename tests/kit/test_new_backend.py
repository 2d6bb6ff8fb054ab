"""``dovetail new-backend``: what it writes is complete, right, and free of its source's name."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dovetail.backend import CONTRACT_VERSION
from dovetail.cli import main
from dovetail.cli.new_backend import FILES, SOURCE
from dovetail.ops.schema import REGISTRY

ROOT = Path(__file__).parents[2]
NAME = "my_npu"

WRITTEN = {
    "pyproject.toml", "README.md", "dovetail_my_npu/__init__.py", "dovetail_my_npu/runtime.py",
    "dovetail_my_npu/kernels.py", "expect/my_npu.toml", "tests/test_conformance.py",
    ".github/workflows/conformance.yml",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated package, beside which stands what an installer would have written."""
    folder = tmp_path_factory.mktemp("generated") / "package"
    assert main(["new-backend", NAME, "--dir", str(folder)]) == 0
    project = configparser.RawConfigParser()
    project.read(folder / "pyproject.toml", encoding="utf-8")
    points = project['project.entry-points."dovetail.backends"']
    info = folder.parent / "dovetail_my_npu-0.1.0.dist-info"
    info.mkdir()
    name = project["project"]["name"].strip('"')
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    lines = [f"{device} = {module}" for device, module in points.items()]
    text = "\n".join(["[dovetail.backends]", *lines, ""])
    (info / "entry_points.txt").write_text(text.replace('"', ""))
    return folder


def run(made: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the generated package is installed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("DOVETAIL_")}
    paths = [str(made), str(made.parent), env.get("PYTHONPATH", "")]
    env.update(PYTHONPATH=os.pathsep.join(filter(None, paths)), **environ)
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=env,
        cwd=ROOT,
        timeout=300,
    )


def answer(made: Path, code: str, **environ: str) -> Any:
    """What ``code`` prints as JSON; a warning fails the test."""
    done = run(made, "-W", "error", "-c", code, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


# What is written


def files_of(folder: Path) -> dict[str, str]:
    paths = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in paths}


def test_all_files_are_written_and_short(made: Path) -> None:
    files = files_of(made)
    assert set(files) == WRITTEN
    python = {name: text for name, text in files.items() if name.endswith(".py")}
    assert 0 < sum(len(text.splitlines()) for text in python.values()) < 300
    for name, text in python.items():
        compile(text, name, "exec")
        assert max(map(len, text.splitlines())) <= 100


def test_the_name_is_everywhere(made: Path) -> None:
    files = files_of(made)
    left = [name for name, text in files.items() if "template" in (name + text).lower()]
    assert left == []
    assert "class MyNpuRuntime(Runtime)" in files["dovetail_my_npu/runtime.py"]
    assert '"MY_NPU_MEMORY"' in files["dovetail_my_npu/runtime.py"]
    assert 'name = "dovetail-my-npu"' in files["pyproject.toml"]
    assert 'grade("my_npu:0", level=4)' in files["tests/test_conformance.py"]


def test_next_commands_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "a folder"
    assert main(["new-backend", "npu", "--dir", str(folder)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"8 files written to {folder}, ")
    commands = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    assert commands == [
        f"cd '{folder}'",
        'pip install -e ".[test]"',
        "dovetail devices",
        "python -m dovetail_conformance --device npu --level 4",
        "pytest",
    ]


def test_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new-backend", NAME]) == 0
    assert (tmp_path / "dovetail-my-npu" / "pyproject.toml").is_file()


# What is refused

REFUSED = {
    "cpu": "NAME must be new, got 'cpu', a device of dovetail; choose another",
    "meta": "NAME must be new, got 'meta', a device of dovetail; choose another",
    "relu": "the name 'relu' is taken by dovetail.relu; choose another",
    "nn": "the name 'nn' is taken by the module dovetail.nn; choose another",
    "class": "'class' is a Python keyword and cannot name a device; choose another",
    "conformance": (
        "NAME must be new, got 'conformance', but dovetail_conformance is installed; choose another"
    ),
    "My_npu": "'My_npu' is no device name: lower-case letters, digits and '_' only",
    "my-npu": "'my-npu' is no device name: lower-case letters, digits and '_' only",
    "3d": "'3d' is no device name: lower-case letters, digits and '_' only, a letter first",
    "../npu": "'../npu' is no device name: lower-case letters, digits and '_' only",
    "": "'' is no device name: lower-case letters, digits and '_' only",
    "n" * 25: "NAME must have at most 24 characters, got 25; choose a shorter one",
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_names(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-backend", name, "--dir", str(tmp_path / "made")]) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"dovetail new-backend: {REFUSED[name]}")
    assert text.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_installed_device_keeps_its_name(made: Path, tmp_path: Path) -> None:
    done = run(made, "-m", "dovetail", "new-backend", NAME, "--dir", str(tmp_path / "made"))
    assert done.returncode == 2
    assert done.stderr == (
        "dovetail new-backend: NAME must be new, got 'my_npu', a device of dovetail-my-npu; "
        "choose another\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("mine")
    for target in (tmp_path, tmp_path / "README.md"):
        assert main(["new-backend", NAME, "--dir", str(target)]) == 2
        assert capsys.readouterr().err == (
            f"dovetail new-backend: the folder to write must not exist yet, got {target}, which "
            "does; choose another with --dir\n"
        )
    assert files_of(tmp_path) == {"README.md": "mine"}


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "made"
    assert main(["new-backend", NAME, "--dir", str(target)]) == 2
    text = f"dovetail new-backend: {target} cannot be written: Not a directory\n"
    assert capsys.readouterr().err == text


# What the device does


def test_it_is_a_device(made: Path) -> None:
    done = run(made, "-m", "dovetail", "devices", "--json")
    row = {r["device"]: r for r in json.loads(done.stdout)}["my_npu:0"]
    assert (row["status"], row["distribution"]) == ("available", "dovetail-my-npu")
    assert row["contract"] == ".".join(map(str, CONTRACT_VERSION)), "the source is behind"
    assert len(row["dtypes"]) == 12


def test_it_has_the_required_kernels_and_no_others(made: Path) -> None:
    code = (
        "import json; from dovetail.backend import registry;"
        "print(json.dumps(sorted(registry.get('my_npu').table)))"
    )
    required = sorted(op.name for op in REGISTRY.values() if op.required)
    assert len(required) == 51
    assert answer(made, code) == required


def test_memory_is_hidden_counted_and_limited(made: Path) -> None:
    code = """if True:
        import json, dovetail as dt
        from dovetail.backend import OutOfMemoryError, registry
        runtime = registry.get("my_npu").runtime
        block = runtime.alloc(1 << 19, 0)
        left = runtime.memory_free(0)
        try:
            dt.ones(1 << 18, device="my_npu")
        except OutOfMemoryError as error:
            text = str(error)
        runtime.free(block)
        ones = dt.ones(1 << 17, device="my_npu").sum().item()
        print(json.dumps([runtime.host_arrays, left, text, ones]))
    """
    hosts, left, text, ones = answer(made, code, MY_NPU_MEMORY=str(1 << 20))
    assert (hosts, left, ones) == (False, 1 << 19, 1 << 17)
    assert re.search(r"1048576 bytes .* 524288 of 1048576", text)


TRAINING = """if True:
    import json, dovetail as dt
    from dovetail import nn

    def losses(device):
        dt.manual_seed(3)
        images, labels = dt.rand(8, 1, 12, 12).to(device), dt.randint(0, 4, (8,)).to(device)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 8, 3), nn.GELU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(128, 4),
        ).to(device)
        dt.manual_seed(4)  # each device draws its own numbers, the same from the same seed
        optimizer = dt.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        found = []
        for _ in range(4):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    print(json.dumps([losses("my_npu"), losses("cpu")]))
"""


def test_it_trains_as_the_cpu_does(made: Path) -> None:
    ours, reference = answer(made, TRAINING, DOVETAIL_FALLBACK="error")
    assert ours == pytest.approx(reference, rel=1e-4)
    assert reference[-1] < 0.8 * reference[0]


def test_its_kernels_agree_with_every_reference(made: Path) -> None:
    tests = "tests/core/test_records.py"
    chosen = ("-k", "reference or special or in_place", "--device", f"{NAME}:0")
    done = run(made, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, *chosen)
    assert done.returncode == 0, done.stdout[-3000:]
    found = re.search(r"(\d+) passed", done.stdout)
    assert found is not None
    assert int(found[1]) > 500


# What is shipped


def test_all_of_the_source_is_in_the_wheel() -> None:
    tomllib = pytest.importorskip("tomllib", reason="reading TOML needs Python 3.11")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["package-data"]["dovetail.cli"] == [f"template/{name}" for name in FILES]


def test_what_is_not_source_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "source"
    shutil.copytree(SOURCE, copy)
    for name in (
        "build/lib/x.py",
        ".pytest_cache/README.md",
        "dovetail_template/__pycache__/x.pyc",
    ):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("left by a tool")
    monkeypatch.setattr("dovetail.cli.new_backend.SOURCE", copy)
    assert main(["new-backend", NAME, "--dir", str(tmp_path / "made")]) == 0
    assert set(files_of(tmp_path / "made")) == WRITTEN


def test_plugins_have_the_source_too() -> None:
    assert (ROOT / "plugins" / "template").resolve() == SOURCE.resolve()
