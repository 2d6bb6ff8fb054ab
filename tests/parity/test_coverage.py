"""The page that says how much of PyTorch there is: current, and no reason stands for nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch comes with the parity extra")

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "coverage.md"


def test_the_page_is_what_the_tool_writes() -> None:
    command = [sys.executable, str(ROOT / "tools" / "coverage.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrun: python tools/coverage.py"


def test_the_counts_add_up() -> None:
    rows = re.findall(
        r"^\| \S+ \| (\d+) \| (\d+) \| \d*%? \| (\d+) \| (\d+) \|$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    numbers = [[int(n) for n in row] for row in rows]
    assert len(numbers) > 20
    assert all(count == there + planned + out for count, there, planned, out in numbers)
    *parts, total = numbers
    assert [sum(column) for column in zip(*parts, strict=True)] == total


def test_the_list_has_what_pytorch_documents() -> None:
    sys.path.insert(0, str(ROOT))
    from tools.coverage import documented

    assert {"add", "float32", "Tensor", "einsum", "manual_seed", "no_grad"} <= {
        *documented("torch")
    }
    assert {"add_", "backward", "grad", "register_hook", "view"} <= {*documented("torch.Tensor")}
    assert {"Linear", "LSTM", "Module", "Parameter"} <= {*documented("torch.nn")}
    assert {"qr", "svd", "eigh", "LinAlgError"} <= {*documented("torch.linalg")}
    assert {"cross_entropy", "conv2d", "interpolate"} <= {*documented("torch.nn.functional")}
    assert not {"os", "sys", "typing", "_C"} & {*documented("torch")}
    assert "Tensor" not in documented("torch.nn.functional")


def test_every_reason_is_needed() -> None:
    sys.path.insert(0, str(ROOT))
    from tools.coverage_reasons import REASONS

    text = PAGE.read_text(encoding="utf-8")
    assert [reason for reason, _, _ in REASONS if f"**{reason}**" not in text] == []
