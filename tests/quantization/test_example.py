"""The example: a network that reads digits, quantized three ways."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "quantization.py"


def example() -> Any:
    spec = importlib.util.spec_from_file_location("quantization_example", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_accuracy_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    made = example().run(epochs=4)
    accuracy, size = made["float32"]
    assert accuracy > 0.9
    for name in ("dynamic", "static", "trained"):
        assert made[name][0] > accuracy - 0.02, name
        assert made[name][1] < size / 2, name
    example().main(["--epochs", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "form",
        "float32",
        "dynamic",
        "static",
        "trained",
    ]
