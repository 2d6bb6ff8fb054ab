"""Training steps on a device against PyTorch on the CPU, in one process, in turn.

    python benchmarks/training_steps.py [--device opencl:0] [--models MLP,LeNet] [--rounds N]

Both get the processors' time of the whole process, all threads counted, the median over rounds:
the clock tells little on a machine that does other work. On a GPU, and on a quiet machine, compare
the clock's times (--clock). First steps, which compile, are timed apart.

A round is several steps in a row of one and then of the other, with a rest before each: PyTorch's
threads go on spinning for some milliseconds after its step, on the core that the other needs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from training_models import MODELS

import dovetail as dt

WARM = 20
"""Steps before the timed ones."""


STEPS = 8
"""Steps in a row, of which the first is not timed."""

REST = 0.03
"""Seconds until the other library's threads sleep."""


def _timed(step: Callable[[], Any], clock: Callable[[], float]) -> float:
    time.sleep(REST)
    step().item()
    begin = clock()
    for _ in range(STEPS - 1):
        step().item()
    return (clock() - begin) / (STEPS - 1)


def _launches(device: dt.device) -> Callable[[], int]:
    """What tells how many kernels a device has launched; nothing where it does not count them."""
    if device.type == "cpu":
        return lambda: 0
    from dovetail_kernels.device import device_of

    counted = device_of(device)
    return lambda: counted.launches  # type: ignore[no-any-return]


def main() -> None:
    """Run it."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="opencl:0")
    parser.add_argument("--clock", action="store_true", help="the clock's time")
    chosen = parser.parse_args()
    clock = time.perf_counter if chosen.clock else time.process_time
    device = dt.empty(0, device=chosen.device).device
    launched = _launches(device)
    print(f"{device}; PyTorch {torch.__version__}, cpu")
    print(
        f"{'model':12}{'first, s':>10}{'launches':>10}{'ours, ms':>10}{'torch, ms':>11}{'ratio':>8}"
    )
    for name in chosen.models.split(","):
        make = MODELS[name]
        begin = clock()
        ours = make(dt, chosen.device)
        ours().item()
        first = clock() - begin
        theirs = make(torch, "cpu")
        for _ in range(WARM):  # layouts that come again and again get kernels of their own
            ours().item()
        theirs().item()
        before = launched()
        ours().item()
        launches = launched() - before
        rows = [(_timed(ours, clock), _timed(theirs, clock)) for _ in range(chosen.rounds)]
        mine, other = (statistics.median(column) for column in zip(*rows, strict=True))
        ratio = statistics.median(a / b for a, b in rows)
        print(
            f"{name:12}{first:10.2f}{launches:10}{mine * 1e3:10.2f}{other * 1e3:11.2f}{ratio:8.2f}"
        )


if __name__ == "__main__":
    main()
