"""Training steps on an OpenCL device against PyTorch on the CPU, in one process, in turn.

    python benchmarks/opencl_training.py [--models MLP,LeNet] [--rounds N] [--device 0]

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


def main() -> None:
    """Run it."""
    import torch

    from dovetail_opencl.runtime import device_of

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--clock", action="store_true", help="the clock's time")
    chosen = parser.parse_args()
    clock = time.perf_counter if chosen.clock else time.process_time
    device = device_of(chosen.device)
    print(f"{device.handle.name.strip()}; PyTorch {torch.__version__}, cpu")
    print(
        f"{'model':12}{'first, s':>10}{'launches':>10}{'ours, ms':>10}{'torch, ms':>11}{'ratio':>8}"
    )
    for name in chosen.models.split(","):
        make = MODELS[name]
        begin = clock()
        ours = make(dt, f"opencl:{chosen.device}")
        ours().item()
        first = clock() - begin
        theirs = make(torch, "cpu")
        for _ in range(WARM):  # layouts that come again and again get kernels of their own
            ours().item()
        theirs().item()
        before = device.launches
        ours().item()
        launches = device.launches - before
        rows = [(_timed(ours, clock), _timed(theirs, clock)) for _ in range(chosen.rounds)]
        mine, other = (statistics.median(column) for column in zip(*rows, strict=True))
        ratio = statistics.median(a / b for a, b in rows)
        print(
            f"{name:12}{first:10.2f}{launches:10}{mine * 1e3:10.2f}{other * 1e3:11.2f}{ratio:8.2f}"
        )


if __name__ == "__main__":
    main()
