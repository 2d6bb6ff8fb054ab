"""The profile of one training step, its timeline for a browser, and a picture.

python plugins/dlp/examples/profile_step.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import dovetail as dt
import dovetail_dlp
from dovetail import nn

__all__ = ["main"]


def main(folder: str = ".") -> None:
    """A small convolutional network, one step of Adam."""
    dt.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 16, 10),
    ).dlp()  # fmt: skip
    optimizer = dt.optim.Adam(model.parameters(), lr=1e-3)
    images, labels = dt.randn(64, 1, 8, 8).dlp(), dt.randint(0, 10, (64,)).dlp()

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    step()
    with dovetail_dlp.profile() as found:
        step()
    print(found)
    print("timeline:", found.save_trace(Path(folder) / "step.json"), "(open in ui.perfetto.dev)")
    print("picture:", found.save_picture(Path(folder) / "step.png"))


if __name__ == "__main__":
    main(*sys.argv[1:])
