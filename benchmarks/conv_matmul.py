"""Matrix products and convolutions of the cpu backend against PyTorch's, in one process.

    python benchmarks/conv_matmul.py [--seconds 2] [--processor-time] [--json]

The two are called in turn, each allocates its own result, and the medians are compared: a ratio
below 1 says that dovetail is ahead. ``DOVETAIL_ONEDNN=0`` measures the NumPy forms.

On a machine that others use as well, threads wait for each other and the wall clock says little:
``--processor-time`` gives both one thread and counts the time that it ran.
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

from dovetail_cpu.kernels.conv import conv, conv_grad_input, conv_grad_weight
from dovetail_cpu.kernels.matmul import matmul
from dovetail_cpu.kernels.pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad
from dovetail_cpu.onednn import status

Call = Callable[[], Any]


class Case(NamedTuple):
    """One comparison; ``work`` is in floating-point operations, 0 where that says little."""

    name: str
    ours: Call
    theirs: Call
    work: float = 0.0


def matmul_cases() -> Iterator[Case]:
    """Square products, and the layers of a digit classifier."""
    sizes = [(n, n, n) for n in (64, 512, 2048)] + [(64, 784, 128), (64, 128, 10), (1, 784, 128)]
    for m, k, n in sizes:
        a, b = (np.random.standard_normal(s).astype(np.float32) for s in ((m, k), (k, n)))
        ta, tb = torch.from_numpy(a), torch.from_numpy(b)

        def ours(a: np.ndarray = a, b: np.ndarray = b) -> None:
            matmul(a, b, np.empty((a.shape[0], b.shape[1]), a.dtype))

        def theirs(ta: torch.Tensor = ta, tb: torch.Tensor = tb) -> Any:
            return ta @ tb

        yield Case(f"matmul {m}x{k}x{n}", ours, theirs, 2.0 * m * k * n)


def conv_cases() -> Iterator[Case]:
    """3x3 convolutions with padding 1, forward and the two gradients."""
    geometry = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    shapes = [((16, 64, 56, 56), 64), ((64, 1, 28, 28), 32), ((64, 32, 14, 14), 64)]
    for shape, outputs in shapes:
        n, c, h, w = shape
        x, weight, grad = (
            np.random.standard_normal(s).astype(np.float32)
            for s in (shape, (outputs, c, 3, 3), (n, outputs, h, w))
        )
        tx, tw, tg = map(torch.from_numpy, (x, weight, grad))
        work = 2.0 * grad.size * c * 9
        name = f"conv {shape}->{outputs}"

        def call(kernel: Any, first: np.ndarray, second: np.ndarray, like: np.ndarray) -> Call:
            return lambda: kernel(first, second, np.empty_like(like), **geometry)

        def gradient(*wanted: bool, args: Any = (tg, tx, tw)) -> Call:
            rest = (None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [*wanted, False])
            return lambda: torch.ops.aten.convolution_backward(*args, *rest)

        def forward(tx: torch.Tensor = tx, tw: torch.Tensor = tw) -> Any:
            return torch.conv2d(tx, tw, padding=1)

        yield Case(f"{name} forward", call(conv, x, weight, grad), forward, work)
        yield Case(
            f"{name} grad_input",
            call(conv_grad_input, grad, weight, x),
            gradient(True, False),
            work,
        )
        yield Case(
            f"{name} grad_weight",
            call(conv_grad_weight, grad, x, weight),
            gradient(False, True),
            work,
        )


def pool_cases() -> Iterator[Case]:
    """2x2 and overlapping 3x3 pooling, forward and gradient."""
    for shape, size, step, pad in (((64, 32, 28, 28), 2, 2, 0), ((16, 64, 56, 56), 3, 2, 1)):
        x = np.random.standard_normal(shape).astype(np.float32)
        tx = torch.from_numpy(x)
        args = (size, step, pad)
        geometry: dict[str, Any] = {
            "kernel_size": (size, size),
            "stride": (step, step),
            "padding": (pad, pad),
            "ceil_mode": False,
        }
        average = geometry | {"count_include_pad": True, "divisor_override": None}
        ty, ti = torch.ops.aten.max_pool2d_with_indices(tx, *args)
        tg = torch.randn_like(ty)
        grad, indices = tg.numpy(), ti.numpy()
        name = f"{size}x{size} {shape}"
        backward = torch.ops.aten.max_pool2d_with_indices_backward
        average_backward = torch.ops.aten.avg_pool2d_backward

        def empty(like: np.ndarray, dtype: Any = np.float32) -> np.ndarray:
            return np.empty(like.shape, dtype)

        yield Case(
            f"max_pool {name}",
            lambda x=x, g=grad, k=geometry: max_pool(
                x, empty(g), empty(g, np.int64), dilation=(1, 1), **k
            ),
            lambda tx=tx, a=args: torch.ops.aten.max_pool2d_with_indices(tx, *a),
        )
        yield Case(
            f"max_pool_grad {name}",
            lambda x=x, g=grad, i=indices: max_pool_grad(g, i, empty(x)),
            lambda tx=tx, tg=tg, ti=ti, a=args, f=backward: f(
                tg, tx, *[[v, v] for v in a], [1, 1], False, ti
            ),
        )
        yield Case(
            f"avg_pool {name}",
            lambda x=x, g=grad, k=average: avg_pool(x, empty(g), **k),
            lambda tx=tx, a=args: torch.nn.functional.avg_pool2d(tx, *a),
        )
        yield Case(
            f"avg_pool_grad {name}",
            lambda x=x, g=grad, k=average: avg_pool_grad(g, empty(x), **k),
            lambda tx=tx, tg=tg, a=args, f=average_backward: f(
                tg, tx, *[[v, v] for v in a], False, True, None
            ),
        )


def measure(case: Case, seconds: float, clock: Callable[[], float]) -> tuple[float, float]:
    """Median seconds of ours and theirs, called in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for call in (case.ours, case.theirs) * 2:
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for call, taken in zip((case.ours, case.theirs), times, strict=True):
            start = clock()
            call()
            taken.append(clock() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    """Measure every case and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=2.0, help="per comparison")
    parser.add_argument(
        "--processor-time", action="store_true", help="one thread each, and the time that it ran"
    )
    parser.add_argument("--json", action="store_true", help="a list of objects, for programs")
    options = parser.parse_args()
    clock = time.perf_counter
    if options.processor_time:
        clock = time.thread_time
        torch.set_num_threads(1)  # OpenMP's number, which is oneDNN's as well
    print(f"{status()}; PyTorch {torch.__version__}", file=sys.stderr)
    rows = []
    for make in (matmul_cases, conv_cases, pool_cases):
        for case in make():
            ours, theirs = measure(case, options.seconds, clock)
            speed = case.work / ours / 1e9
            rows.append({"case": case.name, "ours": ours, "torch": theirs, "ratio": ours / theirs})
            if not options.json:
                print(
                    f"{case.name:44s} {ours * 1e6:10.1f} us  torch {theirs * 1e6:10.1f} us"
                    f"  ratio {ours / theirs:5.2f}" + (f"  {speed:5.0f} GFLOP/s" if speed else ""),
                    flush=True,
                )
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
