"""Elementwise operators, reductions and scans on an OpenCL device, beside a copy of as many bytes.

    python benchmarks/opencl_memory.py [--groups folds,layouts] [--only sum,amax] [--above 1.3]
        [--elements N] [--rounds N] [--device 0]

A ratio is the time of the operator over that of ``clone`` of a dense float32 tensor that reads and
writes as many bytes in all, five calls of each in turn, the median over rounds: by the clock with
all threads, and by the processors' time of the whole process. A driver such as PoCL copies on one
thread, which gets from memory what two get, and computes on all of them: the processors' time
compares the work if both have one thread (``POCL_MAX_PTHREAD_COUNT=1``).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from memory_cases import GROUPS

import dovetail as dt

IN_A_ROW = 5
"""Calls that are timed together: a core that slept takes its time to wake."""


def main() -> None:
    """Run it."""
    from dovetail_opencl.runtime import device_of

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--elements", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--groups", default=",".join(GROUPS), help="with commas between them")
    parser.add_argument("--only", default="", help="how names begin, with commas between them")
    parser.add_argument(
        "--above", type=float, default=0, help="show ratios by the clock above this"
    )
    parser.add_argument("--device", type=int, default=0)
    chosen = parser.parse_args()
    device = device_of(chosen.device)

    def timed(call: Callable[[], Any]) -> tuple[float, float]:
        device.synchronize()
        begin = time.perf_counter(), time.process_time()
        for _ in range(IN_A_ROW):
            call()
        device.synchronize()
        ends = time.perf_counter(), time.process_time()
        return (ends[0] - begin[0]) / IN_A_ROW, (ends[1] - begin[1]) / IN_A_ROW

    print(f"{device.handle.name.strip()}, {chosen.elements} elements of float32")
    print(f"{'':38}{'the clock':>18}{'processors':>18}")
    print(f"{'operator':38}{'ms':>8}{'of a copy':>10}{'ms':>8}{'of a copy':>10}")
    name_of = f"opencl:{chosen.device}"
    copied = dt.randn(3 * chosen.elements, device=name_of)
    for name, call, moved in (
        row for group in chosen.groups.split(",") for row in GROUPS[group](chosen.elements, name_of)
    ):
        if chosen.only and not any(name.startswith(part) for part in chosen.only.split(",")):
            continue
        copy = copied[: moved // 8].clone
        timed(call)
        timed(copy)
        pairs = [(timed(call), timed(copy)) for _ in range(chosen.rounds)]
        spent = [statistics.median(of_call[k] for of_call, _ in pairs) for k in (0, 1)]
        ratios = [statistics.median(a[k] / b[k] for a, b in pairs) for k in (0, 1)]
        if ratios[0] > chosen.above:
            columns = (f"{s * 1e3:8.2f}{r:10.2f}" for s, r in zip(spent, ratios, strict=True))
            print(f"{name:38}{''.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
