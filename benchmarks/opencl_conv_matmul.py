"""Matrix products and convolutions of the opencl backend against PyTorch's on the cpu, in one run.

    python benchmarks/opencl_conv_matmul.py [--seconds 0.4] [--only TEXT ...] [--json]

The two are called in turn, both with all cores, and timed by the clock. PyTorch's threads spin a
while when they have nothing more to do, and would take a core from the other's: so there is a pause
before each turn, in which this thread spins as well, for sleeping processors clock down. The first
half of a turn does not count. What counts is the median over turns of the ratio of a call's times:
below 1, dovetail is ahead. With ``--processor-time`` it is processor time of the whole process,
PyTorch on one thread (give ``POCL_MAX_PTHREAD_COUNT=1`` too), for machines that do other work.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from opencl_products import Call, Case, cases

import dovetail as dt

TURN = 8e-3
"""Seconds that each half of a turn takes at least."""

PAUSE = 10e-3
"""Seconds after which threads that have nothing to do are asleep."""


class Figures(NamedTuple):
    """Medians: seconds of a call, and the ratio of both in one turn."""

    ours: float
    theirs: float
    ratio: float


def _repeated(call: Call, seconds: float) -> int:
    """How often it was called in so many seconds, once at least."""
    count, end = 0, time.perf_counter() + seconds
    while not count or time.perf_counter() < end:
        call()
        count += 1
    return count


def _timed(call: Call, clock: Callable[[], float]) -> float:
    """Seconds of one call."""
    _repeated(lambda: None, PAUSE)
    _repeated(call, TURN)
    begin = clock()
    count = _repeated(call, TURN)
    return (clock() - begin) / count


def measure(case: Case, seconds: float, clock: Callable[[], float]) -> Figures:
    """Call both in turn for so many seconds."""
    mine, theirs = case.calls()

    def ours() -> None:
        mine()
        dt.opencl.synchronize()

    for call in (ours, theirs):
        call()
    rows: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rows) < 5:
        rows.append((_timed(ours, clock), _timed(theirs, clock)))
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    return Figures(*medians, statistics.median(a / b for a, b in rows))


def main() -> None:
    """Measure every case and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=0.4, help="per comparison")
    parser.add_argument(
        "--only", nargs="*", default=[""], help="cases whose names have one of these"
    )
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--json", action="store_true", help="a list of objects, for programs")
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    if options.processor_time:
        torch.set_num_threads(1)
    print(
        f"{dt.device('opencl:0')}; PyTorch {torch.__version__}, {torch.get_num_threads()} threads",
        file=sys.stderr,
    )
    rows: list[dict[str, Any]] = []
    for case in cases():
        if not any(text in case.name for text in options.only):
            continue
        figures = measure(case, options.seconds, clock)
        rows.append({"case": case.name, **figures._asdict()})
        if not options.json:
            speeds = " ".join(f"{case.work / t / 1e9:4.0f}" for t in figures[:2])
            print(
                f"{case.name:56s} {figures.ours * 1e3:7.2f} ms  torch"
                f" {figures.theirs * 1e3:7.2f} ms  ratio {figures.ratio:5.2f}"
                f" (goal {case.goal})  GFLOP/s {speeds}",
                flush=True,
            )
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
