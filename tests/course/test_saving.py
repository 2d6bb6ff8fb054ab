"""Saving and loading (003 L2476-2545, 004 L203-208)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dovetail as dt


def equal(state: Any, other: Any) -> bool:
    return list(state) == list(other) and all(
        (state[k] == other[k].to(state[k].device)).all().item() for k in state
    )


def test_003_L2485_a_state_in_a_file(run: Any) -> None:
    names = run("003 L2485")
    assert equal(names.model.state_dict(), dt.load("model.pt"))


def test_003_L2492_a_state_to_keep(run: Any) -> None:
    names = run("003 L2492")
    refers = names.model.state_dict()
    with dt.no_grad():
        names.model[0].weight.add_(1)
    assert equal(refers, names.model.state_dict())
    assert not equal(names.model_save, names.model.state_dict())
    assert equal(names.model_save, dt.load("model.pt"))


def test_003_L2503_inference_from_a_file(run: Any) -> None:
    names = run("003 L2503")
    assert not names.model[1].training
    assert equal(names.model.state_dict(), names.model_save)
    assert names.y_n.shape == (2, 3)
    assert (names.y_n == names.model(names.x)).all().item()


def test_003_L2517_a_checkpoint(run: Any) -> None:
    run("003 L2517")
    assert set(dt.load("model.tar")) == {
        "epoch", "model_state_dict", "optimizer_state_dict", "loss",
    }  # fmt: skip


def test_003_L2534_training_goes_on_from_a_checkpoint(run: Any) -> None:
    names = run("003 L2534")
    assert (names.epoch, names.loss) == (3, 0.5)
    assert equal(names.model.state_dict(), names.model_save)
    assert names.optimizer.param_groups[0]["lr"] == 0.01
    before = names.model[0].weight.detach().clone()
    names.model(names.x).sum().backward()
    names.optimizer.step()
    assert not (before == names.model[0].weight).all().item()


def test_003_L2479_names_of_files_are_free(place_to_work: Path) -> None:
    for name in ("model.pt", "model.pth", "model.tar"):
        dt.save({"weight": dt.ones(2)}, name)
        assert dt.load(name)["weight"].tolist() == [1, 1]


def test_004_L206_a_state_in_a_file(run: Any) -> None:
    names = run("004 L206")
    assert equal(names.model.state_dict(), dt.load("path"))
