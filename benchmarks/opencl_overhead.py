"""What queueing one operator costs on an OpenCL device: Python's thread, not the device's work.

    python benchmarks/opencl_overhead.py [--rounds N] [--device 0]

Tensors of 64 elements; the thread's processor time per call of 200 in a row, the median over
rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time

import dovetail as dt

CALLS = 200


def main() -> None:
    """Run it."""
    from dovetail_opencl.runtime import device_of

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", type=int, default=0)
    chosen = parser.parse_args()
    device, name = device_of(chosen.device), f"opencl:{chosen.device}"
    a, b = dt.randn(8, 8, device=name), dt.randn(8, 8, device=name)
    w = dt.randn(8, 8, device=name, requires_grad=True)
    cases = {
        "a + b": lambda: a + b,
        "a + b, recorded": lambda: w + b,
        "a + 2.5": lambda: a + 2.5,
        "exp": a.exp,
        "sum": a.sum,
        "sum dim 0": lambda: a.sum(0),
        "softmax": lambda: a.softmax(-1),
        "a @ b": lambda: a @ b,
        "zeros": lambda: dt.zeros(64, device=name),
        "ones": lambda: dt.ones(64, device=name),
        "full": lambda: dt.full((64,), 2.5, device=name),
        "zeros_like": lambda: dt.zeros_like(a),
        "a.t().contiguous()": lambda: a.t().contiguous(),
        "a.add_(b)": lambda: a.add_(b),
    }
    print(f"{device.handle.name.strip()}; microseconds until it is queued")
    for label, call in cases.items():
        seen = []
        for _ in range(chosen.rounds):
            device.synchronize()
            begin = time.thread_time()
            for _ in range(CALLS):
                call()
            seen.append((time.thread_time() - begin) / CALLS * 1e6)
        print(f"{label:22}{statistics.median(seen):8.1f}")


if __name__ == "__main__":
    main()
