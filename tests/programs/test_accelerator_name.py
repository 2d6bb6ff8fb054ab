"""``dovetail run --accelerator D``: that name is a device's; the rest is as with a GPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import torch
from torch.utils.data import DataLoader, TensorDataset

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)
torch.cuda.manual_seed_all(0)
torch.backends.cudnn.benchmark = True
torch.linspace(0, 1, 3).numpy()
data = TensorDataset(torch.randn(32, 8, generator=torch.Generator()), torch.arange(32) % 3)
loader = DataLoader(data, 16, shuffle=True, pin_memory=True, num_workers=1)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
model.to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scaler = torch.amp.GradScaler("cuda")
for images, labels in loader:
    assert images.device.type == "cpu"
    images, labels = images.to(device, non_blocking=True), labels.cuda()
    with torch.autocast("cuda"):
        assert torch.is_autocast_enabled("cuda")
        out = model(images)
        loss = torch.nn.functional.cross_entropy(out, labels)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
torch.cuda.synchronize()
print(device, out.device, out.dtype, scaler.is_enabled(), torch.ones(1).device)
"""


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "prog.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "dovetail", "run", *words, "prog.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("device", ["loop:0", "opencl:0"])
def test_a_program_for_a_gpu(
    device: str, tmp_path: Path, need_device: Callable[[str], Any]
) -> None:
    need_device(device)
    done = _run(tmp_path, "--accelerator", device)
    assert done.returncode == 0, done.stderr
    kind = device.partition(":")[0]
    assert done.stdout.split() == [kind, device, "torch.float16", "True", "cpu"]
    assert "is not available" not in done.stderr
    assert f"stands for {device} in this program" in done.stderr


def test_one_of_the_two(tmp_path: Path) -> None:
    done = _run(tmp_path, "--accelerator", "cpu", "--device", "cpu")
    assert (done.returncode, done.stderr) == (
        2,
        "dovetail run: give --device or --accelerator, not both\n",
    )
