"""Modules of ``torch.distributions`` as programs import them, beside PyTorch's own."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

KINDS = [n for n in dt.distributions.__all__ if hasattr(getattr(dt.distributions, n), "__module__")]


@pytest.mark.parametrize("name", KINDS)
def test_names_are_in_pytorchs_files(name: str) -> None:
    theirs = getattr(torch.distributions, name)
    file = getattr(theirs, "__module__", type(theirs).__module__)
    mine = importlib.import_module(file.replace("torch.", "dovetail."))
    assert getattr(mine, name) is getattr(dt.distributions, name)


PROGRAM = """
import torch
import torch.distributions.transforms as T
from torch.distributions import constraints, kl, utils
from torch.distributions.categorical import Categorical
from torch.distributions.constraints import Constraint
from torch.distributions.distribution import Distribution
from torch.distributions.kl import register_kl
from torch.distributions.normal import Normal
from torch.distributions.transformed_distribution import TransformedDistribution
from torch.distributions.utils import _standard_normal, _sum_rightmost, broadcast_all, lazy_property

assert torch.distributions.normal.Normal is torch.distributions.Normal is Normal
assert isinstance(TransformedDistribution(Normal(0.0, 1.0), [T.ExpTransform()]), Distribution)
assert _standard_normal((2,), dtype=torch.float64, device=torch.device("cpu")).dtype == torch.double
print(torch.__version__, Categorical(torch.ones(2)).probs)
"""


def test_a_program(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    said = subprocess.run(
        [sys.executable, "-m", "dovetail.torch", str(script)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (said.returncode, said.stderr) == (0, "")
    assert "dovetail" in said.stdout


@pytest.mark.parametrize("is_binary", [False, True])
def test_logits_and_probabilities(is_binary: bool) -> None:
    probs = np.array([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0]])
    for name in ("probs_to_logits", "logits_to_probs", "clamp_probs"):
        given = () if name == "clamp_probs" else (is_binary,)
        mine, theirs = (
            getattr(lib.distributions.utils, name)(lib.tensor(probs), *given).numpy()
            for lib in (dt, torch)
        )
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


@pytest.mark.parametrize("lib", [torch, dt], ids=["torch", "dovetail"])
def test_lazy_properties(lib: Any) -> None:
    calls = []

    class Rooted:
        @lib.distributions.utils.lazy_property  # type: ignore[untyped-decorator]
        def root(self) -> Any:
            """A root."""
            calls.append(self)
            return lib.tensor(4.0, requires_grad=True).sqrt()

    one = Rooted()
    with lib.no_grad():
        assert one.root == 2
    assert one.root.requires_grad
    assert len(calls) == 1
