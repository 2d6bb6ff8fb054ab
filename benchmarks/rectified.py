"""A layer with a ReLU behind it: called as one by ``Sequential``, one by one, and by PyTorch.

    python benchmarks/rectified.py [--device opencl:0] [--rounds 15]

Forward without gradients, float32, by the clock, in turn; medians, in ms. PyTorch runs on the CPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import dovetail as dt

LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "conv 3x3 (8, 64, 56, 56) to 64": (lambda nn: nn.Conv2d(64, 64, 3, padding=1), (8, 64, 56, 56)),
    "conv 3x3 (8, 128, 28, 28) to 256": (
        lambda nn: nn.Conv2d(128, 256, 3, padding=1),
        (8, 128, 28, 28),
    ),
    "conv 3x3 (2, 64, 224, 224) to 64": (
        lambda nn: nn.Conv2d(64, 64, 3, padding=1),
        (2, 64, 224, 224),
    ),
    "conv 3x3 (8, 3, 224, 224) to 64": (
        lambda nn: nn.Conv2d(3, 64, 3, padding=1),
        (8, 3, 224, 224),
    ),
    "conv 1x1 (8, 64, 56, 56) to 256": (lambda nn: nn.Conv2d(64, 256, 1), (8, 64, 56, 56)),
    "linear (64, 784) to 512": (lambda nn: nn.Linear(784, 512), (64, 784)),
    "linear (2048, 256) to 1024": (lambda nn: nn.Linear(256, 1024), (2048, 256)),
    "linear (16384, 64) to 64": (lambda nn: nn.Linear(64, 64), (16384, 64)),
}

LASTS = 0.02
"""Seconds of one measurement, at least."""

PAUSE = 0.03
"""Seconds before one: PyTorch's threads spin for a while after a call, and take a core."""


def _wait(device: dt.device) -> None:
    if device.type != "cpu":
        getattr(dt, device.type).synchronize(device)


def _measured(runs: dict[str, Callable[[], Any]], device: dt.device, rounds: int) -> dict[str, Any]:
    """Milliseconds of a call, the median over rounds."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(-2, rounds):  # the first two are not counted
        for name, run in runs.items():
            time.sleep(PAUSE)
            run()
            _wait(device)
            begun, calls = time.perf_counter(), 0
            while time.perf_counter() - begun < LASTS:
                run()
                _wait(device)
                calls += 1
            if turn >= 0:
                found[name].append((time.perf_counter() - begun) / calls * 1e3)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    """Print a row for each layer."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", default="opencl:0")
    options.add_argument("--rounds", type=int, default=15)
    chosen = options.parse_args()
    device = dt.device(chosen.device)
    print("| layer | as one | one by one | ratio | PyTorch | ratio |")
    print("|---|---|---|---|---|---|")
    for name, (make, shape) in LAYERS.items():
        ours, theirs = make(dt.nn).to(device), make(torch.nn)
        x, y = dt.randn(*shape).to(device), torch.randn(*shape)
        together = dt.nn.Sequential(ours, dt.nn.ReLU())
        peer = torch.nn.Sequential(theirs, torch.nn.ReLU())

        def apart(x: Any = x, layer: Any = ours) -> Any:
            return dt.nn.functional.relu(layer(x))

        runs = {
            "one": lambda run=together, x=x: run(x),
            "apart": apart,
            "torch": lambda run=peer, y=y: run(y),
        }
        with dt.no_grad(), torch.no_grad():
            ms = _measured(runs, device, chosen.rounds)
        one, two, peer_ms = ms["one"], ms["apart"], ms["torch"]
        cells = (f"{one:.2f}", f"{two:.2f}", f"{one / two:.2f}", f"{peer_ms:.2f}")
        print(f"| {name} | {' | '.join(cells)} | {one / peer_ms:.2f} |", flush=True)


if __name__ == "__main__":
    main()
