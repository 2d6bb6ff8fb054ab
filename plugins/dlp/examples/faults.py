"""Each fault strikes in the middle of training; training goes on from its checkpoint, bit for bit.

    DOVETAIL_DLP_CACHING=0 python plugins/dlp/examples/faults.py

Without caching every tensor asks the device for memory, so that the fault of that kind shows at
once.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

import dovetail as dt
import dovetail_dlp
from dovetail import nn

__all__ = ["main", "train"]

STEPS, CHECKPOINT = 8, 4
AFTER = {"out_of_memory": 20, "ecc": 50, "hang": 50, "lost": 50}


def _host(state: Any) -> Any:
    """A state dict with every tensor copied to the host."""
    if isinstance(state, dt.Tensor):
        return state.cpu().clone()
    if isinstance(state, dict):
        return {key: _host(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_host(value) for value in state]
    return copy.copy(state)


class Training:
    """A network on ``dlp:0``; its data is on the host."""

    def __init__(self) -> None:
        dt.manual_seed(0)
        self.model = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(128, 10),
        ).dlp()  # fmt: skip
        self.optimizer = dt.optim.Adam(self.model.parameters(), lr=1e-2)

    def step(self, number: int) -> float:
        """One step, on images drawn for its number."""
        rng = np.random.default_rng(number)
        images = dt.tensor(rng.normal(size=(32, 1, 8, 8)).astype(np.float32)).dlp()
        labels = dt.tensor(rng.integers(0, 10, 32)).dlp()
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def state(self) -> Any:
        """What a checkpoint holds, on the host."""
        return _host({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()})

    def load(self, state: Any) -> None:
        """Continue from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def train(fault: str | None = None) -> tuple[list[float], dict[str, Any], Exception | None]:
    """STEPS steps with ``fault`` after the checkpoint; losses, weights, and what the user saw."""
    training, losses, seen, saved = Training(), [], None, None
    number = 0
    while number < STEPS:
        if number == CHECKPOINT and saved is None:
            saved = training.state()
            if fault:
                patience = 2.0 if fault == "hang" else None
                dovetail_dlp.inject("dlp:0", fault=fault, after=AFTER[fault], timeout=patience)
        try:
            losses.append(training.step(number))
            number += 1
        except RuntimeError as error:
            if seen is not None or saved is None:
                raise
            seen = error
            dovetail_dlp.reset("dlp:0")
            training = Training()
            training.load(saved)
            number = CHECKPOINT
            del losses[number:]
    return losses, training.state()["model"], seen


def main() -> None:
    """All faults, beside a tensor on another device and one on the host."""
    wanted, weights, _ = train()
    other, host = dt.arange(5.0, device="dlp:1"), dt.arange(5.0)
    for fault in dovetail_dlp.FAULTS:
        losses, made, seen = train(fault)
        same = losses == wanted and all(dt.equal(made[name], weights[name]) for name in weights)
        intact = other.tolist() == host.tolist() == [0, 1, 2, 3, 4]
        print(f"{fault}: the user sees {type(seen).__name__}: {seen}")
        print(f"    resumed bit-identical: {same}; dlp:1 and the host are whole: {intact}")


if __name__ == "__main__":
    main()
