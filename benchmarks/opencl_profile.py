"""Where the time of one training step goes on an OpenCL device, by the driver's own clock.

    python benchmarks/opencl_profile.py [--model ResNet-18] [--steps 5] [--device 0]

A row per operator: launches, milliseconds, share of the device's time, and speed: GFLOP/s of
products and convolutions (of what their definitions take, packing included in the time), GB/s of
all others (of the buffers that they were given). Both also as shares of what a large product and a
large copy reach in the same run. Of each launch the fastest in some steps counts, for others may
use the machine.
"""

from __future__ import annotations

import argparse
import time

from training_models import MODELS

import dovetail as dt
from dovetail_opencl.profiling import profile, rows_of


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="ResNet-18", choices=list(MODELS))
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--steps", type=int, default=5)
    chosen = parser.parse_args()
    step = MODELS[chosen.model](dt, f"opencl:{chosen.device}")
    for _ in range(3):
        step().item()
    runs = []
    for _ in range(chosen.steps):
        with profile(chosen.device) as seen:
            begin, spent = time.perf_counter(), time.process_time()
            step().item()
            took, spent = time.perf_counter() - begin, time.process_time() - spent
        runs.append((took, spent, seen))
    took, spent = (min(column) for column in list(zip(*runs, strict=True))[:2])
    print(f"{chosen.model}: {took * 1e3:.1f} ms by the clock, {spent * 1e3:.1f} ms of processors")
    best = runs[0][2]
    seen_all = [seen for _, _, seen in runs]
    launches = zip(*(seen.timeline for seen in seen_all), strict=True)
    best.timeline = [min(same, key=lambda launch: launch[1]) for same in launches]
    best.rows = rows_of(best.timeline, {row.name: row.operations for row in best.rows})
    best.peak = max(seen.peak for seen in seen_all)
    best.arithmetic = max(seen.arithmetic for seen in seen_all)
    print(best.table())


if __name__ == "__main__":
    main()
