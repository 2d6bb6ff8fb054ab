"""``dovetail demo`` as a person meets it: results, resuming, mistakes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx import NAMES, small_mnist
from safetensors.numpy import load_file

import dovetail as dt
from dovetail.backend.state import state_of
from dovetail.cli.demo import main
from dovetail.demo.job import DEFAULTS, Settings

LOOPBACK = Path(__file__).resolve().parents[2] / "plugins" / "loopback"
COMMAND = [sys.executable, "-m", "dovetail", "demo"]

# A background process of a shell without job control ignores SIGINT, and so do its children.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from dovetail.cli.demo import main
sys.exit(main())
"""


def run(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def log_of(out: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    timed = ("seconds", "train_seconds", "samples_per_second")
    return [{k: v for k, v in record.items() if k not in timed} for record in records]


def assert_same_result(left: Path, right: Path) -> None:
    one, other = load_file(left / "weights.safetensors"), load_file(right / "weights.safetensors")
    assert list(one) == list(other)
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)
    assert log_of(left) == log_of(right)


def test_the_main_job_reaches_98_percent(tmp_path: Path) -> None:
    done = run("--json", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"device", "epochs", "accuracy", "seconds", "samples_per_second"}
    assert result["device"] == "cpu"
    assert result["epochs"] == 12
    assert result["accuracy"] >= 0.98
    assert result["samples_per_second"] > 0
    assert len(log_of(tmp_path)) == 12
    assert log_of(tmp_path)[-1]["accuracy"] == result["accuracy"]
    assert "Traceback" not in done.stderr


def test_human_output_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "here"
    assert main(["--epochs", "1", "--out", str(out)]) == 0
    said = capsys.readouterr()
    hardware = state_of(dt.device("cpu")).info.name
    for word in (
        f"device    cpu, {hardware}\n",
        "images/s",
        "accuracy",
        "held-out loss",
        "Try next:",
    ):
        assert word in said.out
    assert said.err == "", "what takes less than some seconds needs no progress in a file"
    assert "\r" not in said.out
    names = {"weights.safetensors", "log.jsonl", "picture.png", "checkpoint.pth"}
    assert {path.name for path in out.iterdir()} == names
    assert (out / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    weights = load_file(out / "weights.safetensors")
    assert weights["1.weight"].shape == (16, 1, 3, 3)


def test_weights_are_those_that_were_evaluated(tmp_path: Path) -> None:
    import dovetail as dt
    from dovetail.demo.data import CLASSES, load_digits
    from dovetail.demo.network import digit_network

    assert main(["--epochs", "1", "--out", str(tmp_path), "--json"]) == 0
    digits = load_digits()
    network = digit_network(digits.image_shape, CLASSES, 0.0, 1.0)
    arrays = load_file(tmp_path / "weights.safetensors")
    network.load_state_dict({name: dt.from_numpy(array) for name, array in arrays.items()})
    with dt.no_grad():
        logits = network.eval()(dt.from_numpy(digits.test_images[:, None].copy()))
    accuracy = (logits.argmax(1).numpy() == digits.test_labels).mean()
    assert accuracy == log_of(tmp_path)[-1]["accuracy"]


def test_the_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main(["--epochs", "1", "--seed", str(seed), "--out", str(tmp_path / name)]) == 0
    assert_same_result(tmp_path / "a", tmp_path / "b")
    assert log_of(tmp_path / "a") != log_of(tmp_path / "c")


def test_resume_is_bit_identical(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["--epochs", "3", "--out", str(whole)]) == 0
    assert main(["--epochs", "1", "--out", str(parts)]) == 0
    assert main(["--epochs", "3", "--out", str(parts), "--resume"]) == 0
    assert_same_result(whole, parts)


def test_another_device_gives_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(LOOPBACK)
    from dovetail.backend import registry
    from dovetail_loopback import backend

    registry.register("demoloop", backend(layout="contiguous"))
    try:
        for name in ("cpu", "demoloop:1"):
            words = ["--device", name, "--epochs", "1", "--out", str(tmp_path / name), "--json"]
            assert main(words) == 0
            assert json.loads(capsys.readouterr().out)["device"] == name
    finally:
        registry.unregister("demoloop")
    # Its kernels are the cpu's, one by one; the cpu itself may join some of them.
    one, other = (load_file(tmp_path / d / "weights.safetensors") for d in ("cpu", "demoloop:1"))
    for key, array in one.items():
        np.testing.assert_allclose(array, other[key], rtol=1e-3, atol=1e-3, err_msg=key)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process")
def test_ctrl_c_leaves_a_checkpoint_that_resumes_bit_identical(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    words = ["--epochs", "4", "--seed", "3", "--out"]
    assert main([*words, str(whole)]) == 0
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *words, str(stopped)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch   2"):
            os.kill(process.pid, signal.SIGINT)
            break
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "stopped after epoch" in errors
    assert "dovetail demo --resume" in errors
    assert not (stopped / "weights.safetensors").exists()
    assert not list(stopped.glob(".*")), "a partial file is left"
    assert main([*words, str(stopped), "--resume"]) == 0
    assert_same_result(whole, stopped)


@pytest.mark.parametrize("device", ["cpu", "demoloop:1"])
def test_the_next_commands_work_as_printed(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(LOOPBACK)
    from dovetail.backend import registry
    from dovetail_loopback import backend

    registry.register("demoloop", backend(layout="contiguous"))
    out = tmp_path / "a long name with spaces, longer than the table is wide"
    try:
        assert main(["--device", device, "--epochs", "1", "--out", str(out)]) == 0
        said = capsys.readouterr().out
        begins = {line.index(f"{out}/") for line in said.splitlines() if line.count(f"{out}/") == 1}
        assert len(begins) == 1, "the files' names are not below each other"
        [command] = re.findall("dovetail demo --resume.*", said)
        words = shlex.split(command)[2:]
        assert words[-2:] == ["--epochs", "9"]
        assert main([*words[:-1], "2"]) == 0
        assert "resumed   after epoch 1" in capsys.readouterr().out
    finally:
        registry.unregister("demoloop")


def test_the_usual_run_is_continued_by_a_short_command() -> None:
    settings = Settings(DEFAULTS["device"], DEFAULTS["out"])
    assert settings.resume_command(20) == "dovetail demo --resume --epochs 20"


def test_a_backend_without_a_kernel_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(LOOPBACK)
    from dovetail.backend import registry
    from dovetail_loopback import backend

    made = backend(layout="contiguous")
    table = made.runtime.kernels().copy()
    for name in [name for name in table if name.startswith("random_")]:
        table.remove(name)
    monkeypatch.setattr(made.runtime, "kernels", lambda: table)
    registry.register("demoloop", made)
    try:
        assert main(["--device", "demoloop:0", "--epochs", "1", "--out", str(tmp_path)]) == 2
    finally:
        registry.unregister("demoloop")
    error = capsys.readouterr().err
    assert error.startswith("dovetail demo: --device demoloop:0: random_bits: ")
    assert "dovetail capabilities demoloop" in error
    assert error.count("\n") == 1


def test_mnist_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_mnist(tmp_path / "data", suffix=".gz")
    words = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--json"]
    assert main([*words, "--epochs", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 2
    assert main([*words, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 3, "the usual number with --data"


# Arguments, with {} for a folder, and what the sentence must contain.
MISTAKES = {
    "device": ("--device warp", "warp"),
    "no data on meta": ("--device meta", "--device meta: has shapes and no data"),
    "out is a file": ("--out {}/file", "--out: cannot make the folder"),
    "out below a file": ("--out {}/file/x", "--out: cannot make the folder"),
    "data": ("--data {}/none", "is not a folder"),
    "data cut off": ("--data {}/cut", "cut off while downloading"),
    "epochs": ("--epochs 0", "must be a whole number from 1"),
    "epochs in words": ("--epochs many", "must be a whole number from 1"),
    "seed": ("--seed -1", "--seed"),
    "unknown": ("--colour red", "--colour"),
    "resume": ("--resume --out {}/none", "there is no checkpoint"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_is_one_sentence(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    small_mnist(tmp_path / "cut")
    images = tmp_path / "cut" / NAMES["train_images"]
    images.write_bytes(images.read_bytes()[:-5])
    words, sentence = MISTAKES[kind]
    assert main([word.format(tmp_path) for word in words.split()]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("dovetail demo: ")
    assert said.err.count("\n") == 1
    assert sentence in said.err


def test_an_unwritable_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # By hand: the tests may run as root, whom no folder refuses.
    monkeypatch.setattr(os, "replace", refuse)
    assert main(["--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("dovetail demo: cannot write")
    assert "Permission denied" in error


def test_resume_refuses_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["--epochs", "2", "--out", str(out)]) == 0
    small_mnist(tmp_path / "data", size=8)
    refused = {
        ("--seed", "9"): "the checkpoint's run has --seed 0",
        ("--epochs", "1"): "has 2 epochs already",
        ("--data", str(tmp_path / "data")): "other images",
    }
    for words, sentence in refused.items():
        capsys.readouterr()
        assert main(["--resume", "--out", str(out), *words]) == 2
        assert sentence in capsys.readouterr().err


def test_a_missing_extra_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # None in sys.modules is how Python marks a module that must not be imported.
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "tqdm and matplotlib" in said.err
    assert 'pip install "dovetail[demo]"' in said.err
