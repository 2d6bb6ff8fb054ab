"""What queueing every operator costs on an OpenCL device: each sample of each record.

    python benchmarks/opencl_every.py [--above 6] [--op sum,prod] [--device 0]

The thread's processor time per call of 30 in a row, the median of 5, of the first 40 samples of
each record in its first dtype of float32 and int64; a record that users do not call is timed
without what its function does to the sample first. A row for each operator, the slowest first:
least, median and largest time of its samples, and launches; ``host`` says that it runs there.
Operators whose median is not above are counted only.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from dovetail import dtypes as d
from dovetail import fallback
from dovetail.dispatch import call
from dovetail.ops.schema import OpDef
from dovetail_conformance.calls import Call, operators, samples_of
from dovetail_conformance.checks.fused import seen_calls
from dovetail_opencl.runtime import device_of

CALLS = 30
ROUNDS = 5
SAMPLES = 40


def calls_of(op: OpDef, device: str) -> Iterator[Callable[[], Any]]:
    """The record's samples on the device; those that it refuses are left out."""
    dtype = next((k for k in (d.float32, d.int64) if k in op.accepts), None)
    for sample in samples_of(op, dtype)[:SAMPLES] if dtype else ():
        try:
            placed = Call.placed(op, sample, "contiguous", device)
            with seen_calls(op.name) as seen:
                placed.run()
        except Exception:  # a sample of what is refused
            continue
        yield placed.run if op.public or not seen.calls else partial(call, op, *seen.calls[-1])


def timed(queue: Any, run: Callable[[], Any]) -> tuple[float, float]:
    """Microseconds and launches of a call."""
    run()
    queue.synchronize()
    before = queue.launches
    seen = []
    for _ in range(ROUNDS):
        begin = time.thread_time()
        for _ in range(CALLS):
            run()
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
        found = [timed(queue, run) for run in calls_of(op, device)]
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
