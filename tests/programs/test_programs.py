"""Networks that others wrote for PyTorch train on dovetail as they do on PyTorch.

The files in ``vendored`` are theirs, byte for byte. The same program is run by
PyTorch, and by ``dovetail run`` on the cpu and on another device, from the same first state.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

HERE = Path(__file__).parent
MODELS = ("resnet", "vit", "gpt", "lstm")
TOLERANCES = {
    "float64": dict.fromkeys(MODELS, 1e-9),
    "float32": {"resnet": 1e-3, "vit": 2e-5, "gpt": 2e-5, "lstm": 2e-5},
}
"""Relative and absolute. Rounding errors grow in six steps; in the ResNet they also decide which of
two equal neighbours a maximum takes and on which side of a ReLU a zero falls."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, list[float]]]:
    """What the program wrote down, of one run for all models. PyTorch's comes first."""
    folder = tmp_path_factory.mktemp("programs")

    @functools.cache
    def run(dtype: str, device: str | None) -> dict[str, list[float]]:
        """``device``: None is PyTorch."""
        results = folder / f"{device}-{dtype}.json"
        lead: list[str] = []
        if device is not None:
            run("float32", None)
            host = device == "cpu"
            lead = (
                ["-m", "dovetail.torch"] if host else ["-m", "dovetail", "run", "--device", device]
            )
        called = "cpu" if device in (None, "cpu") else "cuda"  # as the program says
        done = subprocess.run(
            [
                sys.executable,
                *lead,
                str(HERE / "train.py"),
                called,
                dtype,
                str(folder),
                str(results),
            ],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "DOVETAIL_FALLBACK": "error"},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found: dict[str, list[float]] = json.loads(results.read_text())
        assert sorted(found) == sorted(MODELS)
        return found

    return run


@pytest.mark.parametrize("device_name", ["cpu", "opencl:0"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", MODELS)
def test_losses_as_in_pytorch(
    model: str, dtype: str, device_name: str, trained: Any, need_device: Any
) -> None:
    device = str(need_device(device_name))
    expected, found = (trained(dtype, where)[model] for where in (None, device))
    tolerance = TOLERANCES[dtype][model]
    np.testing.assert_allclose(found, expected, tolerance, tolerance)


@pytest.mark.parametrize("model", MODELS)
def test_something_was_learned(model: str, trained: Any) -> None:
    """Equal losses would say little of a network that does not move."""
    first, *later = trained("float32", None)[model][:6]
    assert min(later) < first - 0.01


def test_files_are_as_they_were_published() -> None:
    listed = dict(
        re.findall(r"^\| `(\S+)` \| `(\w{64})` \|$", (HERE / "ORIGIN.md").read_text(), re.M)
    )
    there = {
        path.relative_to(HERE / "vendored").as_posix(): path.read_bytes()
        for path in (HERE / "vendored").rglob("*.py")
    }
    assert there
    assert {name: hashlib.sha256(data).hexdigest() for name, data in there.items()} == listed
    for package in {name.split("/")[0] for name in there}:
        assert (HERE / "vendored" / package / "LICENSE").exists()
