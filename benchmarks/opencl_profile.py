"""Where the time of one training step goes on an OpenCL device, by the driver's own clock.

    python benchmarks/opencl_profile.py [--model ResNet-18] [--device 0]

A row per kernel: launches, milliseconds, share of the device's time, GB/s (of the buffers that it
was given), and that as a share of a large copy's speed in the same run.
"""

from __future__ import annotations

import argparse
import time

from training_models import MODELS

import dovetail as dt
from dovetail_opencl.profiling import profile


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="ResNet-18", choices=list(MODELS))
    parser.add_argument("--device", type=int, default=0)
    chosen = parser.parse_args()
    step = MODELS[chosen.model](dt, f"opencl:{chosen.device}")
    for _ in range(3):
        step().item()
    with profile(chosen.device) as seen:
        begin, spent = time.perf_counter(), time.process_time()
        step().item()
        took, spent = time.perf_counter() - begin, time.process_time() - spent
    print(f"{chosen.model}: {took * 1e3:.1f} ms by the clock, {spent * 1e3:.1f} ms of processors")
    print(seen.table())


if __name__ == "__main__":
    main()
