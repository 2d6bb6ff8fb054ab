"""Debugging (003 L1969-1996)."""

from __future__ import annotations

from typing import Any

import dovetail as dt
from dovetail import nn


def test_003_L1981_a_model_prints_itself(run: Any) -> None:
    names = run("003 L1981")
    assert repr(names.model) + "\n" == names.printed


def test_003_L1972_a_breakpoint_in_a_forward(program: Any, place_to_work: Any) -> None:
    """pdb stops there, shows the tensor, and goes on."""
    (place_to_work / ".pdbrc").write_text("p x.shape\np self.weight.shape\ncontinue\n")
    done = program(
        "import dovetail as torch\n"
        "class Halting(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        breakpoint()\n"
        "        return super().forward(x)\n"
        "print(Halting(3, 2)(torch.ones(4, 3)).shape)\n"
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("torch.Size")]
    assert said == ["torch.Size([4, 3])", "torch.Size([2, 3])", "torch.Size([4, 2])"]


def test_003_L1979_parameters_can_be_read(device: Any) -> None:
    model = nn.Linear(2, 1).to(device)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes == {"weight": (1, 2), "bias": (1,)}
    assert sum(p.numel() for p in model.parameters()) == 3
    assert isinstance(model.weight, dt.nn.Parameter)
