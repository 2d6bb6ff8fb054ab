"""A checkpoint gives back what was put in, bit for bit, and is never half written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dovetail as dt
from dovetail.demo import DemoError
from dovetail.demo.checkpoint import Checkpoint, replacing


def example() -> Checkpoint:
    model = {"0.weight": dt.randn(3, 2), "0.count": dt.tensor(7)}
    state = {0: {"step": dt.tensor(3.0), "exp_avg": dt.randn(3, 2)}}
    groups = [{"lr": 0.1 + 0.2, "betas": (0.9, 0.999), "params": [0], "foreach": None}]
    optimizer = {"state": state, "param_groups": groups}
    return Checkpoint(5, "data", model, optimizer, [{"epoch": 1, "loss": 1e-300}])


def test_round_trip(tmp_path: Path) -> None:
    saved = example()
    saved.save(tmp_path / "c.pth")
    loaded = Checkpoint.load(tmp_path / "c.pth")
    assert (loaded.seed, loaded.data, loaded.epoch) == (5, "data", 1)
    assert loaded.history == saved.history
    assert loaded.optimizer["param_groups"] == saved.optimizer["param_groups"]
    assert list(loaded.optimizer["state"]) == [0]
    pairs = [
        (saved.model, loaded.model),
        (saved.optimizer["state"][0], loaded.optimizer["state"][0]),
    ]
    for before, after in pairs:
        assert list(before) == list(after)
        for name, tensor in before.items():
            assert after[name].dtype == tensor.dtype
            assert after[name].shape == tensor.shape
            np.testing.assert_array_equal(after[name].numpy(), tensor.numpy())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as partial:
            partial.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    with pytest.raises(DemoError, match=r"cannot write .*file.*No space left"), replacing(path):
        raise OSError(28, "No space left on device")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    with pytest.raises(DemoError, match="there is no checkpoint"):
        Checkpoint.load(path)
    example().save(path)
    whole = path.read_bytes()
    for broken in (b"", b"junk" * 9, whole[:100], whole[:-1]):
        path.write_bytes(broken)
        with pytest.raises(DemoError, match="cannot be read"):
            Checkpoint.load(path)
    dt.save({"x": dt.ones(2)}, path)
    with pytest.raises(DemoError, match="is not a checkpoint of this demo"):
        Checkpoint.load(path)
