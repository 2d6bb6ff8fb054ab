"""Networks train on the device as on the cpu; packing and opaque storage are exercised on the
way."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import nn


def losses(device: str, steps: int = 6) -> list[float]:
    dt.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3), nn.LeakyReLU(0.1), nn.AvgPool2d(2), nn.Flatten(), nn.LayerNorm(8),
        nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.2), nn.Linear(16, 5),
    ).to(device)  # fmt: skip
    optimizer = dt.optim.AdamW(model.parameters(), lr=1e-2, amsgrad=True)
    dt.manual_seed(1)  # each device has a generator; from here on they draw the same
    rng, found = np.random.default_rng(0), []
    for _ in range(steps):
        images = dt.tensor(rng.normal(size=(12, 1, 8, 8)).astype("f")).to(device)
        labels = dt.tensor(rng.integers(0, 5, 12)).to(device)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_losses_are_the_cpus(module: Any) -> None:
    here, there = losses("cpu"), losses("dlp")
    np.testing.assert_allclose(there, here, rtol=2e-4)


def test_training_is_bit_reproducible(module: Any) -> None:
    assert losses("dlp", 3) == losses("dlp", 3)


@pytest.mark.parametrize("case", ["transposed", "stepped", "expanded", "cast"])
def test_opaque_storage_copies_by_single_elements(module: Any, case: str) -> None:
    values = np.arange(60, dtype="f").reshape(6, 10)
    takes = {
        "transposed": lambda x: x.t().contiguous(),
        "stepped": lambda x: x[1::2, ::3].contiguous(),
        "expanded": lambda x: x[:, :1].expand(6, 7).contiguous(),
        "cast": lambda x: x.t().to(dt.int32),
    }
    module.configure(opaque=1)
    with module.profile() as found:
        made = takes[case](dt.tensor(values).dlp())
        made = made.cpu()
    wanted = takes[case](dt.tensor(values))
    assert dt.equal(made, wanted)
    names = {step.name for _, _, p in found.launches for step in p.program.steps}
    assert "load_gather" in names
    assert "store_scatter" in names


def test_opaque_storage_has_no_strided_dma(module: Any) -> None:
    import dovetail_dlp.lang as dlp

    @dlp.kernel
    def column(x: Any, out: Any) -> None:
        tile = dlp.nram(4, x.dtype)
        dlp.load(tile, x[:, 0])

    module.configure(opaque=1)
    x = dt.ones(4, 4, device="dlp")
    with pytest.raises(module.KernelError, match="storage is opaque"):
        column(x._materialize(), x._materialize())


def test_the_core_packs_for_contiguous_kernels(module: Any) -> None:
    x = dt.arange(12.0).reshape(3, 4).dlp()
    with dt.trace() as calls:
        x.t().exp()
    assert any(call.packs for call in calls)


def test_demo_command(module: Any, tmp_path: Any) -> None:
    """The command itself, for one epoch; twelve are timed in docs/dlp.md."""
    pytest.importorskip("sklearn", reason="the demo's digits come with scikit-learn")
    command = [sys.executable, "-m", "dovetail", "demo", "--device", "dlp", "--epochs", "1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=300,
        env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "on dlp" in done.stdout
