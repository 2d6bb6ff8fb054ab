"""Elementwise operators, reductions and scans on an OpenCL device, beside a copy of as many bytes.

    python benchmarks/opencl_memory.py [--elements N] [--rounds N] [--only sum,amax] [--device 0]

A ratio is the time of the operator over that of a copy by the driver that reads and writes as many
bytes in all; both are the device's, by the processors' time of the whole process (--clock: by the
clock), in turn, the median over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import dovetail as dt


def cases(n: int, device: str) -> dict[str, tuple[Callable[[], Any], int]]:
    """By name: what is called, and the bytes that it reads and writes."""
    rows, columns = 2500, n // 2500
    x = dt.randn(rows * columns, device=device)
    y, flat, turned = dt.randn(rows * columns, device=device), x.view(rows, columns), None
    turned = flat.t()
    row, column = dt.randn(columns, device=device), dt.randn(rows, 1, device=device)
    whole = 4 * rows * columns
    made: dict[str, tuple[Callable[[], Any], int]] = {
        "a + b": (lambda: x + y, 3 * whole),
        "a * 2.5": (lambda: x * 2.5, 2 * whole),
        "relu": (x.relu, 2 * whole),
        "exp": (x.exp, 2 * whole),
        "tanh": (x.tanh, 2 * whole),
        "a + row": (lambda: flat + row, 2 * whole),
        "a + column": (lambda: flat + column, 2 * whole),
        "clone": (x.clone, 2 * whole),
        "transposed clone": (turned.contiguous, 2 * whole),
    }
    for name in ("sum", "mean", "prod", "amax", "amin", "argmax", "argmin"):
        made[name] = (getattr(x, name), whole)
        for dim in (0, 1):
            made[f"{name} dim {dim}"] = (lambda name=name, dim=dim: getattr(flat, name)(dim), whole)
    made["cumsum"] = (lambda: x.cumsum(0), 2 * whole)
    for dim in (0, 1):
        made[f"cumsum dim {dim}"] = (lambda dim=dim: flat.cumsum(dim), 2 * whole)
    return made


def main() -> None:
    """Run it."""
    from dovetail_opencl.runtime import device_of

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--elements", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="names, with commas between them")
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--clock", action="store_true", help="the clock's time")
    chosen = parser.parse_args()
    clock = time.perf_counter if chosen.clock else time.process_time
    device = device_of(chosen.device)
    nbytes = 4 * chosen.elements

    def timed(call: Callable[[], Any]) -> float:
        device.synchronize()
        begin = clock()
        kept = call()
        device.synchronize()
        spent = clock() - begin
        del kept
        return spent

    print(f"{device.handle.name.strip()}, {chosen.elements} elements of float32")
    print(f"{'operator':20}{'ms':>8}{'GB/s':>8}{'of a copy':>11}")
    with device.scratch(nbytes, nbytes) as (source, target):
        device.copy(target, 0, source, 0, nbytes)  # memory that was never written is one page of
        device.copy(source, 0, target, 0, nbytes)  # zeros, which is read from a cache
        for name, (call, moved) in cases(chosen.elements, f"opencl:{chosen.device}").items():
            if chosen.only and not any(name.startswith(part) for part in chosen.only.split(",")):
                continue
            timed(call)
            copy = lambda: device.copy(target, 0, source, 0, nbytes)
            timed(copy)
            pairs = [(timed(call), timed(copy)) for _ in range(chosen.rounds)]
            spent = statistics.median(a for a, _ in pairs)
            ratio = statistics.median(a / (b * moved / (2 * nbytes)) for a, b in pairs)
            print(f"{name:20}{spent * 1e3:8.2f}{moved / spent / 1e9:8.1f}{ratio:11.2f}")


if __name__ == "__main__":
    main()
