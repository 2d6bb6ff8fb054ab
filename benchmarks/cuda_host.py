"""What the host does for a step on a CUDA device, without a GPU: the driver and NVIDIA's libraries
are stand-ins that do nothing at all.

    python benchmarks/cuda_host.py [--models "ResNet-50;style, Adam"] [--rounds N] [--profile]

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
    "style, Adam": ("style", {"rule": "Adam"}),
    "style, LBFGS": ("style", {}),
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

    def copy(self, *_: Any) -> None:
        """No byte is moved."""

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
    """By name, a call; "recorded" ones have a parameter among their inputs."""
    nn, cuda, bfloat16 = dt.nn.functional, {"device": "cuda:0"}, dt.bfloat16
    a, b = (dt.empty(1024, 1024, **cuda, dtype=bfloat16) for _ in range(2))
    c, d = (dt.empty(1024, 1024, **cuda) for _ in range(2))
    e = dt.empty(64, 1000, **cuda, requires_grad=True)
    classes = dt.zeros(64, **cuda, dtype=dt.int64)
    w, bias = dt.empty(1024, 1024, **cuda, dtype=bfloat16, requires_grad=True), a[0].clone()
    x = dt.empty(64, 64, 56, 56, **cuda, dtype=bfloat16)
    f = dt.empty(64, 64, 3, 3, **cuda, dtype=bfloat16, requires_grad=True)
    wide = dt.empty(64, 64, 3, 3, **cuda, requires_grad=True)
    of_channels = f[:, 0, 0, 0].detach().clone()
    norm, scale = dt.nn.BatchNorm2d(64, **cuda), dt.empty(1024, **cuda, requires_grad=True)
    number = dt.empty(8, **cuda)

    def tf32() -> Any:
        dt.backends.cuda.matmul.allow_tf32 = True
        made = c @ d
        dt.backends.cuda.matmul.allow_tf32 = False
        return made

    def own() -> Any:
        dt.backends.cudnn.enabled = False
        made = nn.conv2d(x, f, padding=1)
        dt.backends.cudnn.enabled = True
        return made

    def cast() -> Any:
        with dt.autocast("cuda", dtype=bfloat16):
            return nn.conv2d(x, wide, padding=1)

    return {
        "a + b": lambda: a + b,
        "a + 2.5": lambda: a + 2.5,
        "relu, recorded": lambda: nn.relu(w),
        "gelu, recorded": lambda: nn.gelu(w),
        "softmax, recorded": lambda: nn.softmax(w, -1),
        "layer_norm, recorded": lambda: nn.layer_norm(c, (1024,), scale, scale),
        "cross_entropy, recorded": lambda: nn.cross_entropy(e, classes),
        "a cast to float32": lambda: a.float(),
        "a @ b, float32": lambda: c @ d,
        "a @ b, TF32, and two switches": tf32,
        "a @ b, bfloat16": lambda: a @ b,
        "linear, recorded": lambda: nn.linear(a, w, bias),
        "conv2d, cuDNN, recorded": lambda: nn.conv2d(x, f, padding=1),
        "the same with a bias": lambda: nn.conv2d(x, f, of_channels, padding=1),
        "the same, own kernel": own,
        "conv2d, autocast, and its block": cast,
        "batch_norm, recorded": lambda: norm(x),
        "a.add_(b)": lambda: number.add_(number),
        "zeros": lambda: dt.zeros(64, **cuda),
    }


def _optimizers() -> dict[str, Callable[[], Any]]:
    """Steps over as many tensors as ResNet-50 has."""
    made = {}
    for name, options in {
        "SGD": {"lr": 0.1, "momentum": 0.9}, "Adam": {}, "AdamW": {"capturable": True},
    }.items():  # fmt: skip
        given = [dt.empty(1000, device="cuda:0", requires_grad=True) for _ in range(160)]
        for x in given:
            x.grad = dt.empty(1000, device="cuda:0")
        rule = getattr(dt.optim, name)(given, **options)
        made[f"{name} of 160 tensors" + ", capturable" * ("capturable" in options)] = rule.step
    return made


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=";".join(STEPS), help="by semicolons")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="of each step, by function")
    chosen = parser.parse_args()
    device = pretend()
    print("the host's Python on stand-ins for the driver and the libraries: no GPU is in this")
    print(f"\n{'call':34}{'queued':>8}{'host, us':>10}")
    for calls, times in ((_operators(), CALLS), (_optimizers(), CALLS // 20)):
        for name, call in calls.items():
            for _ in range(WARM):
                call()
            before = device.launches
            call()
            queued = device.launches - before
            taken = _median(call, chosen.rounds, times) * 1e6
            print(f"{name:34}{queued:8}{taken:10.1f}", flush=True)
    print(f"\n{'step':34}{'queued':>8}{'host, ms':>10}{'us each':>10}")
    for name in filter(None, chosen.models.split(";")):
        model, options = STEPS[name]
        job = MODELS[model](dt, "cuda:0", **options)
        for _ in range(WARM):
            job.step()
        before = device.launches
        job.step()
        queued = device.launches - before
        taken = _median(job.step, chosen.rounds)
        each = taken / queued * 1e6
        print(f"{name:34}{queued:8}{taken * 1e3:10.2f}{each:10.2f}", flush=True)
        if chosen.profile:
            with cProfile.Profile() as seen:
                for _ in range(10):
                    job.step()
            pstats.Stats(seen).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
