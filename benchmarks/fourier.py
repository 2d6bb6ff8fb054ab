"""Fourier transforms against PyTorch's on the cpu, and against the host's from a device and back.

    python benchmarks/fourier.py [--device opencl:0] [--rounds N] [--cases NAME]

By the clock, in turn, medians; two threads on either side. Several calls are timed in a row, after
a rest in which the other library's threads stop spinning. "host" reads the tensor, transforms by
NumPy and writes the spectrum: what a device without kernels of ``fft_c2c`` and its like does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

REST = 0.03
"""Seconds until the other library's threads sleep."""

IN_A_ROW = 4

CASES: tuple[tuple[str, tuple[int, ...], str, dict[str, int]], ...] = (
    ("fft", (1000, 1024), "complex64", {}), ("rfft", (1000, 1024), "float32", {}),
    ("irfft", (1000, 513), "complex64", {}), ("fft", (1024, 1000), "complex64", {"dim": 0}),
    ("rfft2", (64, 3, 224, 224), "float32", {}), ("fft2", (16, 3, 224, 224), "complex64", {}),
    ("fft", (1 << 20,), "complex64", {}), ("fft", (10**6,), "complex64", {}),
    ("rfft", (1 << 20,), "float32", {}), ("irfft", ((1 << 19) + 1,), "complex64", {}),
    ("fft", (1 << 16,), "complex64", {}), ("fft", (1 << 12,), "complex64", {}),
    ("fft", (200000, 8), "complex64", {}), ("fft", (16, 4096), "complex64", {}),
    ("rfft", (1000, 1023), "float32", {}), ("fft", (100, 1009), "complex64", {}),
    ("fft", (1000003,), "complex64", {}), ("fft", (1000, 1024), "complex128", {}),
    ("rfft", (1000, 1024), "float64", {}), ("fft", (3, 30030), "complex128", {}),
    ("fftn", (64, 64, 64), "complex64", {}), ("irfft", (1000, 512), "complex64", {"n": 1023}),
)  # fmt: skip


def drawn(shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Normal numbers."""
    rng = np.random.default_rng(0)
    x: np.ndarray = rng.standard_normal(shape)
    if kind.startswith("complex"):
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(kind)


def measured(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Milliseconds of each, in turn."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(REST)
            call()
            begin = time.perf_counter()
            for _ in range(IN_A_ROW):
                call()
            taken[name].append((time.perf_counter() - begin) * 1e3 / IN_A_ROW)
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    """Print a line for each case."""
    import torch

    import dovetail as dt

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="opencl:0")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", default="", help="those whose names have this in them")
    options = parser.parse_args()
    torch.set_num_threads(2)
    for name, shape, kind, more in CASES:
        title = f"{name} {shape} {kind}{''.join(f' {k}={v}' for k, v in more.items())}"
        if options.cases not in title:
            continue
        x = drawn(shape, kind)
        here, there = dt.from_numpy(x).to(options.device), torch.from_numpy(x)
        ours, theirs = getattr(dt.fft, name), getattr(torch.fft, name)

        def on_device(ours: Any = ours, here: Any = here, more: Any = more) -> None:
            ours(here, **more)
            dt.accelerator.synchronize(options.device)

        def on_host(ours: Any = ours, here: Any = here, more: Any = more) -> None:
            ours(here.cpu(), **more).to(options.device)
            dt.accelerator.synchronize(options.device)

        took = measured(
            {
                "device": on_device, "host": on_host,
                "PyTorch": lambda f=theirs, x=there, m=more: f(x, **m),
            },
            options.rounds,
        )  # fmt: skip
        mine = took["device"]
        print(
            f"{title:44} {mine:8.3f} ms; of the host's {took['host']:8.3f}: "
            f"{mine / took['host']:.2f}; of PyTorch's {took['PyTorch']:8.3f}: "
            f"{mine / took['PyTorch']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
