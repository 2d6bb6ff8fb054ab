"""What the host does for a step on a CUDA device, without a GPU: the driver and NVIDIA's libraries
are stand-ins that do nothing at all.

    python benchmarks/cuda_host.py [--models ResNet-50,style] [--rounds N] [--profile]

What is timed is this thread's processor time in the project's own code and in ctypes; what the
driver and the libraries take for their part of a call (some microseconds for a launch) comes on top
on a GPU. Sizes are the real ones: memory that nobody touches costs nothing.
"""

from __future__ import annotations

import argparse
import cProfile
import ctypes
import pstats
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from cuda_models import MODELS

import dovetail as dt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "cuda"))
from libraries import FrontEnd
from stand_in import StandIn

CALLS = 500
WARM = 4

STEPS = {
    "ResNet-50": ("ResNet-50", {"precision": "bfloat16"}),
    "ResNet-50 float32": ("ResNet-50", {}),
    "GPT-2 small": ("GPT-2 small", {"precision": "bfloat16"}),
    "style": ("style", {"rule": "Adam"}),
}


class Idle(StandIn):
    """A driver that keeps memory and nothing else."""

    def note(self, *what: Any) -> None:
        """Nothing is written down."""

    def _taken(self, nbytes: int) -> int:
        block = np.empty(nbytes, np.uint8)
        self.blocks[block.ctypes.data] = block
        return int(block.ctypes.data)

    def _inside(self, pointer: int, nbytes: int) -> None:
        """Who looks is the test suite."""

    def launcher(self, *_: Any) -> Callable[[int], None]:
        return lambda stream: None


def _products() -> Any:
    """cuBLASLt's binding on a library that says yes to everything.

    A product goes through ctypes with all its arguments, to a function of libc that does nothing.
    """
    from dovetail_cuda import blas

    def heuristic(*arguments: Any) -> int:
        arguments[-1]._obj.value = 1
        return 0

    quiet: Any = SimpleNamespace(cublasLtMatmulAlgoGetHeuristic=heuristic)
    for name in ("MatrixLayout", "MatmulDesc", "MatmulPreference"):
        for verb in ("Create", "SetAttribute", "Destroy"):
            setattr(quiet, f"cublasLt{name}{verb}", lambda *_: 0)
    made = object.__new__(blas.CublasLt)
    made._library, made._set = quiet, lambda *_: 0
    made._queue = ctypes.CDLL(None).labs  # of its first argument, the handle: 0
    made.handle = lambda: 0  # type: ignore[method-assign]
    return made


class Still(FrontEnd):
    """cuDNN's front end, whose graphs do nothing."""

    def pygraph(self, **kinds: Any) -> Any:
        made = super().pygraph(**kinds)
        made._execute = lambda pointers, workspace, handle: None
        return made


def pretend() -> Any:
    """Put the stand-ins in place; the device ``cuda:0``."""
    from dovetail_cuda import blas, discovery, dnn, driver, runtime

    driver.place(Idle(total=1 << 38))
    blas.place(_products())
    dnn.place(Still())
    runtime.discover = lambda: discovery.Discovery(1, (13, 0))  # type: ignore[assignment]
    return runtime.device_of(0)


def _median(call: Callable[[], Any], rounds: int, times: int = 1) -> float:
    seen = []
    for _ in range(rounds):
        begin = time.thread_time()
        for _ in range(times):
            call()
        seen.append((time.thread_time() - begin) / times)
    return statistics.median(seen)


def _operators() -> dict[str, Callable[[], Any]]:
    nn = dt.nn.functional
    kind = {"device": "cuda:0", "dtype": dt.bfloat16}
    a, b = dt.empty(1024, 1024, **kind), dt.empty(1024, 1024, **kind)
    w, bias = dt.empty(1024, 1024, requires_grad=True, **kind), dt.empty(1024, **kind)
    x = dt.empty(64, 64, 56, 56, **kind)
    f = dt.empty(64, 64, 3, 3, requires_grad=True, **kind)
    norm = dt.nn.BatchNorm2d(64, device="cuda:0")
    half = dt.empty(8, **kind)
    wide = dt.empty(8, device="cuda:0")
    return {
        "a + b": lambda: a + b,
        "a + 2.5": lambda: a + 2.5,
        "relu, recorded": lambda: nn.relu(w),
        "cast to float32": lambda: half.float(),
        "a @ b": lambda: a @ b,
        "linear, recorded": lambda: nn.linear(a, w, bias),
        "conv2d, recorded": lambda: nn.conv2d(x, f, padding=1),
        "batch_norm, recorded": lambda: norm(x),
        "a.add_(b)": lambda: wide.add_(wide),
        "zeros": lambda: dt.zeros(64, device="cuda:0"),
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(STEPS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="of each step, by function")
    chosen = parser.parse_args()
    device = pretend()
    print(f"{'operator':24}{'host, us':>10}")
    for name, call in _operators().items():
        call()
        print(f"{name:24}{_median(call, chosen.rounds, CALLS) * 1e6:10.1f}", flush=True)
    print(f"\n{'step':24}{'queued':>10}{'host, ms':>10}{'us each':>10}")
    for name in filter(None, chosen.models.split(",")):
        model, options = STEPS[name]
        job = MODELS[model](dt, "cuda:0", **options)
        for _ in range(WARM):
            job.step()
        before = device.launches
        job.step()
        queued = device.launches - before
        taken = _median(job.step, chosen.rounds)
        print(f"{name:24}{queued:10}{taken * 1e3:10.2f}{taken / queued * 1e6:10.2f}", flush=True)
        if chosen.profile:
            with cProfile.Profile() as seen:
                for _ in range(10):
                    job.step()
            pstats.Stats(seen).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
