"""Matrix products and convolutions of the opencl backend against PyTorch's on the cpu, in one run.

    python benchmarks/opencl_conv_matmul.py [--seconds 1] [--only TEXT] [--json]

The two are called in turn. What is counted is processor time of the whole process, for on a machine
that others use as well the wall clock says little; PyTorch gets one thread, because its threads
spin while they wait for each other, and that would count. The medians over rounds are compared: a
ratio below 1 says that dovetail is ahead.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

import dovetail as dt
from dovetail import ops

DEVICE = "opencl:0"
Call = Callable[[], Any]


class Case(NamedTuple):
    """One comparison; ``work`` is in floating-point operations."""

    name: str
    goal: float
    ours: Call
    theirs: Call
    work: float


def on_both(*shape: int) -> tuple[Any, torch.Tensor]:
    """Equal numbers on the device and in PyTorch."""
    values = np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)
    return dt.tensor(values, device=DEVICE), torch.from_numpy(values)


def matmul_cases() -> Iterator[Case]:
    """Square products, one with a transposed operand, a batch, a deep one, and a linear layer."""
    for n in (256, 1024, 2048):
        (a, ta), (b, tb) = on_both(n, n), on_both(n, n)
        work = 2.0 * n**3
        yield Case(f"matmul {n}", 0.65, lambda a=a, b=b: a @ b, lambda a=ta, b=tb: a @ b, work)
        if n == 1024:
            yield Case(
                f"matmul {n}, transposed", 0.65,
                lambda a=a, b=b: a @ b.t(), lambda a=ta, b=tb: a @ b.t(), work,
            )  # fmt: skip
    (a, ta), (b, tb) = on_both(16, 128, 64), on_both(16, 64, 128)
    yield Case(
        "matmul 16 x (128, 64, 128)", 1.0,
        lambda: a @ b, lambda: ta @ tb, 2.0 * 16 * 128 * 64 * 128,
    )  # fmt: skip
    (c, tc), (d, td) = on_both(32, 20000), on_both(20000, 32)
    yield Case("matmul (32, 20000, 32)", 1.0, lambda: c @ d, lambda: tc @ td, 2.0 * 32 * 32 * 20000)
    (x, tx), (w, tw), (v, tv) = on_both(256, 1024), on_both(1024, 1024), on_both(1024)
    linear = dt.nn.functional.linear
    yield Case(
        "linear (256, 1024) to 1024", 1.0, lambda: linear(x, w, v),
        lambda: torch.nn.functional.linear(tx, tw, tv), 2.0 * 256 * 1024 * 1024,
    )  # fmt: skip


CONVOLUTIONS = (
    # input, filters, kernel, stride, padding, groups
    ((8, 64, 56, 56), 64, 3, 1, 1, 1),
    ((8, 128, 28, 28), 128, 3, 1, 1, 1),
    ((8, 256, 14, 14), 256, 3, 1, 1, 1),
    ((16, 512, 7, 7), 512, 3, 1, 1, 1),
    ((2, 64, 112, 112), 128, 3, 1, 1, 1),
    ((8, 128, 56, 56), 128, 3, 2, 1, 1),
    ((8, 3, 224, 224), 64, 7, 2, 3, 1),
    ((4, 3, 224, 224), 64, 3, 1, 1, 1),
    ((8, 64, 56, 56), 256, 1, 1, 0, 1),
    ((16, 144, 28, 28), 144, 3, 1, 1, 144),
    ((8, 128, 28, 28), 128, 3, 1, 1, 32),
)


def conv_cases() -> Iterator[Case]:
    """Layers of VGG and ResNet, depthwise and grouped ones: forward and the two gradients."""
    for shape, filters, size, stride, padding, groups in CONVOLUTIONS:
        n, c, h, w = shape
        out = [(v + 2 * padding - size) // stride + 1 for v in (h, w)]
        (x, tx), (weight, tw) = on_both(*shape), on_both(filters, c // groups, size, size)
        g, tg = on_both(n, filters, *out)
        options = {
            "stride": (stride, stride), "padding": (padding, padding), "dilation": (1, 1),
            "groups": groups,
        }  # fmt: skip
        work = 2.0 * n * filters * out[0] * out[1] * (c // groups) * size * size
        name = f"conv {shape} {size}x{size}/{stride} to {filters}" + (
            f", {groups} groups" if groups > 1 else ""
        )

        def theirs(*wanted: bool, args: Any = (tg, tx, tw), o: Any = options) -> Call:
            rest = (None, list(o["stride"]), list(o["padding"]), [1, 1], False, [0, 0])
            call = torch.ops.aten.convolution_backward
            return lambda: call(*args, *rest, o["groups"], [*wanted, False])

        def forward(tx: Any = tx, tw: Any = tw, o: Any = options) -> Any:
            return torch.conv2d(tx, tw, **o)

        yield Case(
            f"{name}: forward", 1.0,
            lambda x=x, w=weight, o=options: ops.conv(x, w, None, **o), forward, work,
        )  # fmt: skip
        yield Case(
            f"{name}: grad input", 1.3,
            lambda g=g, w=weight, o=options, s=shape: ops.conv_grad_input(
                g, w, input_shape=s, **o
            ),
            theirs(True, False), work,
        )  # fmt: skip
        yield Case(
            f"{name}: grad weight", 1.3,
            lambda g=g, x=x, o=options, s=tuple(weight.shape): ops.conv_grad_weight(
                g, x, weight_shape=s, **o
            ),
            theirs(False, True), work,
        )  # fmt: skip


def measure(case: Case, seconds: float) -> tuple[float, float]:
    """Median processor seconds of ours and theirs, called in turn."""
    times: tuple[list[float], list[float]] = ([], [])

    def ours() -> None:
        case.ours()
        dt.opencl.synchronize()

    for _ in range(2):
        ours()
        case.theirs()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for call, taken in zip((ours, case.theirs), times, strict=True):
            start = time.process_time()
            call()
            taken.append(time.process_time() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    """Measure every case and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=1.0, help="per comparison")
    parser.add_argument("--only", default="", help="cases whose names contain this")
    parser.add_argument("--json", action="store_true", help="a list of objects, for programs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{dt.device(DEVICE)}; PyTorch {torch.__version__}", file=sys.stderr)
    rows = []
    for make in (matmul_cases, conv_cases):
        for case in make():
            if options.only not in case.name:
                continue
            ours, theirs = measure(case, options.seconds)
            rows.append({"case": case.name, "ours": ours, "torch": theirs, "ratio": ours / theirs})
            if not options.json:
                speeds = " ".join(f"{case.work / t / 1e9:5.0f}" for t in (ours, theirs))
                print(
                    f"{case.name:58s} {ours * 1e3:8.2f} ms  torch {theirs * 1e3:8.2f} ms"
                    f"  ratio {ours / theirs:5.2f} (goal {case.goal})  GFLOP/s {speeds}",
                    flush=True,
                )
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
