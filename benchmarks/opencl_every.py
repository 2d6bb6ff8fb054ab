"""What queueing every operator costs on an OpenCL device: each sample of each record.

    python benchmarks/opencl_every.py [--above 6] [--op sum,prod] [--device 0]

The thread's processor time per call of 30 in a row, the median of 5, of the first 40 samples of
each record in its first dtype of float32 and int64. A row for each operator, the slowest first:
least, median and largest time of its samples, and launches; ``host`` says that it runs there.
Operators whose median is not above are counted only.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Iterator
from typing import Any

from dovetail import dtypes as d
from dovetail import fallback
from dovetail.ops.schema import OpDef
from dovetail_conformance.calls import Call, operators, samples_of
from dovetail_opencl.runtime import device_of

CALLS = 30
ROUNDS = 5
SAMPLES = 40


def calls_of(op: OpDef, device: str) -> Iterator[Call]:
    """The record's samples on the device; those that it refuses are left out."""
    dtype = next((k for k in (d.float32, d.int64) if k in op.accepts), None)
    for sample in samples_of(op, dtype)[:SAMPLES] if dtype else ():
        try:
            call = Call.placed(op, sample, "contiguous", device)
            call.run()
        except Exception:  # a sample of what is refused
            continue
        yield call


def timed(queue: Any, call: Call) -> tuple[float, float]:
    """Microseconds and launches of a call."""
    call.run()
    queue.synchronize()
    before = queue.launches
    seen = []
    for _ in range(ROUNDS):
        begin = time.thread_time()
        for _ in range(CALLS):
            call.run()
        seen.append((time.thread_time() - begin) / CALLS * 1e6)
        queue.synchronize()
    return statistics.median(seen), (queue.launches - before) / CALLS / ROUNDS


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--above", type=float, default=6.0)
    parser.add_argument("--op", default="")
    parser.add_argument("--device", type=int, default=0)
    chosen = parser.parse_args()
    queue, device = device_of(chosen.device), f"opencl:{chosen.device}"
    wanted = chosen.op.split(",") if chosen.op else None
    rows = []
    for op in operators():
        if wanted and op.name not in wanted:
            continue
        found = [timed(queue, call) for call in calls_of(op, device)]
        if found:
            times, launches = zip(*sorted(found), strict=True)
            on_host = any(name == op.name for name, _ in fallback.ledger)
            rows.append((statistics.median(times), times, launches, op.name, on_host))
    print(f"{queue.handle.name.strip()}; microseconds until it is queued")
    print(f"{'':40}{'least':>8}{'median':>8}{'largest':>9}  launches")
    for median, times, launches, name, on_host in sorted(rows, reverse=True):
        if median > chosen.above:
            count = f"{min(launches):.0f} to {max(launches):.0f}{', host' * on_host}"
            print(f"{name:40}{times[0]:8.1f}{median:8.1f}{times[-1]:9.1f}  {count}")
    few = sum(row[0] <= chosen.above for row in rows)
    print(f"{few} of {len(rows)} operators take up to {chosen.above:g} in the median of samples")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
